"""Fetching a feed's bars: complete or named as failed, one symbol never at the others' cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.brokers.base import (
    BrokerConnectionError,
    BrokerTimeoutError,
    NoDataError,
    PacingError,
    UnknownInstrumentError,
)
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.ingest.bars import NoBarsError, fetch_bars
from trading_platform.ingest.instruments import resolve_instruments
from trading_platform.ingest.sources.broker import BrokerSource
from trading_platform.schemas.base import validate
from trading_platform.schemas.market_data import RawBars
from trading_platform_tests.domain.orders.builders import details

SYMBOLS = ("AAPL", "FB", "IBM")
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in SYMBOLS}
DAILY = Feed("daily", "XNYS", "1 day", SYMBOLS, 5, ("momentum",))
FIVE_MINUTES = replace(DAILY, name="tsla", bar_size="5 mins")
CALENDAR = get_calendar("XNYS")
SESSIONS = [date(2013, 2, 26), date(2013, 2, 27), date(2013, 2, 28)]
NOW = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)


class Archive:
    """A broker that only has bars. ``trouble`` maps symbols to what asking for them raises."""

    account = "DU1"

    def __init__(self, trouble: dict[str, Exception] | None = None) -> None:
        self.trouble = trouble or {}
        self.asked: list[tuple[str, datetime | None, str]] = []
        self._lock = threading.Lock()

    def data_origin(self, instrument: Instrument) -> str:
        if isinstance(self.trouble.get(instrument.symbol), UnknownInstrumentError):
            raise self.trouble[instrument.symbol]
        return details(instrument.symbol).data_origin

    def historical_bars(
        self, instrument: Instrument, *, end: datetime | None, duration: str, bar_size: str, regular_hours_only=True
    ) -> pd.DataFrame:
        with self._lock:
            self.asked.append((instrument.symbol, end, duration))
        if instrument.symbol in self.trouble:
            raise self.trouble[instrument.symbol]
        until = end or NOW
        if bar_size == "1 day":
            days = CALENDAR.sessions((until - timedelta(days=9)).date(), until.date())
            starts = [pd.Timestamp(day, tz="UTC") for day in days]  # more than was asked for, as TWS sends
        else:
            starts = list(pd.date_range(CALENDAR.open_of(until.date()), until, freq="5min", inclusive="left"))
        return pd.DataFrame(
            {"ts_utc": starts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0, "count": 3}
        )


def fetch(broker: Archive, feed: Feed = DAILY, sessions: list[date] = SESSIONS, now: datetime = NOW):
    return fetch_bars(BrokerSource(broker), feed, INSTRUMENTS, sessions, now)


def test_the_bars_of_all_symbols_and_sessions_come_back_as_raw_bars():
    fetched = fetch(Archive())
    bars = validate(RawBars, fetched.bars)
    assert fetched.failures == {}
    assert set(zip(bars["symbol"], bars["session"], strict=True)) == {
        (symbol, day.isoformat()) for symbol in SYMBOLS for day in SESSIONS
    }
    assert set(bars["source"]) == {"synthetic path, seed 7"}
    assert set(bars["received_at_utc"]) == {pd.Timestamp(NOW)}


def test_bars_beyond_the_wanted_sessions_are_left_out():
    fetched = fetch(Archive(), sessions=[SESSIONS[1]])
    assert set(fetched.bars["session"]) == {"2013-02-27"}


def test_only_the_bar_in_progress_is_not_final():
    daily = fetch(Archive()).bars
    assert set(daily.loc[~daily["is_final"], "session"]) == {"2013-02-28"}
    intraday = fetch(Archive(), FIVE_MINUTES, [SESSIONS[2]], NOW + timedelta(minutes=2)).bars
    assert intraday["is_final"].all()


def test_consecutive_sessions_are_one_request_per_symbol():
    broker = Archive()
    fetched = fetch(broker)
    assert fetched.requests == 3 == len(broker.asked)
    assert {asked[1:] for asked in broker.asked} == {(None, "3 D")}


def test_a_session_that_has_not_opened_is_not_asked_for():
    broker = Archive()
    fetched = fetch(broker, sessions=[date(2013, 3, 1)])
    assert (len(fetched.bars), fetched.requests, broker.asked) == (0, 0, [])
    validate(RawBars, fetched.bars)


@pytest.mark.parametrize(
    "error",
    [
        UnknownInstrumentError("FB is unknown"),
        NoDataError("FB has no data"),
        PacingError("FB: too many requests"),
        BrokerTimeoutError("FB: no answer"),
    ],
)
def test_one_bad_symbol_costs_the_others_nothing_and_is_named(error):
    fetched = fetch(Archive({"FB": error}))
    assert dict(fetched.failures) == {"FB": str(error)}
    assert set(fetched.bars["symbol"]) == {"AAPL", "IBM"}


def test_without_a_single_symbol_there_is_nothing_to_go_on_with():
    trouble = {symbol: NoDataError(f"nothing of {symbol}") for symbol in SYMBOLS}
    with pytest.raises(NoBarsError, match="AAPL: nothing of AAPL; FB: nothing of FB; IBM"):
        fetch(Archive(trouble))


def test_a_lost_connection_is_nobodys_missing_data():
    with pytest.raises(BrokerConnectionError):
        fetch(Archive({"FB": BrokerConnectionError("gone")}))


class Directory(Archive):
    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        if instrument.symbol in self.trouble:
            raise self.trouble[instrument.symbol]
        return details(instrument.symbol)


def resolve(make: Callable[[str], Exception] | None = None, *symbols: str):
    trouble = {symbol: make(symbol) for symbol in symbols} if make else {}
    return resolve_instruments(Directory(trouble), list(INSTRUMENTS.values()))


def test_instruments_are_resolved_and_unknown_ones_named():
    found, unknown = resolve(lambda symbol: UnknownInstrumentError(f"{symbol} is unknown"), "FB")
    assert [one.instrument.symbol for one in found] == ["AAPL", "IBM"]
    assert unknown == [{"symbol": "FB", "reason": "FB is unknown"}]


def test_an_instrument_that_times_out_costs_the_others_nothing():
    found, unknown = resolve(lambda symbol: BrokerTimeoutError(f"no answer about {symbol}"), "IBM")
    assert len(found) == 2
    assert unknown[0]["reason"] == "no answer about IBM"


def test_a_broker_that_knows_nothing_is_an_error():
    with pytest.raises(UnknownInstrumentError, match="knows none of the instruments: AAPL is unknown"):
        resolve(lambda symbol: UnknownInstrumentError(f"{symbol} is unknown"), *SYMBOLS)


def test_a_lost_connection_is_no_unknown_instrument():
    with pytest.raises(BrokerConnectionError):
        resolve(lambda symbol: BrokerConnectionError("gone"), "FB")
