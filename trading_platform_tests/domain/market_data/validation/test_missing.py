"""Missing bars are counted to the minute: half days, clock changes, days on which the exchange unexpectedly closed."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import expected_bar_starts
from trading_platform.domain.market_data.spans import SessionSpans
from trading_platform.domain.market_data.validation import join_missing, missing_bars
from trading_platform.domain.market_data.validation.missing import COLUMNS, look_back_holes, of_listed
from trading_platform.domain.signals.spec import BarSize
from trading_platform.domain.tickers import TickerSpan

UTC = timezone.utc
XNYS = get_calendar("XNYS")
LATER = datetime(2026, 1, 1, tzinfo=UTC)
LENGTHS: dict[BarSize, int] = {"1 min": 1, "5 mins": 5, "15 mins": 15, "1 hour": 60}


def bars_of(*stamps: datetime, symbol: str = "AAPL") -> pd.DataFrame:
    index = pd.DatetimeIndex(list(stamps), tz="UTC").as_unit("ns")
    return pd.DataFrame({"symbol": symbol, "ts_utc": index}, columns=["symbol", "ts_utc"])


def lacking(
    bars: pd.DataFrame, *days: str, bar_size: BarSize = "1 min", calendar: str = "XNYS", as_of: datetime = LATER
):
    return missing_bars(
        bars,
        symbols=["AAPL"],
        sessions=[date.fromisoformat(day) for day in days],
        bar_size=bar_size,
        calendar=get_calendar(calendar),
        as_of=as_of,
    )


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2013-02-28", 390), ("2012-11-23", 210), ("2013-03-11", 390), ("2024-07-03", 210), ("2001-09-17", 390)],
)
def test_a_session_has_as_many_minutes_as_the_exchange_was_open(day: str, expected: int):
    (row,) = lacking(bars_of(), day).to_dict("records")
    assert (row["expected"], row["present"], row["missing"]) == (expected, 0, expected)
    starts = expected_bar_starts(date.fromisoformat(day), "1 min", XNYS)
    assert (row["first_missing_utc"], row["last_missing_utc"]) == (starts[0], starts[-1])
    assert lacking(bars_of(*starts), day).empty


@pytest.mark.parametrize("day", ["2001-09-11", "2001-09-14", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"])
def test_on_days_the_exchange_unexpectedly_stayed_closed_nothing_is_missing(day: str):
    closed = date.fromisoformat(day)
    assert not XNYS.is_session(closed)
    around = XNYS.sessions(closed - timedelta(days=4), closed + timedelta(days=6))
    assert closed not in around
    stamps = [datetime(each.year, each.month, each.day, tzinfo=UTC) for each in around]
    found = missing_bars(
        bars_of(*stamps), symbols=["AAPL"], sessions=around, bar_size="1 day", calendar=XNYS, as_of=LATER
    )
    assert found.empty


def test_a_hole_is_named_with_its_first_and_last_bar_and_strangers_do_not_fill_it():
    starts = expected_bar_starts(date(2013, 2, 28), "5 mins", XNYS)
    kept = [*starts[:10], *starts[13:]]
    bars = pd.concat([bars_of(*kept), bars_of(*starts, symbol="IBM"), bars_of(starts[11] + timedelta(minutes=1))])
    (row,) = lacking(bars, "2013-02-28", bar_size="5 mins").to_dict("records")
    assert (row["symbol"], row["session"], row["missing"], row["present"]) == ("AAPL", "2013-02-28", 3, 75)
    assert (row["first_missing_utc"], row["last_missing_utc"]) == (starts[10], starts[12])


def test_while_the_session_runs_only_bars_that_have_ended_are_expected():
    at = datetime(2013, 2, 28, 14, 47, tzinfo=UTC)
    (row,) = lacking(bars_of(), "2013-02-28", bar_size="5 mins", as_of=at).to_dict("records")
    assert row["expected"] == 3
    assert lacking(bars_of(), "2013-02-28", bar_size="1 day", as_of=at).empty
    assert lacking(bars_of(), "2013-02-28", as_of=at - timedelta(hours=1)).empty


def test_a_market_that_never_closes_has_every_minute_of_every_day():
    rows = lacking(bars_of(), "2013-12-25", "2013-12-28", calendar="24/7").to_dict("records")
    assert [(row["session"], row["expected"]) for row in rows] == [("2013-12-25", 1440), ("2013-12-28", 1440)]


def test_the_last_hour_of_a_half_day_is_short_and_still_expected():
    (row,) = lacking(bars_of(), "2012-11-23", bar_size="1 hour").to_dict("records")
    assert row["expected"] == 4


@settings(max_examples=60, deadline=None)
@given(
    first=st.dates(date(1998, 3, 1), date(2030, 1, 1)),
    bar_size=st.sampled_from(sorted(LENGTHS)),
    name=st.sampled_from(["XNYS", "XLON", "24/7"]),
)
def test_the_expected_bars_of_whole_arrays_are_those_of_single_sessions(first: date, bar_size: BarSize, name: str):
    calendar = get_calendar(name)
    days = calendar.sessions(first, first + timedelta(days=20))
    starts, position = SessionSpans.of(calendar, days).expected_starts(LENGTHS[bar_size] * 60_000_000_000)
    expected = [(at, nth) for nth, day in enumerate(days) for at in expected_bar_starts(day, bar_size, calendar)]
    assert [(int(at.timestamp()) * 1_000_000_000, nth) for at, nth in expected] == list(
        zip(starts.tolist(), position.tolist(), strict=True)
    )


def test_nothing_is_missing_of_a_session_in_which_the_instrument_was_not_listed() -> None:
    days = [date(2012, 5, 16), date(2012, 5, 17), date(2012, 5, 18), date(2012, 5, 21)]
    missing = missing_bars(
        bars_of(datetime(2012, 5, 21, tzinfo=UTC), symbol="FB"),
        symbols=["FB", "IBM"],
        sessions=days,
        bar_size="1 day",
        calendar=XNYS,
        as_of=LATER,
    )
    facebook = Instrument("FB", tickers=(TickerSpan("FB", date(2012, 5, 18)),))
    lacking_bars, unlisted = of_listed(missing, {"FB": facebook})
    assert unlisted[["symbol", "session"]].to_numpy().tolist() == [["FB", "2012-05-16"], ["FB", "2012-05-17"]]
    assert lacking_bars[lacking_bars["symbol"] == "FB"]["session"].tolist() == ["2012-05-18"]
    assert len(lacking_bars[lacking_bars["symbol"] == "IBM"]) == 4


@pytest.mark.parametrize(
    ("calendar", "day", "bar_size", "count"),
    [
        ("XLON", "2024-03-11", "1 min", 510),
        ("XLON", "2024-12-24", "5 mins", 54),
        ("FX", "2024-03-11", "1 min", 1425),
        ("FX", "2024-11-04", "1 hour", 24),
        ("24/5", "2024-03-11", "15 mins", 96),
        ("24/7", "2024-03-10", "1 min", 1440),
    ],
)
def test_every_calendar_knows_what_is_missing(calendar: str, day: str, bar_size: BarSize, count: int) -> None:
    starts = expected_bar_starts(date.fromisoformat(day), bar_size, get_calendar(calendar))
    none_there = lacking(bars_of(), day, bar_size=bar_size, calendar=calendar)
    assert none_there["missing"].tolist() == [count]
    one_short = lacking(bars_of(*starts[:-1]), day, bar_size=bar_size, calendar=calendar)
    assert one_short["first_missing_utc"].tolist() == [starts[-1]]
    assert lacking(bars_of(*starts), day, bar_size=bar_size, calendar=calendar).empty


def test_what_several_looks_found_missing_is_one_table_in_order() -> None:
    one = pd.DataFrame({"session": ["2013-02-27", "2013-02-26"], "symbol": ["IBM", "IBM"]})
    other = pd.DataFrame({"session": ["2013-02-26"], "symbol": ["AAPL"]})
    found = join_missing([one, pd.DataFrame(columns=COLUMNS), other])
    assert list(zip(found["session"], found["symbol"], strict=True)) == [
        ("2013-02-26", "AAPL"),
        ("2013-02-26", "IBM"),
        ("2013-02-27", "IBM"),
    ]
    assert list(join_missing([]).columns) == COLUMNS


def test_a_hole_in_the_look_back_is_its_symbols_alone_and_what_is_before_its_first_bar_is_none() -> None:
    days = XNYS.sessions(date(2013, 2, 25), date(2013, 2, 28))
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    bars = pd.concat(
        [
            bars_of(*stamps, symbol="IBM"),
            bars_of(stamps[0], *stamps[2:], symbol="AAPL"),
            bars_of(*stamps[2:], symbol="YOUNG"),
            bars_of(stamps[0], stamps[3], symbol="FB"),
        ]
    )
    holes = look_back_holes(
        bars,
        symbols=["AAPL", "FB", "IBM", "NEVER", "YOUNG"],
        sessions=days,
        bar_size="1 day",
        calendar=XNYS,
        as_of=LATER,
        instruments={"FB": Instrument("FB", tickers=(TickerSpan("FB", date(2013, 2, 27)),))},
    )
    assert holes[["symbol", "session", "missing"]].to_numpy().tolist() == [
        ["AAPL", "2013-02-26", 1],
        ["FB", "2013-02-27", 1],
    ]


def test_holes_within_a_session_are_seen_to_the_bar() -> None:
    starts = expected_bar_starts(date(2013, 2, 27), "5 mins", XNYS)
    holes = look_back_holes(
        bars_of(*starts[3:40], *starts[44:]),
        symbols=["AAPL"],
        sessions=[date(2013, 2, 27)],
        bar_size="5 mins",
        calendar=XNYS,
        as_of=LATER,
        instruments={},
    )
    assert holes["last_missing_utc"].tolist() == [starts[43]]
