"""When strategies decide: ticks from the open on, the last minutes of a day, nothing on a closed market."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.signals.ticks import (
    LOOK_EVERY,
    Decision,
    Skip,
    decision_at,
    decision_for,
    is_daily_decision_due,
    look_every_minutes,
    scheduled_decision,
    settled_session,
)
from trading_platform_tests.domain.orders.builders import spec

XNYS = get_calendar("XNYS")
BTC_CALENDAR = get_calendar("24/7")
TSLA = spec(name="tsla", cadence_minutes=5)
DAILY = spec(name="momentum", bar_size="1 day", cadence_minutes=None)
BTC = spec(name="btc", universe=("BTC",), calendar="24/7", bar_size="1 hour", cadence_minutes=60)
SESSION = date(2013, 2, 28)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def test_an_intraday_strategy_decides_at_its_newest_tick():
    assert decision_at(TSLA, XNYS, at("2013-02-28T20:47:31")) == Decision(
        SESSION, at("2013-02-28T20:45"), at("2013-02-28T20:47:31")
    )


def test_a_daily_strategy_has_one_tick_named_by_the_open():
    early, late = (decision_at(DAILY, XNYS, at(f"2013-02-28T{time}")) for time in ("14:30", "20:59"))
    assert early.tick_utc == late.tick_utc == at("2013-02-28T14:30")


@pytest.mark.parametrize("strategy", [TSLA, DAILY])
def test_on_a_closed_market_nobody_decides_and_the_reason_is_given(strategy):
    assert decision_at(strategy, XNYS, at("2012-10-29T16:00")) == Skip("XNYS is closed at 2012-10-29 16:00 UTC")


def test_a_past_session_is_decided_as_of_its_close_at_its_last_tick():
    decision = decision_for(TSLA, XNYS, date(2012, 11, 23), at("2013-02-28T20:45"))
    assert decision == Decision(date(2012, 11, 23), at("2012-11-23T17:55"), at("2012-11-23T18:00"))
    assert decision_for(DAILY, XNYS, date(2012, 11, 23), at("2013-02-28T20:45")).tick_utc == at("2012-11-23T14:30")


def test_the_current_session_is_decided_as_of_now():
    now = at("2013-02-28T20:47")
    assert decision_for(TSLA, XNYS, SESSION, now) == decision_at(TSLA, XNYS, now)


def test_a_session_that_has_not_opened_can_not_be_decided():
    with pytest.raises(ValueError, match="opens at 2013-03-01T14:30"):
        decision_for(TSLA, XNYS, date(2013, 3, 1), at("2013-03-01T14:29"))


@pytest.mark.parametrize(
    ("moment", "is_due"),
    [
        ("2013-02-28T20:39:59", False),
        ("2013-02-28T20:40:00", True),
        ("2013-02-28T20:59:59", True),
        ("2013-02-28T21:00:00", False),
        ("2012-11-23T17:45:00", True),  # a half day
        ("2012-11-23T20:45:00", False),
    ],
)
def test_the_last_minutes_of_a_session_are_the_daily_strategies_time(moment, is_due):
    assert is_daily_decision_due(XNYS, at(moment)) is is_due


@pytest.mark.parametrize(
    ("cadence", "is_always_open", "minutes"),
    [
        (5, False, 5),
        (15, False, 15),
        (7, False, 1),
        (45, False, 15),
        (60, False, 30),
        (390, False, 30),
        (60, True, 60),
        (240, True, 60),
        (90, True, 30),
        (25, True, 5),
    ],
)
def test_schedules_look_often_enough_for_every_tick(cadence, is_always_open, minutes):
    assert look_every_minutes(cadence, is_always_open=is_always_open) == minutes


@given(st.integers(1, 1440), st.booleans(), st.integers(0, 59))
def test_looking_on_time_finds_every_tick_exactly_once(cadence, is_always_open, seconds):
    """Also by a clock whose full minutes are not the market's."""
    calendar = BTC_CALENDAR if is_always_open else XNYS
    strategy = spec(name="any", calendar=calendar.name, cadence_minutes=cadence)
    step = look_every_minutes(cadence, is_always_open=is_always_open)
    opens, closes = calendar.open_of(SESSION), calendar.close_of(SESSION)
    start = opens.replace(hour=opens.hour, minute=0) + timedelta(seconds=seconds)
    looks = [start + timedelta(minutes=step * i) for i in range(1440 // step + 60)]
    found = [scheduled_decision(strategy, calendar, look) for look in looks if opens <= look < closes]
    ticks = [decision.tick_utc for decision in found if isinstance(decision, Decision)]
    last_look = max(look for look in looks if look < closes)
    expected = []
    while opens + timedelta(minutes=cadence) * len(expected) <= last_look:
        expected.append(opens + timedelta(minutes=cadence) * len(expected))
    assert ticks == expected


def test_a_tick_that_had_its_run_is_skipped_with_the_time_of_the_next():
    hourly = spec(name="hourly", cadence_minutes=60)
    assert scheduled_decision(hourly, XNYS, at("2013-02-28T15:00:05")) == Skip(
        "the tick of 14:30 UTC has had its run; the next is at 15:30 UTC"
    )
    assert isinstance(scheduled_decision(hourly, XNYS, at("2013-02-28T15:30:05")), Decision)


def test_a_daily_strategy_is_scheduled_in_the_last_minutes_only():
    assert scheduled_decision(DAILY, XNYS, at("2013-02-28T15:00")) == Skip(
        "momentum decides in the last minutes of the session, and it is 15:00 UTC"
    )
    assert isinstance(scheduled_decision(DAILY, XNYS, at("2013-02-28T20:45")), Decision)
    assert isinstance(scheduled_decision(DAILY, XNYS, at("2012-11-23T17:45")), Decision)


def test_bitcoin_is_scheduled_around_the_clock():
    for moment in ("2013-03-02T03:00:02", "2012-12-25T23:00:01", "2013-03-10T07:00:00"):
        assert isinstance(scheduled_decision(BTC, BTC_CALENDAR, at(moment)), Decision)


DELAY = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2013-02-28T21:15", "2013-02-28"),
        ("2013-02-28T21:29:59", "2013-02-28"),
        ("2012-11-23T18:15", "2012-11-23"),  # a half day
        ("2013-03-11T20:15", "2013-03-11"),  # summer time
        ("2013-02-28T21:30", None),
        ("2013-02-28T21:14", None),
        ("2013-02-28T16:00", None),  # open
        ("2012-11-23T21:15", None),
        ("2012-10-29T20:15", None),  # a hurricane
        ("2013-03-02T21:15", None),  # a Saturday
    ],
)
def test_a_session_is_settled_once_some_time_after_its_close(moment, session):
    found = settled_session(XNYS, at(moment), DELAY)
    if session is None:
        assert isinstance(found, Skip)
    else:
        assert found == date.fromisoformat(session)


def test_the_reason_names_the_session_and_when_it_was_due():
    assert settled_session(XNYS, at("2013-03-02T21:15"), DELAY) == Skip(
        "XNYS closed at 2013-03-01 21:00 UTC; its session 2013-03-01 is due 15 minutes after that, "
        "and it is 2013-03-02 21:15 UTC"
    )
    assert settled_session(XNYS, at("2013-02-28T16:00"), DELAY) == Skip("XNYS is still open at 2013-02-28 16:00 UTC")


@given(st.dates(date(2005, 1, 1), date(2030, 1, 1)), st.sampled_from([XNYS, BTC_CALENDAR]), st.integers(0, 899))
def test_who_looks_every_quarter_of_an_hour_settles_every_session_once(day, calendar, seconds):
    start = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    looks = [start + LOOK_EVERY * i for i in range(4 * 24 * 3)]
    found = [settled_session(calendar, look, DELAY) for look in looks]
    settled = [session for session in found if not isinstance(session, Skip)]
    assert len(settled) == len(set(settled))
    inside = calendar.sessions(day + timedelta(days=1), day + timedelta(days=1))
    assert set(inside) <= set(settled)
