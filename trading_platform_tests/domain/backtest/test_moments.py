from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from trading_platform.domain.backtest.moments import CloseMoment, TickMoment, count_ticks, moments, start_of
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision, scheduled_decision
from trading_platform.specs.loader import load_strategy_specs

SPECS = {spec.name: spec for spec in load_strategy_specs()}


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


def ticks(*names: str, first: date, last: date) -> list[TickMoment]:
    found = moments([SPECS[name] for name in names], first, last)
    return [moment for moment in found if isinstance(moment, TickMoment)]


def test_a_daily_strategy_ticks_once_in_the_last_minutes_half_days_and_summer_time_included() -> None:
    found = ticks("momentum", first=date(2012, 3, 9), last=date(2012, 3, 12))
    assert [tick.at for tick in found] == [at(2012, 3, 9, 20, 45), at(2012, 3, 12, 19, 45)]
    half_day = ticks("momentum", first=date(2012, 11, 23), last=date(2012, 11, 23))
    assert [tick.at for tick in half_day] == [at(2012, 11, 23, 17, 45)]


def test_holidays_and_weekends_have_no_tick() -> None:
    assert ticks("momentum", "tsla", first=date(2012, 12, 25), last=date(2012, 12, 25)) == []
    assert count_ticks([SPECS["momentum"]], date(2012, 1, 1), date(2012, 12, 31)) == 250


def test_an_intraday_strategy_ticks_from_the_open_on_as_long_as_the_session_lasts() -> None:
    found = ticks("iwm", first=date(2012, 11, 23), last=date(2012, 11, 23))
    assert [tick.at for tick in found] == [at(2012, 11, 23, 14, 30) + timedelta(minutes=15) * k for k in range(14)]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_tick_is_one_that_the_schedule_would_start_and_none_is_left_out(name: str) -> None:
    spec, day = SPECS[name], date(2013, 2, 28)
    calendar = get_calendar(spec.calendar)
    looks = [calendar.open_of(day) + timedelta(minutes=k) for k in range(calendar.session_minutes(day))]
    step = 15 if spec.cadence_minutes is None else spec.cadence_minutes
    started: dict[datetime, Decision] = {}
    for look in looks:
        due = scheduled_decision(spec, calendar, look)
        if look.minute % step == 0 and isinstance(due, Decision):
            started.setdefault(due.tick_utc, due)
    assert [tick.decision for tick in ticks(name, first=day, last=day)] == list(started.values())


def test_strategies_of_different_calendars_step_together_in_the_order_of_time_and_closes_come_first() -> None:
    specs: list[StrategySpec] = [SPECS["btc"], SPECS["momentum"]]
    found = list(moments(specs, date(2013, 2, 27), date(2013, 2, 28)))
    assert [moment.at for moment in found] == sorted(moment.at for moment in found)
    midnight = [moment for moment in found if moment.at == at(2013, 2, 28)]
    assert [type(moment) for moment in midnight] == [CloseMoment, TickMoment]
    assert start_of(specs, date(2013, 2, 27), date(2013, 2, 28)) == at(2013, 2, 27)
    assert start_of([SPECS["momentum"]], date(2013, 3, 2), date(2013, 3, 3)) is None
