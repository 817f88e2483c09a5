"""Until when an order lives, and which minutes of trading lie between two moments. Pure functions of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.paper_gateway.model import Contract, PaperOrder

MINUTE = timedelta(minutes=1)
TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "GTD")


def minute_of(moment: datetime) -> datetime:
    """The start of the minute ``moment`` lies in."""
    return moment.replace(second=0, microsecond=0)


def session_of_order(calendar: TradingCalendar, submitted_at: datetime) -> date:
    """The session an order belongs to: the open one, or the next to open when the market is closed."""
    session = calendar.session_at(submitted_at)
    return session if session is not None else calendar.offset(calendar.latest_session(submitted_at), 1)


def expiry_of(order: PaperOrder) -> datetime | None:
    """When the order expires by itself: a DAY order with its session's close, GTD at its time, GTC never.

    IOC orders don't wait for this; it bounds one whose market closed before it could be tried.
    """
    if order.ticket.time_in_force == "GTC" or order.submitted_at is None:
        return None
    if order.ticket.time_in_force == "GTD":
        return order.ticket.good_till
    calendar = get_calendar(order.contract.calendar)
    return calendar.close_of(session_of_order(calendar, order.submitted_at))


def next_open(contract: Contract, moment: datetime) -> datetime:
    """The open of the session that an order placed at ``moment`` in a closed market waits for."""
    calendar = get_calendar(contract.calendar)
    return calendar.open_of(session_of_order(calendar, moment))


def trading_day_start(contract: Contract, moment: datetime) -> datetime:
    """The open of the newest session: what is "today's" for P&L begins here and lasts until the next open."""
    calendar = get_calendar(contract.calendar)
    return calendar.open_of(calendar.latest_session(moment))


def trading_minutes(calendars: Iterable[str], after: datetime, until: datetime) -> Iterator[datetime]:
    """Starts of all minutes in which any of ``calendars`` trades, that end after ``after`` and begin by ``until``.

    Oldest first, each once. Closed time costs nothing: the walk goes from session to session.
    """
    merged: dict[datetime, None] = {}
    for name in calendars:
        merged.update(dict.fromkeys(_minutes_of(get_calendar(name), after, until)))
    yield from sorted(merged)


def _minutes_of(calendar: TradingCalendar, after: datetime, until: datetime) -> Iterator[datetime]:
    # A session's date may lie a day before or after the UTC date of its trading hours.
    day = timedelta(days=1)
    for session in calendar.sessions((after - day).date(), (until + day).date()):
        minute = max(calendar.open_of(session), minute_of(after))
        end = calendar.close_of(session)
        while minute < end and minute <= until:
            yield minute
            minute += MINUTE
