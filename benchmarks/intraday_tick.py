"""One tick of 25 symbols' 1-minute bars: from the request to validated bars and 17 features, inside the run.

The paper gateway is a process of its own and answers over its socket; runs are recorded in PostgreSQL. History is
fetched first. Then a run each minute, as the schedule would start it: what it took in all, step by step, and how long
it waited for bars.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from common import show, spread

HERE = Path(__file__).parent
AS_OF = "2013-02-28T15:20:00-05:00"
SYMBOLS = (
    *("AAPL", "AMD", "AMZN", "BAC", "CSCO", "DIS", "FB", "GOOG", "GS", "IBM", "INTC", "IWM", "JPM"),
    *("KO", "MSFT", "NFLX", "NVDA", "ORCL", "PEP", "PG", "QCOM", "SPY", "TSLA", "V", "XOM"),
)
SPEC = """
name: all
strategy: many_features
description: Reads what the benchmarks compute.
universe: [{symbols}]
bar_size: 1 min
cadence_minutes: 1
history_sessions: 2
"""
JOB = "all_bars"
STEPS = {"raw_bars": "raw bars", "validated_bars": "validation", "features": "features"}


class Stopwatch:
    """How long at least one request for bars was waiting for its answer."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def around(self, method: Any) -> Any:
        def timed(*positional: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*positional, **named)
            finally:
                self.spans.append((start, time.perf_counter()))

        return timed

    def take(self) -> float:
        """Seconds since the last call, overlapping requests counted once."""
        spans, self.spans = sorted(self.spans), []
        total, until = 0.0, 0.0
        for start, end in spans:
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total


def measure(ticks: int) -> list[dict[str, float]]:
    """Seconds of each tick's run: in all, by step, and of waiting for the broker."""
    import dagster as dg

    from trading_platform.brokers.ibkr.client import IBKRBroker
    from trading_platform.definitions import build_definitions
    from trading_platform.defs.sensors import history_request, missing_history
    from trading_platform.domain.signals import strategies
    from trading_platform.ops.local import local_platform
    from trading_platform.resources.lake_io_manager import LakeResource
    from trading_platform.specs.configured import configured_feeds

    strategies.__path__.append(str(HERE / "strategies"))
    watch = Stopwatch()
    IBKRBroker.historical_bars = watch.around(IBKRBroker.historical_bars)  # type: ignore[method-assign]
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    found = []
    with local_platform() as platform, dg.DagsterInstance.get() as instance:
        settings = platform.settings
        job = build_definitions(settings).resolve_job_def(JOB)
        feed = next(feed for feed in configured_feeds(settings) if feed.name == "all")
        for sessions in missing_history(feed, LakeResource(url=settings.lake), settings.clock.now()):
            request = history_request(feed, sessions)
            result = job.execute_in_process(
                instance=instance, asset_selection=request.asset_selection, tags=dict(request.tags), run_config=quiet
            )
            assert result.success
        for tick in range(ticks + 1):
            time.sleep(60 - settings.clock.now().timestamp() % 60)
            watch.take()
            start = time.perf_counter()
            result = job.execute_in_process(instance=instance, partition_key=AS_OF[:10], run_config=quiet)
            seconds = time.perf_counter() - start
            assert result.success
            sample = {"run": seconds, "broker": watch.take()}
            for step in instance.get_run_step_stats(result.run_id):
                name = next(label for end, label in STEPS.items() if step.step_key.endswith(end))
                sample[name] = (step.end_time or 0.0) - (step.start_time or 0.0)
            if tick:  # the first one imports pandas and connects
                found.append(sample)
    return found


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        with tempfile.TemporaryDirectory() as name:
            specs = Path(name) / "strategies"
            specs.mkdir()
            (specs / "all.yaml").write_text(SPEC.format(symbols=", ".join(SYMBOLS)))
            command = [sys.executable, "-W", "ignore", __file__, "--inside", "--ticks", str(arguments.ticks)]
            command += ["--json", str(arguments.json.resolve())] if arguments.json else []
            own = {"TRADING_PLATFORM_HOME": str(Path(name) / "home"), "TRADING_PLATFORM_STRATEGIES": str(specs)}
            subprocess.run(command, check=True, env={**os.environ, **own})
        return
    from trading_platform.domain.signals import strategies
    from trading_platform.ops.local import move_clock

    strategies.__path__.append(str(HERE / "strategies"))
    move_clock(datetime.fromisoformat(AS_OF))
    found = measure(arguments.ticks)
    labels = {"run": "the whole run", "broker": "of it waiting for bars", **{name: name for name in STEPS.values()}}
    rows = {f"{label}, s": spread([sample[key] for sample in found]) for key, label in labels.items()}
    show(
        "A tick of 25 symbols, 1-minute bars, to validated bars and 17 features", rows, arguments.json, {"ticks": found}
    )


if __name__ == "__main__":
    main()
