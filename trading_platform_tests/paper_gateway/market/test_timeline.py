from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.market.sessions import session_index
from trading_platform.paper_gateway.market.timeline import Timeline, choose_anchor
from trading_platform_tests.paper_gateway.market.builders import at

NYSE = session_index("XNYS")


def position(day: date) -> int:
    found = NYSE.position(day)
    assert found is not None
    return found


LAST = position(date(2013, 3, 1))


@settings(max_examples=100, deadline=None)
@given(minutes=st.integers(0, 33 * 365 * 24 * 60))
def test_the_anchor_s_last_session_is_the_last_completed_one(minutes: int) -> None:
    now = at(2001, 1, 1) + timedelta(minutes=minutes)
    anchor = choose_anchor(now)
    assert NYSE.days[NYSE.up_to(anchor)] == get_calendar("XNYS").last_completed_session(now)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(2026, 11, 20, 17), date(2026, 11, 19)),
        (at(2026, 11, 20, 21), date(2026, 11, 20)),
        (at(2026, 11, 22, 12), date(2026, 11, 21)),
    ],
)
def test_the_anchor_is_a_saturday_on_a_sunday_so_that_coins_end_there_too(now: datetime, expected: date) -> None:
    assert choose_anchor(now) == expected


def test_sessions_stay_where_they_were_when_the_market_starts_within_them() -> None:
    timeline = Timeline.of("XNYS", LAST, anchor=date(2013, 2, 27), start=at(2013, 2, 28, 20, 45))
    assert (timeline.shift, timeline.describe()) == (0, "original dates")


def test_the_last_session_is_within_until_its_close_and_moves_after_it() -> None:
    close = get_calendar("XNYS").close_of(date(2013, 3, 1))
    assert Timeline.of("XNYS", LAST, anchor=date(2013, 3, 1), start=close).shift == 0
    later = Timeline.of("XNYS", LAST, anchor=date(2013, 3, 4), start=at(2013, 3, 5, 15))
    assert (later.shift, later.describe()) == (1, "shifted by +1 sessions; sessions after 2013-03-04 replay it")


def test_a_market_anchored_within_the_data_stays_there_when_it_restarts_later() -> None:
    assert Timeline.of("XNYS", LAST, anchor=date(2013, 2, 27), start=at(2013, 4, 2, 15)).shift == 0


@settings(max_examples=100, deadline=None)
@given(days=st.integers(0, 5000), first=st.integers(LAST - 3000, LAST), step=st.integers(-3000, 3000))
def test_history_plays_session_for_session_and_then_from_its_beginning(days: int, first: int, step: int) -> None:
    anchor = date(2013, 3, 4) + timedelta(days=days)
    timeline = Timeline.of("XNYS", LAST, anchor=anchor, start=at(2034, 1, 2))
    assert NYSE.days[timeline.end] == NYSE.days[NYSE.up_to(anchor)]
    assert timeline.source_of(timeline.end, first) == (LAST, 0)
    assert timeline.source_of(timeline.end + 1, first) == (first, 1)
    found = timeline.source_of(timeline.end + step, first)
    if step <= 0:
        assert found == ((LAST + step, 0) if LAST + step >= first else None)
    else:
        length = LAST - first + 1
        assert found == (first + (step - 1) % length, (step - 1) // length + 1)
