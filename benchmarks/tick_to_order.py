"""From a schedule's tick to the acknowledged order, under the daemon, as `trading-platform dev` runs it.

The agent is the shipped `tsla` strategy with a tick every minute instead of every five, six symbols and averages so
short that most ticks trade: what is measured is the platform, not the strategy. The platform's clock is moved by a
whole number of minutes into a session, so that wall-clock minutes are platform minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from common import show, spread

SESSION = "2013-02-28"
START = datetime(2013, 2, 28, 16, 0, tzinfo=timezone.utc)  # 11:00 in New York
SPEC = """
name: tsla
strategy: trend_momentum
description: The tsla agent at a faster pace, for measuring.
universe: [TSLA, AAPL, IBM, MSFT, NVDA, AMZN]
calendar: XNYS
bar_size: 1 min
cadence_minutes: 1
history_sessions: 1
parameters: {fast: 2, slow: 3, rsi_period: 2, atr_period: 2, rsi_floor: 50, rsi_ceiling: 100}
sizing: {equity_fraction: 0.04}
"""


def environment(work: Path) -> tuple[dict[str, str], timedelta]:
    """Environment of the platform, and how far its clock is from the wall's."""
    wall = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    offset = START - wall
    specs = work / "strategies"
    specs.mkdir()
    (specs / "tsla.yaml").write_text(SPEC)
    # it trades noise every minute: a pause after losses would only make the measurement longer
    (specs / "risk.yaml").write_text("account: {max_consecutive_losses: 1000000}\n")
    settings = {
        "HOME": str(work / "home"),
        "STRATEGIES": str(specs),
        "SYMBOLS": "TSLA,AAPL,IBM,MSFT,NVDA,AMZN",
        "CLOCK_OFFSET_SECONDS": str(offset.total_seconds()),
        "AS_OF_SESSION": SESSION,
    }
    return {**os.environ, **{f"TRADING_PLATFORM_{name}": value for name, value in settings.items()}}, offset


def acknowledged(ledger: Any, account: str) -> dict[datetime, datetime]:
    """For each tick that sent an order: when its first acknowledgement was recorded, platform time."""
    ticks = {order.client_order_id: order.intent.tick_utc for order in ledger.orders(account)}
    first: dict[datetime, datetime] = {}
    for event in ledger.order_events(account):
        if event.perm_id and event.from_status is not None and event.from_status.value == "submitting":
            tick = ticks[event.client_order_id]
            first[tick] = min(first.get(tick, event.ts_utc), event.ts_utc)
    return first


def starts(instance: Any) -> dict[datetime, tuple[float, float]]:
    """For each tick: when its run was created and when its worker began, epoch seconds of the wall clock."""
    found = {}
    for record in instance.get_run_records(limit=200):
        tick = record.dagster_run.tags.get("trading_platform/tick")
        if tick and record.start_time:
            found[datetime.fromisoformat(tick)] = (record.create_timestamp.timestamp(), record.start_time)
    return found


def watch(home: Path, ticks: int, offset: timedelta, deadline: float) -> list[dict[str, float]]:
    """Wait until ``ticks`` ticks have sent an order; seconds after the tick of each stage."""
    import dagster as dg

    from trading_platform.storage.embedded_postgres import EmbeddedPostgres
    from trading_platform.storage.ledger import Ledger

    server = EmbeddedPostgres(home / "postgres")
    urls = server.start()
    os.environ["TRADING_PLATFORM_DAGSTER_DATABASE_URL"] = urls.dagster
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    ledger = Ledger(urls.ledger)
    account = f"DU{SESSION.replace('-', '')}"
    while time.monotonic() < deadline:
        time.sleep(5)
        if ledger.is_current() and len(acknowledged(ledger, account)) > ticks:
            break
    rows = []
    with dg.DagsterInstance.get() as instance:
        begun = starts(instance)
    for tick, acknowledgement in sorted(acknowledged(ledger, account).items())[1:]:  # the first warms everything up
        due = (tick - offset).timestamp()
        if tick in begun:
            created, started = begun[tick]
            rows.append(
                {
                    "run created": created - due,
                    "worker started": started - due,
                    "order acknowledged": (acknowledgement - offset).timestamp() - due,
                }
            )
    ledger.close()
    server.stop()
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        env, offset = environment(work)
        with (work / "dev.log").open("w") as log:
            dev = subprocess.Popen(
                [sys.executable, "-m", "trading_platform.cli", "dev"], env=env, cwd=work, stdout=log, stderr=log
            )
        try:
            home = work / "home"
            while not (home / "postgres" / "postmaster.pid").exists():
                time.sleep(1)
                if dev.poll() is not None:
                    raise SystemExit((work / "dev.log").read_text())
            rows = watch(home, arguments.ticks, offset, time.monotonic() + 60 * (arguments.ticks * 2 + 5))
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(60)
    table = {stage: spread([row[stage] for row in rows]) for stage in rows[0]} if rows else {"ticks": "none traded"}
    show("Seconds after the schedule's tick: median (lowest … highest)", table, arguments.json, {"ticks": rows})


if __name__ == "__main__":
    main()
