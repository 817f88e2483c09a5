"""Stamps by other conventions become starts; what a clock says twice, or never, is told and not guessed."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import bar_end, expected_bar_starts
from trading_platform.domain.market_data.stamps import localize, starts_of

NEW_YORK = ZoneInfo("America/New_York")
XNYS, ALWAYS = get_calendar("XNYS"), get_calendar("24/7")


def ns(*texts: str) -> np.ndarray:
    return np.asarray(pd.DatetimeIndex(texts).as_unit("ns").asi8)


def texts(instants: np.ndarray) -> list[str]:
    return [f"{pd.Timestamp(int(one)):%Y-%m-%d %H:%M}" for one in instants]


@given(
    day=st.dates(date(2000, 1, 3), date(2024, 12, 1)),
    bar_size=st.sampled_from(["1 min", "5 mins", "15 mins", "1 hour", "1 day"]),
    name=st.sampled_from(["XNYS", "XLON", "XTKS", "XHKG", "XASX", "24/7"]),
)
def test_the_start_of_a_bar_that_ends_where_it_ends_is_where_it_starts(day, bar_size, name) -> None:
    calendar = get_calendar(name)
    (session, *_) = calendar.sessions(day, date(2025, 12, 31))
    starts = pd.DatetimeIndex(expected_bar_starts(session, bar_size, calendar)).as_unit("ns")
    ends = pd.DatetimeIndex([bar_end(start, bar_size, calendar) for start in starts]).as_unit("ns")
    np.testing.assert_array_equal(starts_of(ends.asi8, bar_size, "end", calendar), starts.asi8)


def test_hourly_bars_begin_with_the_session_and_end_with_it() -> None:
    # 9:30, 10:00 … 15:00 in New York; on the half day the last one begins at 12:00 and ends at 13:00
    ends = ns("2012-11-23 15:00", "2012-11-23 16:00", "2012-11-23 18:00")
    assert texts(starts_of(ends, "1 hour", "end", XNYS)) == ["2012-11-23 14:30", "2012-11-23 15:00", "2012-11-23 17:00"]


def test_an_end_off_the_grid_is_not_moved_onto_the_open() -> None:
    # ten-minute bars declared as hourly ones must not all become the session's first bar
    assert texts(starts_of(ns("2013-02-28 14:40"), "1 hour", "end", XNYS)) == ["2013-02-28 13:40"]


def test_ends_outside_the_session_are_moved_by_a_bars_length() -> None:
    ends = ns("2013-02-28 14:30", "2013-02-28 21:01")
    assert texts(starts_of(ends, "1 min", "end", XNYS)) == ["2013-02-28 14:29", "2013-02-28 21:00"]


@pytest.mark.parametrize(
    ("stamp", "stamps", "calendar", "session"),
    [
        ("2013-02-28 21:00", "end", XNYS, "2013-02-28 00:00"),
        ("2013-02-28 14:30", "start", XNYS, "2013-02-28 00:00"),
        ("2013-03-01 00:00", "end", ALWAYS, "2013-02-28 00:00"),
        ("2013-03-01 00:00", "start", ALWAYS, "2013-03-01 00:00"),
        ("2013-03-02 21:00", "end", XNYS, "2013-03-02 00:00"),  # a Saturday: validation is to see it
        ("2013-02-28 05:00", "date", XNYS, "2013-02-28 00:00"),  # midnight in New York
    ],
)
def test_a_daily_bar_belongs_to_the_session_that_its_stamp_means(stamp, stamps, calendar, session) -> None:
    assert texts(starts_of(ns(stamp), "1 day", stamps, calendar, NEW_YORK)) == [session]


class TestWallTimes:
    def test_the_clock_of_winter_and_of_summer(self) -> None:
        local = localize(ns("2013-02-28 09:30", "2013-03-11 09:30"), NEW_YORK, "start", XNYS)
        assert texts(local.instants) == ["2013-02-28 14:30", "2013-03-11 13:30"]
        assert not (local.is_ambiguous | local.is_nonexistent).any()

    def test_an_hour_that_is_there_twice_is_told_apart_by_the_session_if_only_one_lies_in_it(self) -> None:
        # on 2013-04-07 Sydney's clock showed 02:00 to 03:00 twice; in New York a session is open at neither
        sydney = ZoneInfo("Australia/Sydney")
        assert localize(ns("2013-04-07 02:30"), sydney, "start", XNYS).is_ambiguous.all()
        # London's second 01:30 on 2012-10-28 is 01:30 UTC, the first 00:30 UTC; a market that opens at 01:00 UTC
        london = ZoneInfo("Europe/London")
        from trading_platform.domain.calendars import TradingCalendar

        opens, closes = (pd.Timestamp(f"2012-10-28 {hour}:00", tz="UTC").to_pydatetime() for hour in ("01", "09"))
        early = TradingCalendar("made up", "Europe/London", [opens], [closes], [date(2012, 10, 28)])
        local = localize(ns("2012-10-28 01:30", "2012-10-28 05:00"), london, "start", early)
        assert texts(local.instants) == ["2012-10-28 01:30", "2012-10-28 05:00"]
        assert not local.is_ambiguous.any()

    def test_around_the_clock_nothing_tells_the_two_apart(self) -> None:
        local = localize(ns("2012-11-04 00:59", "2012-11-04 01:00", "2012-11-04 02:00"), NEW_YORK, "start", ALWAYS)
        assert list(local.is_ambiguous) == [False, True, False]

    def test_the_hour_that_is_skipped_does_not_exist(self) -> None:
        local = localize(ns("2013-03-10 01:59", "2013-03-10 02:30", "2013-03-10 03:00"), NEW_YORK, "start", ALWAYS)
        assert list(local.is_nonexistent) == [False, True, False]
