"""Bars of the broker, asked for in as few requests as it takes: at a real gateway, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.brokers.base import NoDataError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import session_labels
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.sources.base import SourcedBars
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway

NOW = datetime(2013, 2, 27, 15, 0, 30, tzinfo=timezone.utc)
TODAY = date(2013, 2, 27)
AAPL, FB = Instrument("AAPL"), Instrument("FB")
BTC = Instrument("BTC", "CRYPTO", exchange="PAXOS", calendar="24/7")
XNYS, ALWAYS = get_calendar("XNYS"), get_calendar("24/7")


@pytest.fixture(scope="module")
def source() -> Iterator[BrokerSource]:
    gateway = PaperGateway(GatewayConfig(port=0), ManualClock(NOW).now).start_in_thread()
    with IBKRBroker(IBKRConfig(port=gateway.port, read_attempts=1)) as broker:
        yield BrokerSource(broker)
    gateway.stop_in_thread()


def ask(source: BrokerSource, instrument: Instrument, bar_size: BarSize, sessions: list[date]) -> SourcedBars:
    return source.bars(instrument, bar_size, sessions, since=None, now=NOW)


def labels(sent: SourcedBars, bar_size: BarSize, instrument: Instrument = AAPL) -> pd.Series[str]:
    return session_labels(sent.bars["ts_utc"], bar_size, get_calendar(instrument.calendar))


@pytest.mark.parametrize(
    ("bar_size", "first", "requests"),
    [
        ("1 day", date(2003, 1, 2), 1),
        ("1 hour", date(2009, 3, 2), 1),
        ("5 mins", date(2012, 10, 15), 1),
        ("1 min", date(2013, 1, 31), 1),
        ("1 min", date(2013, 1, 3), 2),
    ],
)
def test_a_long_history_is_a_few_requests_and_complete(
    source: BrokerSource, bar_size: BarSize, first: date, requests: int
) -> None:
    sessions = XNYS.sessions(first, TODAY)
    sent = ask(source, AAPL, bar_size, sessions)
    assert sent.requests == requests
    assert sorted(set(labels(sent, bar_size))) == [session.isoformat() for session in sessions]
    assert not sent.bars.duplicated("ts_utc").any()


def test_around_the_clock_a_year_ends_at_midnight_and_lacks_no_day(source: BrokerSource) -> None:
    sessions = ALWAYS.sessions(TODAY - timedelta(days=800), TODAY - timedelta(days=1))
    sent = ask(source, BTC, "1 day", sessions)
    assert sent.requests == 1
    assert list(labels(sent, "1 day", BTC)) == [session.isoformat() for session in sessions]


def test_what_lies_between_the_wanted_sessions_is_fetched_with_them_and_left_out(source: BrokerSource) -> None:
    wanted = [date(2013, 2, 4), date(2013, 2, 26)]
    sent = ask(source, AAPL, "5 mins", wanted)
    assert sent.requests == 1
    assert labels(sent, "5 mins").value_counts().to_dict() == {"2013-02-04": 78, "2013-02-26": 78}


def test_a_time_before_its_listing_is_no_data(source: BrokerSource) -> None:
    with pytest.raises(NoDataError):
        ask(source, FB, "1 day", XNYS.sessions(date(2005, 1, 3), date(2005, 1, 10)))
