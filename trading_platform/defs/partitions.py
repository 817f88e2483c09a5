"""Partitions: one per session of a calendar, today included. No other partition dimension exists."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from importlib import metadata

import dagster as dg

from trading_platform.domain.calendars import ALWAYS_OPEN, LAST_SESSION, get_calendar
from trading_platform.import_cache import cached

FIRST_SESSION = date(2000, 1, 3)
FIRST_ALWAYS_OPEN_SESSION = date(2010, 1, 1)


@lru_cache(maxsize=8)
def session_partitions(calendar: str) -> dg.TimeWindowPartitionsDefinition:
    """The sessions of ``calendar`` as partitions, keyed by ISO date.

    A session becomes available at midnight of its day in the market's time zone, before it opens; after a holiday
    that is a weekday, at the holiday's midnight.
    """
    if calendar == ALWAYS_OPEN:
        return dg.DailyPartitionsDefinition(
            start_date=FIRST_ALWAYS_OPEN_SESSION.isoformat(), timezone="UTC", end_offset=1
        )
    key = f"{metadata.version('exchange_calendars')} {FIRST_SESSION} {LAST_SESSION}"
    facts = cached(f"holidays-{calendar}", key, lambda: _holidays(calendar))
    return dg.TimeWindowPartitionsDefinition(
        start=FIRST_SESSION.isoformat(),
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * 1-5",
        timezone=facts["time_zone"],
        end_offset=1,
        exclusions=[datetime.fromisoformat(day).replace(tzinfo=timezone.utc) for day in facts["holidays"]],
    )


def _holidays(calendar: str) -> dict[str, object]:
    """Weekdays without a session."""
    sessions = get_calendar(calendar)
    days = [FIRST_SESSION + timedelta(days=i) for i in range((LAST_SESSION - FIRST_SESSION).days + 1)]
    holidays = [day.isoformat() for day in days if day.weekday() < 5 and not sessions.is_session(day)]
    return {"time_zone": str(sessions.time_zone), "holidays": holidays}
