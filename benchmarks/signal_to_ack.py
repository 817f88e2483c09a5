"""From a tick's signals to its acknowledged orders, inside the run: what the assets `order_intents` and `orders` do.

The parts are real: PostgreSQL, the paper gateway as a process of its own, the client library over its socket. Each
sample is one strategy's tick of 1, 25 or 500 market orders, one per symbol: guards, account and quotes, sizing, all
risk controls, the ledger's transactions, the look at the broker's lists, the controls again, and the sending.

Limits of `risk.yaml` that would refuse so many orders are raised; the client's pacing (45 messages in a second, where
IBKR allows 50) is left as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from common import show

SESSION = date(2013, 2, 28)
START = datetime(2013, 2, 28, 16, 0, tzinfo=timezone.utc)  # 11:00 in New York
ACCOUNT = "DU20130228"
PRICE = 50.0


def write_bars(directory: Path, symbols: list[str]) -> None:
    """Daily bars for the paper market: quiet, liquid stocks around the same price."""
    import numpy as np
    import pandas as pd

    from trading_platform.domain.calendars import get_calendar

    days = get_calendar("XNYS").sessions(SESSION - timedelta(days=60), SESSION)
    rng = np.random.default_rng(7)
    frames = []
    for symbol in symbols:
        close = PRICE * np.exp(np.cumsum(rng.normal(0, 0.002, len(days))))
        opened = np.concatenate([[PRICE], close[:-1]])
        high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
        prices = {"open": opened, "high": high, "low": low, "close": close}
        frames.append(
            pd.DataFrame({"symbol": symbol, "ts": [day.isoformat() for day in days], "volume": 20_000_000}).assign(
                **{name: np.round(values, 2) for name, values in prices.items()}
            )
        )
    bars = pd.concat(frames)
    bars["high"] = bars[["open", "high", "close"]].max(axis=1)
    bars["low"] = bars[["open", "low", "close"]].min(axis=1)
    bars.to_csv(directory / "bars.csv", index=False)


@contextlib.contextmanager
def gateway(work: Path, data: Path, offset: timedelta) -> Iterator[int]:
    """The paper gateway as a process; yields its port."""
    environment = {
        **os.environ,
        "TRADING_PLATFORM_HOME": str(work / "home"),
        "TRADING_PLATFORM_PAPER_DATA": str(data),
        "TRADING_PLATFORM_CLOCK_OFFSET_SECONDS": str(offset.total_seconds()),
        "TRADING_PLATFORM_AS_OF_SESSION": SESSION.isoformat(),
    }
    command = [sys.executable, "-m", "trading_platform.cli", "gateway", "--port", "0", "--account", ACCOUNT]
    with subprocess.Popen(command, env=environment, cwd=work, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "paper gateway:" not in said:
            process.kill()
            msg = f"the gateway did not start: {said}"
            raise SystemExit(msg)
        try:
            yield int(said.split(":")[2].split(",")[0])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@dataclass
class Sample:
    """One tick: seconds from its signals to each acknowledgement, and to the end of both steps."""

    acknowledged: list[float]
    decided: float
    done: float


class Bench:
    """Ledger, broker and clock of the measurement. Each tick is another strategy's."""

    def __init__(self, ledger: Any, broker: Any, clock: Any, symbols: list[str]) -> None:
        from trading_platform.domain.instruments import Instrument

        self.ledger, self.broker, self.clock = ledger, broker, clock
        self.symbols = symbols
        self.instruments = {symbol: Instrument(symbol) for symbol in symbols}
        self.strategies = 0

    def tick(self, orders: int) -> Sample:
        """Decide and submit one tick of so many orders."""
        import pandas as pd

        from trading_platform.domain.calendars import get_calendar
        from trading_platform.domain.market_data.bars import due_bar
        from trading_platform.domain.signals.ticks import Decision, decision_at
        from trading_platform.execution import trade
        from trading_platform.settings import Settings

        spec = self._spec(orders)
        calendar = get_calendar("XNYS")
        due = decision_at(spec, calendar, self.clock.now())
        assert isinstance(due, Decision)
        signals = pd.DataFrame(
            [
                {
                    "symbol": symbol,
                    "tick_utc": pd.Timestamp(due.tick_utc),
                    "as_of_utc": pd.Timestamp(due.as_of_utc),
                    "side": "LONG",
                    "target_weight": 1.0,
                    "confidence": 0.6,
                    "price": PRICE,
                    "reason": "benchmark",
                }
                for symbol in spec.universe
            ]
        )
        run = trade.OrderRun(
            spec=spec,
            sessions=(SESSION.isoformat(),),
            run_id=f"run-{spec.name}",
            run_tags={},
            settings=Settings(_env_file=None, ibkr_account=ACCOUNT),
            clock=self.clock,
            instruments=self.instruments,
            ledger=self.ledger,
            connect=lambda: self.broker,
            quarantined=frozenset,
            log=lambda _: None,
            newest_bars=lambda: dict.fromkeys(spec.universe, due_bar(spec.bar_size, calendar, self.clock.now())),
        )
        began, start = self.clock.now(), time.perf_counter()
        trade.decide_current_tick(run, signals)
        decided = time.perf_counter() - start
        sent = trade.submit_current_tick(run)
        done = time.perf_counter() - start
        if sent.new_orders != orders:
            msg = f"{sent.new_orders} of {orders} orders were placed: {sent.outcome[:2000]}"
            raise SystemExit(msg)
        names = [order.client_order_id for order in self.ledger.orders(ACCOUNT, strategy=spec.name)]
        events = self.ledger.order_events(ACCOUNT, client_order_ids=names)
        acknowledged = [
            (event.ts_utc - began).total_seconds()
            for event in events
            if event.perm_id and event.from_status is not None and event.from_status.value == "submitting"
        ]
        return Sample(sorted(acknowledged), decided, done)

    def _spec(self, orders: int) -> Any:
        from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
        from trading_platform.domain.signals.spec import SizingSpec, StrategySpec

        self.strategies += 1
        wide: dict[str, Any] = {
            "max_open_orders": 100_000,
            "max_orders_per_minute": 100_000,
            "max_orders_per_day": 100_000,
            "max_gross_exposure_usd": Decimal(10**9),
            "max_net_exposure_usd": Decimal(10**9),
            "max_price_deviation_pct": Decimal(20),
            "max_last_price_deviation_pct": Decimal(20),
            "duplicate_window_seconds": 0,
        }
        return StrategySpec(
            name=f"bench{self.strategies}",
            strategy="trend_momentum",
            description="benchmark",
            universe=tuple(self.symbols[:orders]),
            bar_size="1 min",
            cadence_minutes=60,
            history_sessions=1,
            sizing=SizingSpec(method="fixed_quantity", quantity=Decimal(3)),
            limits=Limits(**wide),
            account_limits=AccountLimits(**wide, max_sector_pct=Decimal(100)),
        )


def lines(samples: list[Sample]) -> str:
    """Median and 99th percentile of the acknowledgements; medians of a tick's last one and of its decision."""
    every = sorted(second for sample in samples for second in sample.acknowledged)
    p99 = every[min(len(every) - 1, round(0.99 * (len(every) - 1)))]
    last = statistics.median(sample.acknowledged[-1] for sample in samples)
    decided = statistics.median(sample.decided for sample in samples)
    return (
        f"median {statistics.median(every):.2f}, p99 {p99:.2f}; a tick's last {last:.2f}, its decision {decided:.2f} "
        f"(n={len(samples)})"
    )


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs=3, default=[40, 10, 3], help="ticks of 1, 25 and 500 orders")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from trading_platform.brokers.ibkr.client import IBKRBroker
    from trading_platform.brokers.ibkr.config import IBKRConfig
    from trading_platform.clock import SystemClock
    from trading_platform.storage.embedded_postgres import EmbeddedPostgres
    from trading_platform.storage.ledger import Ledger

    symbols = [f"S{number:03d}" for number in range(500)]
    clock = SystemClock.starting_at(START)
    rows: dict[str, str] = {}
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        work, data = Path(name), Path(name) / "data"
        data.mkdir()
        write_bars(data, symbols)
        server = EmbeddedPostgres(work / "postgres")
        ledger = Ledger(server.start().ledger)
        ledger.migrate()
        try:
            with (
                gateway(work, data, clock.offset) as port,
                IBKRBroker(IBKRConfig(port=port, account=ACCOUNT)) as broker,
            ):
                bench = Bench(ledger, broker, clock, symbols)
                bench.tick(1)  # opens the connection and imports what is imported late
                for orders, count in zip((1, 25, 500), arguments.samples, strict=True):
                    samples = [bench.tick(orders) for _ in range(count)]
                    rows[f"{orders} orders"] = lines(samples)
                    raw[f"{orders}"] = [vars(sample) for sample in samples]
        finally:
            ledger.close()
            server.stop()
    show("Seconds from a tick's signals to the acknowledgement of its orders", rows, arguments.json, raw)


if __name__ == "__main__":
    main()
