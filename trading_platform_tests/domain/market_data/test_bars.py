"""Where bars begin and end, and when they are final."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import (
    bar_end,
    bars_per_session,
    due_bar,
    expected_bar_starts,
    final_flags,
    is_final,
    session_labels,
)
from trading_platform.domain.market_data.spans import SessionSpans
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize

UTC = timezone.utc
XNYS = get_calendar("XNYS")
ALWAYS = get_calendar("24/7")
USUAL, HALF, SUMMER = date(2013, 2, 28), date(2012, 11, 23), date(2012, 7, 5)
SESSIONS = st.sampled_from(XNYS.sessions(date(2012, 1, 1), date(2013, 12, 31)))
BAR_SIZES = st.sampled_from(list(BAR_MINUTES))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("session", "bar_size", "count"),
    [
        (USUAL, "1 min", 390),
        (USUAL, "5 mins", 78),
        (USUAL, "15 mins", 26),
        (USUAL, "1 hour", 7),
        (USUAL, "1 day", 1),
        (HALF, "5 mins", 42),
        (HALF, "1 hour", 4),
    ],
)
def test_a_session_of_new_york_has_the_bars_that_its_hours_hold(session: date, bar_size: BarSize, count: int) -> None:
    assert len(expected_bar_starts(session, bar_size, XNYS)) == count


def test_a_market_that_never_closes_has_24_hourly_bars_from_midnight() -> None:
    starts = expected_bar_starts(USUAL, "1 hour", ALWAYS)
    assert starts == [utc("2013-02-28T00:00") + timedelta(hours=hour) for hour in range(24)]


def test_hourly_bars_begin_at_the_open_and_then_at_full_hours_of_the_market() -> None:
    assert [start.strftime("%H:%M") for start in expected_bar_starts(SUMMER, "1 hour", XNYS)] == [
        "13:30",
        "14:00",
        "15:00",
        "16:00",
        "17:00",
        "18:00",
        "19:00",
    ]
    assert bar_end(utc("2012-07-05T13:30"), "1 hour", XNYS) == utc("2012-07-05T14:00")


@pytest.mark.parametrize(
    ("calendar", "day", "minutes", "fives", "hours"),
    [
        ("XNYS", "2001-09-10", 390, 78, 7),
        ("XNYS", "2001-09-17", 390, 78, 7),  # the first session after the towers
        ("XNYS", "2012-10-31", 390, 78, 7),
        ("XNYS", "2018-12-06", 390, 78, 7),
        ("XNYS", "2025-01-10", 390, 78, 7),
        ("XNYS", "2024-12-24", 210, 42, 4),
        ("XNYS", "2024-03-11", 390, 78, 7),
        ("XLON", "2024-03-11", 510, 102, 9),
        ("XLON", "2024-10-28", 510, 102, 9),
        ("XLON", "2024-12-24", 270, 54, 5),
        ("FX", "2024-03-11", 1425, 285, 24),  # from Sunday's 17:15: the first hourly bar has 45 minutes
        ("FX", "2024-11-04", 1425, 285, 24),
        ("24/5", "2024-03-11", 1440, 288, 24),
        ("24/7", "2024-03-10", 1440, 288, 24),
        ("24/7", "2024-02-29", 1440, 288, 24),
    ],
)
def test_the_bars_of_a_session_are_known_to_the_minute_on_every_calendar(
    calendar: str, day: str, minutes: int, fives: int, hours: int
) -> None:
    market, session = get_calendar(calendar), date.fromisoformat(day)
    for bar_size, count in (("1 min", minutes), ("5 mins", fives), ("15 mins", fives // 3), ("1 hour", hours)):
        starts = expected_bar_starts(session, bar_size, market)
        assert (len(starts), starts[0]) == (count, market.open_of(session))
        length = BAR_MINUTES[bar_size] * 60_000_000_000
        spans = SessionSpans.of(market, [session])
        assert spans.expected_starts(length)[0].tolist() == [pd.Timestamp(start).value for start in starts]
        assert set(session_labels(pd.Series(pd.DatetimeIndex(starts)), bar_size, market)) == {day}


def test_hourly_bars_of_foreign_exchange_begin_at_a_quarter_past_and_then_at_full_hours() -> None:
    starts = expected_bar_starts(date(2024, 7, 1), "1 hour", get_calendar("FX"))
    assert [start.isoformat()[:16] for start in starts[:3]] == [
        "2024-06-30T21:15",
        "2024-06-30T22:00",
        "2024-06-30T23:00",
    ]
    assert bar_end(starts[-1], "1 hour", get_calendar("FX")) == utc("2024-07-01T21:00")


def test_a_daily_bar_is_stamped_at_midnight_and_ends_at_the_close_also_of_a_half_day() -> None:
    assert expected_bar_starts(HALF, "1 day", XNYS) == [utc("2012-11-23T00:00")]
    assert bar_end(utc("2012-11-23T00:00"), "1 day", XNYS) == utc("2012-11-23T18:00")


def test_a_bar_is_final_at_the_instant_it_ends_and_not_before() -> None:
    start, end = utc("2013-02-28T14:30"), utc("2013-02-28T14:35")
    assert is_final(start, "5 mins", XNYS, end)
    assert not is_final(start, "5 mins", XNYS, end - timedelta(microseconds=1))


def test_a_bar_of_a_closed_market_is_refused() -> None:
    with pytest.raises(ValueError, match="XNYS is closed then"):
        bar_end(utc("2013-02-28T05:00"), "5 mins", XNYS)
    with pytest.raises(ValueError, match="2013-03-02 is not a session of XNYS"):
        expected_bar_starts(date(2013, 3, 2), "1 day", XNYS)


def test_bars_per_session_are_those_of_a_usual_day() -> None:
    assert bars_per_session("5 mins", XNYS) == 78
    assert bars_per_session("1 hour", ALWAYS) == 24
    assert bars_per_session("1 day", XNYS) == 1


@given(session=SESSIONS, bar_size=BAR_SIZES)
def test_the_bars_of_a_session_follow_each_other_without_a_gap(session: date, bar_size: BarSize) -> None:
    starts = expected_bar_starts(session, bar_size, XNYS)
    ends = [bar_end(start, bar_size, XNYS) for start in starts]
    assert ends[:-1] == starts[1:]
    assert ends[-1] == XNYS.close_of(session)


@given(session=SESSIONS, bar_size=BAR_SIZES, minutes=st.integers(0, 1500))
def test_whole_columns_get_the_answers_that_single_bars_get(session: date, bar_size: BarSize, minutes: int) -> None:
    starts = expected_bar_starts(session, bar_size, XNYS)
    now = XNYS.open_of(session) + timedelta(minutes=minutes)
    column = pd.Series(pd.DatetimeIndex(starts), index=range(5, 5 + len(starts)))
    assert final_flags(column, bar_size, XNYS, now).tolist() == [
        is_final(start, bar_size, XNYS, now) for start in starts
    ]
    labels = session_labels(column, bar_size, XNYS)
    assert set(labels) == {session.isoformat()}
    assert labels.index.equals(column.index)


def test_a_bar_outside_every_session_is_labelled_with_its_date_in_the_market() -> None:
    stamps = pd.Series(pd.DatetimeIndex([utc("2013-03-01T01:00"), utc("2013-03-02T15:00")]))
    assert session_labels(stamps, "5 mins", XNYS).tolist() == ["2013-02-28", "2013-03-02"]
    assert final_flags(stamps, "5 mins", XNYS, utc("2013-03-01T01:05")).tolist() == [True, False]


def test_a_column_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="tz-aware"):
        session_labels(pd.Series(pd.DatetimeIndex(["2013-02-28"])), "5 mins", XNYS)


def test_empty_columns_stay_empty() -> None:
    empty = pd.Series(pd.DatetimeIndex([], tz="UTC"))
    assert session_labels(empty, "5 mins", XNYS).empty
    assert final_flags(empty, "1 day", XNYS, utc("2013-03-01T01:05")).empty


@pytest.mark.parametrize(
    ("bar_size", "moment", "due"),
    [
        ("5 mins", "2013-02-28T15:35:00", "2013-02-28T15:30:00"),
        ("5 mins", "2013-02-28T15:34:59", "2013-02-28T15:25:00"),
        ("5 mins", "2013-02-28T14:34:00", "2013-02-27T20:55:00"),  # the session's first bar has not ended
        ("5 mins", "2012-11-26T14:31:00", "2012-11-23T17:55:00"),  # the session before was a half day
        ("5 mins", "2012-11-23T23:00:00", "2012-11-23T17:55:00"),  # after the early close
        ("1 hour", "2013-02-28T15:00:00", "2013-02-28T14:30:00"),
        ("1 day", "2013-02-28T14:30:00", "2013-02-28T00:00:00"),  # the day so far
        ("1 day", "2013-02-28T14:29:59", "2013-02-27T00:00:00"),
    ],
)
def test_the_bar_that_is_due_is_the_last_one_that_has_ended(bar_size: BarSize, moment: str, due: str) -> None:
    assert due_bar(bar_size, XNYS, utc(moment)) == utc(due)


def test_around_the_clock_the_bar_before_midnight_is_due_at_midnight() -> None:
    assert due_bar("1 hour", ALWAYS, utc("2013-02-28T00:00")) == utc("2013-02-27T23:00")


@given(SESSIONS, st.sampled_from(["1 min", "5 mins", "15 mins", "1 hour"]), st.integers(0, 60 * 24))
def test_what_is_due_has_ended_and_nothing_newer_has(session: date, bar_size: BarSize, minutes: int) -> None:
    moment = XNYS.open_of(session) + timedelta(minutes=minutes)
    due = due_bar(bar_size, XNYS, moment)
    assert is_final(due, bar_size, XNYS, moment)
    newer = [start for start in expected_bar_starts(XNYS.latest_session(moment), bar_size, XNYS) if start > due]
    assert not any(is_final(start, bar_size, XNYS, moment) for start in newer)
