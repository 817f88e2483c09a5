"""Partitions: one per session of a calendar, today included. No other partition dimension exists."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from importlib import metadata

import dagster as dg

from trading_platform.domain.calendars import ALWAYS_OPEN, FX_HOLIDAYS, LAST_SESSION, get_calendar
from trading_platform.import_cache import cached

FIRST_SESSION = date(2000, 1, 3)
FIRST_ALWAYS_OPEN_SESSION = date(2010, 1, 1)


@lru_cache(maxsize=8)
def session_partitions(calendar: str) -> dg.TimeWindowPartitionsDefinition:
    """The sessions of ``calendar`` as partitions, keyed by ISO date.

    A session becomes available at midnight of its day in the market's time zone, before it opens; after a holiday
    that is a weekday, at the holiday's midnight. One that opens on the evening before, as those of foreign exchange do,
    is available a day earlier.
    """
    if calendar == ALWAYS_OPEN:
        return dg.DailyPartitionsDefinition(
            start_date=FIRST_ALWAYS_OPEN_SESSION.isoformat(), timezone="UTC", end_offset=1
        )
    key = f"{metadata.version('exchange_calendars')} {FIRST_SESSION} {LAST_SESSION} {FX_HOLIDAYS} by weekday"
    facts = cached(f"holidays-{calendar}", key, lambda: _facts(calendar))
    return dg.TimeWindowPartitionsDefinition(
        start=FIRST_SESSION.isoformat(),
        fmt="%Y-%m-%d",
        cron_schedule=f"0 0 * * {facts['weekdays']}",
        timezone=facts["time_zone"],
        end_offset=2 if facts["opens_the_day_before"] else 1,
        exclusions=[datetime.fromisoformat(day).replace(tzinfo=timezone.utc) for day in facts["holidays"]],
    )


def _facts(calendar: str) -> dict[str, object]:
    """Time zone, weekdays in cron's words, the days among them that are no session, and when sessions open."""
    market = get_calendar(calendar)
    days = [FIRST_SESSION + timedelta(days=i) for i in range((LAST_SESSION - FIRST_SESSION).days + 1)]
    sessions = [day for day in days if market.is_session(day)]
    weekdays = sorted({day.isoweekday() % 7 for day in sessions})
    holidays = [day.isoformat() for day in days if day.isoweekday() % 7 in weekdays and not market.is_session(day)]
    newest = sessions[-1]
    return {
        "time_zone": str(market.time_zone),
        "weekdays": "1-5" if weekdays == [1, 2, 3, 4, 5] else ",".join(map(str, weekdays)),
        "holidays": holidays,
        "opens_the_day_before": market.open_of(newest).astimezone(market.time_zone).date() < newest,
    }
