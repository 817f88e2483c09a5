"""When something happens in a stretch of history: the ticks that schedules would start, and the sessions' closes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import merge

from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import (
    LOOK_EVERY,
    Decision,
    Skip,
    look_every_minutes,
    scheduled_decision,
)


@dataclass(frozen=True)
class TickMoment:
    """A strategy is to decide."""

    at: datetime
    strategy: str
    decision: Decision


@dataclass(frozen=True)
class CloseMoment:
    """A session ends: orders of the day expire and the account is read."""

    at: datetime
    calendar: str
    session: date


Moment = TickMoment | CloseMoment


def moments(specs: Sequence[StrategySpec], first: date, last: date) -> Iterator[Moment]:
    """Everything that happens in the sessions from ``first`` to ``last`` (dates, both included), in the order of time.

    At one instant closes come before ticks (the midnight of a market that never closes is both), ticks by the
    strategy's name.
    """
    closes = [_closes(get_calendar(name), first, last) for name in sorted({spec.calendar for spec in specs})]
    ticks = [_ticks(spec, get_calendar(spec.calendar), first, last) for spec in specs]
    yield from merge(*closes, *ticks, key=_order)


def start_of(specs: Sequence[StrategySpec], first: date, last: date) -> datetime | None:
    """The first open of the strategies' sessions in these days; ``None`` if there is no session."""
    calendars = [get_calendar(name) for name in sorted({spec.calendar for spec in specs})]
    opens = [calendar.open_of(sessions[0]) for calendar in calendars if (sessions := calendar.sessions(first, last))]
    return min(opens, default=None)


def count_ticks(specs: Sequence[StrategySpec], first: date, last: date) -> int:
    """How many ticks :func:`moments` has."""
    return sum(isinstance(moment, TickMoment) for moment in moments(specs, first, last))


def _order(moment: Moment) -> tuple[datetime, bool, str]:
    is_tick = isinstance(moment, TickMoment)
    return moment.at, is_tick, moment.strategy if isinstance(moment, TickMoment) else moment.calendar


def _closes(calendar: TradingCalendar, first: date, last: date) -> Iterator[Moment]:
    for session in calendar.sessions(first, last):
        yield CloseMoment(calendar.close_of(session), calendar.name, session)


def _ticks(spec: StrategySpec, calendar: TradingCalendar, first: date, last: date) -> Iterator[Moment]:
    """Each tick at the first look at which it is due, as a schedule starts it once."""
    for session in calendar.sessions(first, last):
        started: datetime | None = None
        for now in _looks(spec, calendar, session):
            due = scheduled_decision(spec, calendar, now)
            if not isinstance(due, Skip) and due.tick_utc != started:
                started = due.tick_utc
                yield TickMoment(now, spec.name, due)


def _looks(spec: StrategySpec, calendar: TradingCalendar, session: date) -> Iterator[datetime]:
    """The instants of the session at which the schedule looks: multiples of its step since the full hour."""
    if spec.cadence_minutes is None:
        step = LOOK_EVERY
    else:
        step = timedelta(minutes=look_every_minutes(spec.cadence_minutes, is_always_open=calendar.is_always_open))
    opening, close = calendar.open_of(session), calendar.close_of(session)
    now = opening.replace(minute=0, second=0, microsecond=0)
    while now < close:
        if now >= opening:
            yield now
        now += step
