"""A paper gateway, the real client, and a lake: what a run of raw bars has, without Dagster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import final_flags
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.ingest.bars import fetch_bars
from trading_platform.ingest.collect import BarStore as Store
from trading_platform.ingest.collect import Collected, Wish, collect
from trading_platform.ingest.sources.base import SourcedBars
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform.paper_gateway.faults import Faults
from trading_platform.paper_gateway.server import GatewayConfig, PaperGateway
from trading_platform.storage.bar_store import BarStore
from trading_platform.storage.lake import Lake

LIMIT = 1e-4


class HandClock:
    """A clock that is set by hand, also back: each test begins at a time of its own."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, by: timedelta) -> None:
        self.moment += by


class CountingSource(BrokerSource):
    """The broker, with a list of what was asked of it: symbol, sessions and since."""

    def __init__(self, broker: IBKRBroker) -> None:
        super().__init__(broker)
        self.asked: list[tuple[str, tuple[str, ...], datetime | None]] = []

    def bars(self, instrument: Instrument, bar_size, sessions, *, since, now) -> SourcedBars:  # type: ignore[no-untyped-def]  # as the protocol
        self.asked.append((instrument.symbol, tuple(day.isoformat() for day in sessions), since))
        return super().bars(instrument, bar_size, sessions, since=since, now=now)


@dataclass
class Desk:
    """One feed's ingest against a gateway whose clock is moved by hand."""

    gateway: PaperGateway
    clock: HandClock
    broker: IBKRBroker
    instruments: dict[str, Instrument]
    lake: Lake
    source: CountingSource = field(init=False)

    def __post_init__(self) -> None:
        self.source = CountingSource(self.broker)

    @property
    def faults(self) -> Faults:
        return self.gateway.faults

    def restart(self) -> None:
        """Stop the gateway, and start another on the same port with the same saved state."""
        config = self.gateway.config
        port = self.gateway.port
        self.gateway.stop_in_thread()
        again = GatewayConfig(port=port, account=config.account, state_path=config.state_path, pacing_enabled=False)
        self.gateway = PaperGateway(again, self.clock.now).start_in_thread()

    def store(self, feed: Feed) -> BarStore:
        return BarStore(self.lake, feed.name)

    def collect(self, feed: Feed, sessions: Sequence[date], *, store: Store | None = None, **told) -> Collected:  # type: ignore[no-untyped-def]  # fields of Wish
        wish = Wish(dict.fromkeys(feed.symbols, LIMIT), told.pop("splits", {}), **told)
        return collect(
            self.source, store or self.store(feed), feed, self.instruments, sessions, clock=self.clock.now, wish=wish
        )

    def full(self, feed: Feed, sessions: Sequence[date]) -> pd.DataFrame:
        """What a full request has at this instant."""
        bars = fetch_bars(BrokerSource(self.broker), feed, self.instruments, sessions, self.clock.now()).bars
        return plain(bars)

    def stored(self, feed: Feed, sessions: Sequence[date]) -> pd.DataFrame:
        return plain(self.store(feed).bars([day.isoformat() for day in sessions]))


def plain(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars in a fixed order, without when they were received."""
    ordered = bars.sort_values(["symbol", "ts_utc"], kind="stable", ignore_index=True)
    return ordered[sorted(set(ordered.columns) - {"received_at_utc"})]


def assert_truthful(bars: pd.DataFrame, feed: Feed) -> None:
    """Every bar is called final if and only if it had ended when it was received."""
    for received, rows in bars.groupby("received_at_utc"):
        flags = final_flags(rows["ts_utc"], feed.bar_size, get_calendar(feed.calendar), received.to_pydatetime())  # type: ignore[attr-defined]  # a Timestamp
        assert (flags == rows["is_final"]).all()


@contextmanager
def desk_at(home: Path, moment: datetime, instruments: dict[str, Instrument]) -> Iterator[Desk]:
    """A desk whose gateway starts at ``moment``."""
    clock = HandClock(moment)
    config = GatewayConfig(port=0, state_path=home / "account.sqlite", pacing_enabled=False)
    gateway = PaperGateway(config, clock.now).start_in_thread()
    settings = IBKRConfig(
        port=gateway.port, client_id=61, request_timeout_seconds=10, read_attempts=4, retry_wait_seconds=0.05
    )
    with IBKRBroker(settings) as broker:
        desk = Desk(gateway, clock, broker, instruments, Lake(str(home / "lake")))
        try:
            yield desk
        finally:
            desk.gateway.stop_in_thread()
