"""Calendars: sessions, half days, closes nobody planned, summer time; and the market that never closes."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import ALWAYS_OPEN, FIRST_SESSION, FOREIGN_EXCHANGE, LAST_SESSION, get_calendar

UTC = timezone.utc
XNYS = get_calendar("XNYS")
XLON = get_calendar("XLON")
BTC = get_calendar(ALWAYS_OPEN)
FX = get_calendar(FOREIGN_EXCHANGE)
MOMENTS = st.datetimes(datetime(2000, 1, 5), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone given


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2013-02-28", "14:30", "21:00"),
        ("2013-07-01", "13:30", "20:00"),  # summer time
        ("2012-11-23", "14:30", "18:00"),  # a half day
        ("2013-03-08", "14:30", "21:00"),  # the Friday before the change
        ("2013-03-11", "13:30", "20:00"),  # the Monday after
        ("2013-11-01", "13:30", "20:00"),
        ("2013-11-04", "14:30", "21:00"),
    ],
)
def test_opens_and_closes_are_new_yorks_in_utc(day, opens, closes):
    session = date.fromisoformat(day)
    assert XNYS.open_of(session) == at(f"{day}T{opens}")
    assert XNYS.close_of(session) == at(f"{day}T{closes}")


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2001-09-11", "the towers"),
        ("2001-09-14", "the towers"),
        ("2012-10-29", "a hurricane"),
        ("2012-10-30", "a hurricane"),
        ("2018-12-05", "mourning for Bush"),
        ("2025-01-09", "mourning for Carter"),
        ("2013-01-01", "New Year"),
        ("2013-03-02", "a Saturday"),
        ("2013-03-29", "Good Friday"),
    ],
)
def test_holidays_weekends_and_closes_that_nobody_planned_are_no_sessions(day, why):
    session = date.fromisoformat(day)
    assert not XNYS.is_session(session), why
    assert XNYS.session_at(at(f"{day}T16:00")) is None
    before = XNYS.latest_session(at(f"{day}T16:00"))
    assert before < session
    assert XNYS.offset(before, 1) > session


@pytest.mark.parametrize(
    ("day", "new_york", "london"),
    [
        ("2024-03-08", ("14:30", "21:00"), ("08:00", "16:30")),
        ("2024-03-11", ("13:30", "20:00"), ("08:00", "16:30")),  # New York has moved its clocks, London has not
        ("2024-03-28", ("13:30", "20:00"), ("08:00", "16:30")),
        ("2024-04-02", ("13:30", "20:00"), ("07:00", "15:30")),
        ("2024-10-25", ("13:30", "20:00"), ("07:00", "15:30")),
        ("2024-10-28", ("13:30", "20:00"), ("08:00", "16:30")),  # London is back, New York not yet
        ("2024-11-04", ("14:30", "21:00"), ("08:00", "16:30")),
        ("2024-12-24", ("14:30", "18:00"), ("08:00", "12:30")),  # a half day on both
    ],
)
def test_each_exchange_keeps_its_own_summer_time_and_half_days(day, new_york, london):
    session = date.fromisoformat(day)
    for calendar, (opens, closes) in ((XNYS, new_york), (XLON, london)):
        assert (calendar.open_of(session), calendar.close_of(session)) == (at(f"{day}T{opens}"), at(f"{day}T{closes}"))


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2024-03-08", "2024-03-07T22:15", "2024-03-08T22:00"),
        ("2024-03-11", "2024-03-10T21:15", "2024-03-11T21:00"),  # from Sunday evening; New York moved its clocks
        ("2024-11-04", "2024-11-03T22:15", "2024-11-04T22:00"),
        ("2024-07-04", "2024-07-03T21:15", "2024-07-04T21:00"),  # no holiday
    ],
)
def test_a_day_of_foreign_exchange_goes_from_a_quarter_past_five_to_five_in_new_york(day, opens, closes):
    session = date.fromisoformat(day)
    assert (FX.open_of(session), FX.close_of(session)) == (at(opens), at(closes))
    assert FX.session_minutes(session) == FX.usual_session_minutes == 1425
    assert FX.session_at(at(opens)) == session
    assert FX.session_at(at(closes)) is None  # the quarter of an hour in which IDEALPRO rests
    assert not FX.is_always_open


def test_nobody_trades_foreign_exchange_over_the_weekend_or_on_the_two_holidays():
    assert FX.session_at(at("2024-03-08T22:00")) is None
    assert FX.session_at(at("2024-03-10T21:14")) is None
    assert FX.offset(date(2024, 3, 8), 1) == date(2024, 3, 11)
    assert not FX.is_session(date(2024, 12, 25))
    assert not FX.is_session(date(2025, 1, 1))
    assert FX.session_at(at("2024-12-25T22:15")) == date(2024, 12, 26)


def test_the_24_5_of_exchange_calendars_is_there_and_has_days_in_utc():
    weekdays = get_calendar("24/5")
    assert weekdays.session_at(at("2024-03-08T23:59")) == date(2024, 3, 8)
    assert weekdays.session_at(at("2024-03-10T23:00")) is None
    assert weekdays.session_at(at("2024-03-11T00:00")) == date(2024, 3, 11)


def test_a_market_that_rests_at_noon_is_known_as_such():
    assert get_calendar("XTKS").has_breaks
    assert not any(calendar.has_breaks for calendar in (XNYS, XLON, FX, BTC))


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2013-02-28T14:29:59", None),
        ("2013-02-28T14:30:00", "2013-02-28"),
        ("2013-02-28T20:59:59", "2013-02-28"),
        ("2013-02-28T21:00:00", None),
        ("2012-11-23T18:00:00", None),
    ],
)
def test_a_session_is_open_from_its_open_up_to_its_close(moment, session):
    found = XNYS.session_at(at(moment))
    assert (found.isoformat() if found else None) == session
    assert XNYS.is_open(at(moment)) == (session is not None)


def test_latest_and_last_completed_session_differ_while_one_is_open():
    inside, after = at("2013-02-28T16:00"), at("2013-02-28T21:00")
    assert XNYS.latest_session(inside) == XNYS.latest_session(after) == date(2013, 2, 28)
    assert XNYS.last_completed_session(inside) == date(2013, 2, 27)
    assert XNYS.last_completed_session(after) == date(2013, 2, 28)


def test_a_session_has_390_minutes_and_a_half_day_210():
    assert XNYS.session_minutes(date(2013, 2, 28)) == 390
    assert XNYS.session_minutes(date(2012, 11, 23)) == 210
    assert BTC.session_minutes(date(2013, 2, 28)) == 1440


def test_sessions_are_counted_over_holidays():
    assert XNYS.offset(date(2012, 10, 26), 1) == date(2012, 10, 31)
    assert XNYS.distance(date(2012, 10, 26), date(2012, 10, 31)) == 1
    assert XNYS.sessions(date(2012, 10, 25), date(2012, 11, 1)) == [
        date(2012, 10, 25),
        date(2012, 10, 26),
        date(2012, 10, 31),
        date(2012, 11, 1),
    ]


def test_ticks_are_counted_from_the_open():
    quarter = timedelta(minutes=15)
    assert XNYS.tick_of(at("2013-02-28T14:44:59"), quarter) == at("2013-02-28T14:30")
    assert XNYS.tick_of(at("2013-02-28T14:45:00"), quarter) == at("2013-02-28T14:45")
    assert BTC.tick_of(at("2013-02-28T14:59:00"), timedelta(hours=1)) == at("2013-02-28T14:00")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: XNYS.tick_of(at("2013-03-02T15:00"), timedelta(minutes=5)), "XNYS is closed at 2013-03-02"),
        (lambda: XNYS.open_of(date(2012, 10, 29)), "2012-10-29 is not a session of XNYS"),
        (lambda: XNYS.offset(FIRST_SESSION, -1), "has no session -1 away"),
        (lambda: XNYS.latest_session(at("1990-01-01T00:00")), "no session before 1990"),
        (lambda: XNYS.last_completed_session(at("1990-01-01T00:00")), "no completed session before 1990"),
        (lambda: get_calendar("NYSEE"), "unknown calendar 'NYSEE': use an exchange_calendars code"),
    ],
)
def test_what_has_no_answer_is_an_error_that_says_so(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_the_market_that_never_closes_trades_calendar_days_in_utc():
    assert BTC.is_always_open
    assert not XNYS.is_always_open
    assert BTC.session_at(at("2013-03-02T23:59:59")) == date(2013, 3, 2)
    assert BTC.session_at(at("2013-03-03T00:00:00")) == date(2013, 3, 3)
    assert BTC.is_session(date(2012, 12, 25))


def test_other_exchanges_are_there_by_their_codes():
    assert get_calendar("XLON").open_of(date(2024, 7, 4)) == at("2024-07-04T07:00")


@given(MOMENTS)
def test_the_market_that_never_closes_is_open_at_every_moment(moment):
    assert BTC.session_at(moment) == moment.date() == BTC.latest_session(moment)
    assert BTC.last_completed_session(moment) == moment.date() - timedelta(days=1)


@given(MOMENTS)
def test_an_open_session_is_the_latest_and_not_completed(moment):
    session = XNYS.session_at(moment)
    if session is None:
        assert XNYS.latest_session(moment) == XNYS.last_completed_session(moment)
    else:
        assert XNYS.open_of(session) <= moment < XNYS.close_of(session)
        assert XNYS.latest_session(moment) == session
        assert XNYS.distance(XNYS.last_completed_session(moment), session) == 1


@given(MOMENTS, st.sampled_from([1, 5, 15, 30, 60, 7, 90]))
def test_a_tick_is_in_its_session_at_most_one_cadence_old_and_its_own_tick(moment, minutes):
    cadence = timedelta(minutes=minutes)
    for calendar in (XNYS, XLON, FX, BTC):
        session = calendar.session_at(moment)
        if session is None:
            continue
        tick = calendar.tick_of(moment, cadence)
        assert timedelta(0) <= moment - tick < cadence
        assert calendar.session_at(tick) == session
        assert calendar.tick_of(tick, cadence) == tick


@given(st.dates(FIRST_SESSION + timedelta(days=500), LAST_SESSION - timedelta(days=500)), st.integers(-300, 300))
def test_offset_and_distance_undo_each_other(day, count):
    for calendar in (XNYS, XLON, FX, BTC):
        if calendar.is_session(day):
            assert calendar.distance(day, calendar.offset(day, count)) == count


def test_a_calendar_is_made_once():
    assert get_calendar("XNYS") is get_calendar("XNYS")
