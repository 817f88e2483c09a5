"""Durations and bar sizes in TWS's words, and the span of history a request means."""

from __future__ import annotations

import calendar as months
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import NoReturn
from zoneinfo import ZoneInfo

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.paper_gateway.errors import refuse_history, refuse_invalid

DAY_SECONDS = 86_400

BAR_SECONDS = {
    "1 secs": 1,
    "5 secs": 5,
    "10 secs": 10,
    "15 secs": 15,
    "30 secs": 30,
    "1 min": 60,
    "2 mins": 120,
    "3 mins": 180,
    "5 mins": 300,
    "10 mins": 600,
    "15 mins": 900,
    "20 mins": 1200,
    "30 mins": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "3 hours": 10_800,
    "4 hours": 14_400,
    "8 hours": 28_800,
    "1 day": DAY_SECONDS,
    "1 week": 7 * DAY_SECONDS,
    "1 month": 30 * DAY_SECONDS,
}
"""Every bar size TWS knows, in seconds (a month counted as 30 days)."""

_SMALLEST_BAR = {"S": 1, "D": 5, "W": 10, "M": 30, "Y": 60}
"""Smallest bar, in seconds, that a duration in each unit may ask for (IBKR, "Step Sizes")."""
_LONGEST = {"S": DAY_SECONDS, "D": 365, "W": 52, "M": 12, "Y": 68}
"""The most of each unit (IBKR, "Max Duration Per Bar Size")."""
_LONGEST_OF_ONE_SECOND = 2000
_NAMES = {"D": "days", "W": "weeks", "M": "months"}
_DURATION = re.compile(r"(\d+) ([SDWMY])")


@dataclass(frozen=True)
class Duration:
    """A count of seconds, days, weeks, months or years (``unit`` S, D, W, M, Y)."""

    count: int
    unit: str


def bar_seconds(bar_size: str) -> int:
    """Length of a bar in seconds.

    Raises:
        RequestError: 321, no such bar size.
    """
    if bar_size not in BAR_SECONDS:
        legal = ", ".join(BAR_SECONDS)
        refuse_invalid(f"Historical data bar size setting is invalid. Legal ones are: {legal}")
    return BAR_SECONDS[bar_size]


def parse_duration(text: str, seconds_per_bar: int) -> Duration:
    """Read a duration such as "30 D".

    Raises:
        RequestError: 321, it is none, or too long for its unit; 162, too long for so small bars.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        refuse_invalid("Historical data query duration is invalid. Use an integer, a space and one of S, D, W, M, Y")
    duration = Duration(int(found[1]), found[2])
    if duration.count > _LONGEST[duration.unit]:
        _refuse_length(duration.unit)
    is_too_long = seconds_per_bar == 1 and duration.count > _LONGEST_OF_ONE_SECOND
    if is_too_long or seconds_per_bar < _SMALLEST_BAR[duration.unit]:
        refuse_history("Time length exceed max.")
    return duration


def _refuse_length(unit: str) -> NoReturn:
    if unit == "S":
        refuse_invalid(f"Historical data request for greater than {DAY_SECONDS} seconds rejected.")
    if unit == "Y":
        refuse_invalid("Historical data requested duration is invalid.")
    refuse_invalid(
        f"Historical data requests for durations longer than {_LONGEST[unit]} {_NAMES[unit]} must be made in years."
    )


def span_start(calendar: TradingCalendar, end: datetime, duration: Duration, *, is_daily: bool) -> datetime | None:
    """The instant a span of history that ends at ``end`` starts at.

    Days are sessions, the one that ``end`` falls into included; seconds are seconds of open market; weeks,
    months and years are of the calendar. For daily bars it is midnight UTC of the first session's date, which
    is what daily bars carry. None when the calendar doesn't reach back that far.
    """
    try:
        last = calendar.latest_session(end - timedelta(microseconds=1))
        if duration.unit == "S":
            return _seconds_back(calendar, last, end, duration.count)
        first = _first_session(calendar, last, end, duration)
    except ValueError:
        return None
    return midnight(first) if is_daily else calendar.open_of(first)


def midnight(session: date) -> datetime:
    """Midnight UTC of the session's date: the instant daily bars carry."""
    return datetime(session.year, session.month, session.day, tzinfo=timezone.utc)


def _first_session(calendar: TradingCalendar, last: date, end: datetime, duration: Duration) -> date:
    if duration.unit == "D":
        return calendar.offset(last, 1 - duration.count)
    ended = (end - timedelta(microseconds=1)).astimezone(calendar.time_zone).date()
    if duration.unit == "W":
        after = ended - timedelta(weeks=duration.count)
    else:
        after = _months_before(ended, duration.count * (12 if duration.unit == "Y" else 1))
    sessions = calendar.sessions(after + timedelta(days=1), last)
    return sessions[0] if sessions else last


def _seconds_back(calendar: TradingCalendar, session: date, end: datetime, seconds: int) -> datetime:
    wanted = timedelta(seconds=seconds)
    until = min(end, calendar.close_of(session))
    while until - calendar.open_of(session) < wanted:
        wanted -= until - calendar.open_of(session)
        session = calendar.offset(session, -1)
        until = calendar.close_of(session)
    return until - wanted


def _months_before(day: date, count: int) -> date:
    position = day.year * 12 + day.month - 1 - count
    year, month = divmod(position, 12)
    return date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def trading_hours(calendar: TradingCalendar, now: datetime, zone: str, days: int = 6) -> str:
    """The next days' hours as TWS writes them: "20130301:0930-20130301:1600;20130302:CLOSED;…", in ``zone``."""
    home = ZoneInfo(zone)
    today = now.astimezone(home).date()
    parts = []
    for day in (today + timedelta(days=offset) for offset in range(days)):
        if calendar.is_session(day):
            opens, closes = calendar.open_of(day).astimezone(home), calendar.close_of(day).astimezone(home)
            parts.append(f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}")
        else:
            parts.append(f"{day:%Y%m%d}:CLOSED")
    return ";".join(parts)
