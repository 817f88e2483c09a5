"""One tick of the minute ingest late in the session: everything asked for, as it was, against what is new.

Between platform and gateway there is a real socket; the gateway is a process of its own, so that its work is not
counted as the platform's. Both ways read, ask and write the lake; Dagster is not part of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from multiprocessing.connection import Connection
from pathlib import Path

from common import show, spread

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.ingest.bars import fetch_bars
from trading_platform.ingest.collect import Wish, collect
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.specs.loader import load_universe
from trading_platform.storage.bar_store import BarStore
from trading_platform.storage.lake import Lake

START = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
SESSION = date(2013, 2, 28)
MINUTE = "minute"
MINUTE_LATER = timedelta(minutes=1)


def serve(pipe: Connection) -> None:
    """A paper gateway whose clock goes on by a minute whenever the other end says so."""
    clock = ManualClock(START)
    gateway = PaperGateway(GatewayConfig(port=0), clock.now).start_in_thread()
    pipe.send(gateway.port)
    while pipe.recv():
        clock.advance(MINUTE_LATER)
        pipe.send(True)
    gateway.stop_in_thread()


def measured(broker: IBKRBroker, work: Callable[[], int]) -> tuple[float, float, int, int]:
    """Seconds, processor seconds of this process, bytes received, bars received."""
    client = broker._connection.client  # type: ignore[union-attr]  # only the client counts what it receives
    before, wall, processor = client.connectionStats().numBytesRecv, time.perf_counter(), time.process_time()
    bars = work()
    took = time.perf_counter() - wall, time.process_time() - processor
    return *took, client.connectionStats().numBytesRecv - before, bars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    universe = load_universe(None)
    feed = next(feed for feed in universe.feeds if feed.name == MINUTE)
    mine, theirs = multiprocessing.Pipe()
    gateway = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    gateway.start()
    now = START
    full, tick = [], []
    wish = Wish(dict.fromkeys(feed.symbols, 1e-4), {})
    with (
        tempfile.TemporaryDirectory() as home,
        IBKRBroker(IBKRConfig(port=mine.recv(), client_id=71)) as broker,
    ):
        broker.connect()
        source, old, new = (
            BrokerSource(broker),
            BarStore(Lake(f"{home}/a"), MINUTE),
            BarStore(Lake(f"{home}/b"), MINUTE),
        )

        def as_it_was() -> int:
            bars = fetch_bars(source, feed, universe.instruments, [SESSION], now).bars
            old.write_bars(bars, [SESSION.isoformat()])
            return len(bars)

        def as_it_is() -> int:
            return collect(source, new, feed, universe.instruments, [SESSION], clock=lambda: now, wish=wish).bars

        as_it_was(), as_it_is()  # the lake holds the session so far, and the contracts are known
        for _ in range(options.ticks):
            mine.send(True)
            mine.recv()
            now += MINUTE_LATER
            full.append(measured(broker, as_it_was))
            tick.append(measured(broker, as_it_is))
        label = [SESSION.isoformat()]
        columns = ["symbol", "ts_utc", "open", "high", "low", "close", "volume", "is_final"]
        ways = [store.bars(label)[columns].sort_values(["symbol", "ts_utc"], ignore_index=True) for store in (old, new)]
        assert ways[0].equals(ways[1]), "the two ways do not end with the same bars"
        mine.send(False)
    rows = {}
    for name, samples in (("all of the session", full), ("what is new", tick)):
        wall, processor, received, bars = zip(*samples, strict=True)
        rows[f"{name}: seconds"] = spread(wall)
        rows[f"{name}: processor seconds"] = spread(processor)
        rows[f"{name}: kB received"] = f"{max(received) / 1000:.0f}"
        rows[f"{name}: bars received"] = str(max(bars))
    show(
        f"One tick of {len(feed.symbols)} symbols at 15:46 in New York",
        rows,
        options.json,
        {"full": full, "tick": tick},
    )


if __name__ == "__main__":
    main()
