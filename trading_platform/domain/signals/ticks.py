"""When a strategy decides: its ticks, and which tick a moment belongs to. Pure; "now" is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import gcd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.signals.spec import StrategySpec

BEFORE_CLOSE = timedelta(minutes=20)
"""Daily strategies are asked this long before the close, when the day's bar is nearly whole."""

LOOK_EVERY = timedelta(minutes=15)
"""How often, counted from the full hour, a schedule looks for what is due once per session."""


@dataclass(frozen=True)
class Decision:
    """One moment of decision. ``tick_utc`` names it; nothing after ``as_of_utc`` may be seen."""

    session: date
    tick_utc: datetime
    as_of_utc: datetime


@dataclass(frozen=True)
class Skip:
    """No decision now, and why."""

    reason: str


def decision_at(spec: StrategySpec, calendar: TradingCalendar, now: datetime) -> Decision | Skip:
    """The decision that is due at ``now``.

    A daily strategy has one tick per session, named by the session's open; an intraday one has a tick each
    ``cadence_minutes`` from the open on. On a closed market there is none.
    """
    session = calendar.session_at(now)
    if session is None:
        return Skip(f"{calendar.name} is closed at {now:%Y-%m-%d %H:%M} UTC")
    return Decision(session, _tick(spec, calendar, session, now), now)


def decision_for(spec: StrategySpec, calendar: TradingCalendar, session: date, now: datetime) -> Decision:
    """The decision to record for ``session``: now's while it is open, otherwise the one at its close.

    Raises:
        ValueError: the session has not opened by ``now``.
    """
    if calendar.open_of(session) > now:
        msg = (
            f"session {session} of {calendar.name} opens at {calendar.open_of(session).isoformat()}: nothing to decide"
        )
        raise ValueError(msg)
    as_of = min(now, calendar.close_of(session))
    inside = min(as_of, calendar.close_of(session) - timedelta(microseconds=1))
    return Decision(session, _tick(spec, calendar, session, inside), as_of)


def is_daily_decision_due(calendar: TradingCalendar, now: datetime) -> bool:
    """Whether ``now`` is in the last minutes of a session, half days included."""
    session = calendar.session_at(now)
    return session is not None and now >= calendar.close_of(session) - BEFORE_CLOSE


def look_every_minutes(cadence_minutes: int, *, is_always_open: bool) -> int:
    """How often, counted from the full hour, a schedule must look to meet every tick when it begins.

    Ticks are counted from the open: exchanges open on the hour or the half hour, other markets at midnight.
    """
    return gcd(cadence_minutes, 60 if is_always_open else 30)


def scheduled_decision(spec: StrategySpec, calendar: TradingCalendar, now: datetime) -> Decision | Skip:
    """The decision that a schedule is to start at ``now``: a tick that has just begun, or the day's last minutes."""
    due = decision_at(spec, calendar, now)
    if isinstance(due, Skip):
        return due
    if spec.cadence_minutes is None:
        if is_daily_decision_due(calendar, now):
            return due
        return Skip(f"{spec.name} decides in the last minutes of the session, and it is {now:%H:%M} UTC")
    step = look_every_minutes(spec.cadence_minutes, is_always_open=calendar.is_always_open)
    if now - due.tick_utc < timedelta(minutes=step):
        return due
    following = due.tick_utc + timedelta(minutes=spec.cadence_minutes)
    return Skip(f"the tick of {due.tick_utc:%H:%M} UTC has had its run; the next is at {following:%H:%M} UTC")


def settled_session(calendar: TradingCalendar, moment: datetime, delay: timedelta) -> date | Skip:
    """The session whose close was ``delay`` ago, give or take :data:`LOOK_EVERY`: who looks that often gets it once."""
    session = calendar.last_completed_session(moment)
    close = calendar.close_of(session)
    if delay <= moment - close < delay + LOOK_EVERY:
        return session
    if calendar.is_open(moment) and not calendar.is_always_open:
        return Skip(f"{calendar.name} is still open at {moment:%Y-%m-%d %H:%M} UTC")
    minutes = delay.total_seconds() / 60
    return Skip(
        f"{calendar.name} closed at {close:%Y-%m-%d %H:%M} UTC; its session {session} is due {minutes:.0f} minutes "
        f"after that, and it is {moment:%Y-%m-%d %H:%M} UTC"
    )


def _tick(spec: StrategySpec, calendar: TradingCalendar, session: date, moment: datetime) -> datetime:
    if spec.cadence_minutes is None:
        return calendar.open_of(session)
    return calendar.tick_of(moment, timedelta(minutes=spec.cadence_minutes))
