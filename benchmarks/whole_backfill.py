"""Raw bars to features for a whole market as one backfill: through Dagster, and a bare script beside it.

The raw bars are in the lake already, so that no broker is measured. Each sample is a process of its own; platform and
bare script take turns, since machines are noisy. The bare script (`bare` below) knows no Dagster, no contracts, no
quarantine table, no versions and no fsync: it reads the same files, asks the same rules, computes the same features
with the same kernels and writes as many files of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from common import show, spread

HERE = Path(__file__).parent
REAL = HERE.parents[1] / "shared" / "data" / "daily_us_equities" / "sp500_2013_2018_kaggle.parquet"
RAW, VALID, BAD = (("market_data", f"daily_{name}_bars") for name in ("raw", "validated", "quarantined"))
FEATURES = ("features", "daily_features")
HISTORY = 201
SPEC = """
name: momentum
strategy: many_features
description: Reads what the benchmarks compute.
universe: [{symbols}]
bar_size: 1 day
history_sessions: {history}
"""


def real_bars() -> Any:
    """505 symbols, five years, as raw bars; dates that are no session are left out."""
    import pandas as pd

    bars = pd.read_parquet(REAL)
    frame = pd.DataFrame({"symbol": bars["symbol"].astype(object), "session": bars["ts"].dt.strftime("%Y-%m-%d")})
    for name in ("open", "high", "low", "close", "volume"):
        frame[name] = bars[name].astype("float64")
    return frame


def made_up_bars(symbols: int, years: int) -> Any:
    """Random walks: ``symbols`` for ``years`` of 252 sessions, the last of them in 2024."""
    import numpy as np
    import pandas as pd

    from trading_platform.domain.calendars import get_calendar

    days = [day.isoformat() for day in get_calendar("XNYS").sessions(date(2010, 1, 1), date(2024, 12, 31))]
    days = days[-252 * years :]
    random = np.random.default_rng(7)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (len(days), symbols)), axis=0))
    names = np.array([f"S{number:04}" for number in range(symbols)], dtype=object)
    close = close.ravel()
    return pd.DataFrame(
        {
            "symbol": np.tile(names, len(days)),
            "session": np.repeat(np.array(days, dtype=object), symbols),
            "open": close * 0.999,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": random.integers(1_000, 1_000_000, len(close)).astype("float64"),
        }
    )


def prepare(home: Path, bars: Any) -> list[str]:
    """Write specs and the raw bars; return the sessions."""
    import pandas as pd

    from trading_platform.domain.calendars import get_calendar
    from trading_platform.storage.lake import Lake

    specs = home / "specs"
    specs.mkdir(parents=True)
    symbols = [f"'{symbol}'" for symbol in sorted(bars["symbol"].unique())]
    (specs / "momentum.yaml").write_text(SPEC.format(symbols=", ".join(symbols), history=HISTORY))
    (specs / "universe.yaml").write_text(f"instruments: {{{', '.join(f'{symbol}: {{}}' for symbol in symbols)}}}\n")
    bars["ts_utc"] = pd.to_datetime(bars["session"], utc=True).astype("datetime64[ns, UTC]")
    bars["is_final"], bars["source"] = True, "benchmark"
    bars["received_at_utc"] = pd.Timestamp("2025-01-02", tz="UTC").as_unit("ns")
    first, last = bars["session"].min(), bars["session"].max()
    sessions = [
        day.isoformat() for day in get_calendar("XNYS").sessions(date.fromisoformat(first), date.fromisoformat(last))
    ]
    bars = bars[bars["session"].isin(sessions)].sort_values(["symbol", "ts_utc"], kind="stable", ignore_index=True)
    lake = Lake(str(home / "lake"))
    for start in range(0, len(sessions), 250):
        part = sessions[start : start + 250]
        lake.write_sessions(RAW, bars[bars["session"].isin(part)], part)
    return sessions


def platform(home: Path, sessions: list[str], *, is_recorded: bool) -> dict[str, float]:
    """The job ``daily_bars`` without its raw bars, in as few ranged runs as its backfill policy allows."""
    import dagster as dg

    from trading_platform.definitions import build_definitions
    from trading_platform.defs.sensors import RANGE_END, RANGE_START
    from trading_platform.domain.signals import strategies
    from trading_platform.ops.local import local_platform
    from trading_platform.settings import get_settings

    strategies.__path__.append(str(HERE / "strategies"))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

    def run(instance: dg.DagsterInstance) -> dict[str, float]:
        definitions = build_definitions(get_settings())
        job = definitions.resolve_job_def("daily_bars")
        policy = definitions.resolve_assets_def(dg.AssetKey(FEATURES)).backfill_policy
        size = (policy.max_partitions_per_run if policy else None) or len(sessions)
        clock, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(sessions), size):
            part = sessions[start : start + size]
            assert job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(key) for key in (VALID, BAD, FEATURES)],
                tags={RANGE_START: part[0], RANGE_END: part[-1]},
                run_config=quiet,
            ).success
            gc.collect()  # a result holds the run's frames, which end with its process where Dagster starts one
        return {
            "seconds": time.perf_counter() - clock,
            "cpu_seconds": time.process_time() - cpu,
            "runs": -(-len(sessions) // size),
        }

    if is_recorded:
        with local_platform(), dg.DagsterInstance.get() as instance:
            return run(instance)
    with dg.DagsterInstance.ephemeral() as instance:
        return run(instance)


def bare(home: Path, sessions: list[str]) -> dict[str, float]:
    """The same work with pyarrow and the kernels, and nothing around them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.features.compute import compute_features
    from trading_platform.domain.market_data.validation import validate_bars

    sys.path.insert(0, str(HERE / "strategies"))
    from many_features import STRATEGY

    clock, cpu = time.perf_counter(), time.process_time()
    as_of = datetime.now(timezone.utc)

    def read(session: str) -> pa.Table:
        return pq.read_table(home / "lake" / "/".join(RAW) / f"session={session}.parquet", use_threads=False)

    with ThreadPoolExecutor(2) as pool:
        raw = pa.concat_tables(pool.map(read, sessions)).combine_chunks().to_pandas()
        judged = validate_bars(raw, bar_size="1 day", calendar=get_calendar("XNYS"), as_of=as_of)
        features = compute_features(judged.valid, STRATEGY().features)
        for name, frame in (("valid", judged.valid), ("bad", judged.quarantined), ("features", features)):
            directory = home / "bare" / name
            directory.mkdir(parents=True, exist_ok=True)
            ordered = frame.sort_values("session", kind="stable", ignore_index=True)
            table = pa.Table.from_pandas(ordered, preserve_index=False)
            starts = ordered["session"].searchsorted([*sessions, "9999"])

            def write(number: int, table: pa.Table = table, starts: Any = starts, directory: Path = directory) -> None:
                part = table.slice(starts[number], starts[number + 1] - starts[number])
                pq.write_table(part, directory / f"session={sessions[number]}.parquet", compression="zstd")

            list(pool.map(write, range(len(sessions))))
    return {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu, "runs": 0}


def sample(home: Path, kind: str) -> dict[str, float]:
    """One process of its own. What an earlier one wrote is removed first."""
    for left in ("bare", "state", "lake/market_data/daily_validated_bars", "lake/features", "lake/.versions"):
        shutil.rmtree(home / left, ignore_errors=True)
    shutil.rmtree(home / "lake" / "/".join(BAD), ignore_errors=True)
    prefix = "TRADING_PLATFORM_"
    environment = os.environ | {
        f"{prefix}HOME": str(home / "state"),
        f"{prefix}LAKE_URL": str(home / "lake"),
        f"{prefix}STRATEGIES": str(home / "specs"),
        f"{prefix}IBKR_PORT": "1",  # nothing here asks a broker
    }
    command = [sys.executable, "-W", "ignore", __file__, "--inside", kind, "--home", str(home)]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def inside(kind: str, home: Path) -> None:
    """Run one sample in this process and print what it took."""
    sessions = json.loads((home / "sessions.json").read_text())
    found = bare(home, sessions) if kind == "bare" else platform(home, sessions, is_recorded=kind == "recorded")
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def compare(home: Path, bars: Any, samples: int, kinds: list[str]) -> dict[str, list[dict[str, float]]]:
    """Samples of each kind, taking turns, over these raw bars."""
    sessions = prepare(home, bars)
    (home / "sessions.json").write_text(json.dumps(sessions))
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(samples):
        for kind in kinds:
            found[kind].append(sample(home, kind))
            print(kind, found[kind][-1], file=sys.stderr, flush=True)
    return found


def rows_of(rows: int, found: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    """The table of a comparison of ``rows`` rows."""
    names = {
        "bare": "bare script",
        "recorded": "Dagster, recorded in PostgreSQL",
        "memory": "Dagster, recorded in memory",
    }
    table = {}
    for kind, samples in found.items():
        name = names[kind]
        seconds = [one["seconds"] for one in samples]
        table[f"{name}, s"] = spread(seconds)
        table[f"{name}, processor seconds of its process"] = spread([one["cpu_seconds"] for one in samples])
        table[f"{name}, rows per second"] = f"{rows / statistics.median(seconds):,.0f}"
        table[f"{name}, peak MiB"] = f"{max(one['peak_mib'] for one in samples):,.0f}"
        if kind != "bare" and "bare" in found:
            pairs = list(zip(samples, found["bare"], strict=True))
            table[f"{name} against bare"] = spread([one["seconds"] / other["seconds"] for one, other in pairs])
            cpu = [one["cpu_seconds"] / other["cpu_seconds"] for one, other in pairs]
            table[f"{name} against bare, processor seconds"] = spread(cpu)
    return table


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="also with an instance in memory")
    parser.add_argument(
        "--growth", action="store_true", help="made-up bars instead: 1 to 10 years, 50 to 5,000 symbols"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", choices=["bare", "recorded", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside, arguments.home)
        return
    cases = {"505 symbols, five years": real_bars}
    if arguments.growth:
        sizes = [(50, 1), (50, 10), (500, 1), (500, 5), (500, 10), (5000, 1), (5000, 2), (5000, 10)]
        cases = {
            f"{symbols:,} symbols, {years} years": lambda symbols=symbols, years=years: made_up_bars(symbols, years)
            for symbols, years in sizes
        }
    for title, make in cases.items():
        with tempfile.TemporaryDirectory() as name:
            bars = make()
            kinds = ["bare", "recorded"] + (["memory"] if arguments.memory else [])
            found = compare(Path(name), bars, arguments.samples, kinds)
        show(f"Raw to features: {title}, {len(bars):,} rows", rows_of(len(bars), found), arguments.json, {"of": found})


if __name__ == "__main__":
    main()
