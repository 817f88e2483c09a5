"""Calendars from the import cache: each command and each run is a process, and making one takes most of a second."""

from __future__ import annotations

from datetime import date, datetime, timezone
from importlib import metadata

from trading_platform.domain.calendars import ALWAYS_OPEN, TradingCalendar, build_calendar, use_source
from trading_platform.import_cache import cached

UTC = timezone.utc


def use_cached_calendars() -> None:
    """From now on ``get_calendar`` reads calendars back instead of making them."""
    use_source(cached_calendar)


def cached_calendar(name: str) -> TradingCalendar:
    """What ``build_calendar`` makes of ``name``, read back if it was made before with this exchange_calendars.

    Raises:
        ValueError: no such calendar.
    """
    if name == ALWAYS_OPEN:
        return build_calendar(name)
    key = f"{metadata.version('exchange_calendars')} with breaks"
    facts = cached(f"calendar-{name}", key, lambda: _facts(build_calendar(name)))
    days, opens, closes = zip(*facts["sessions"], strict=True)
    return TradingCalendar(
        name,
        facts["time_zone"],
        [datetime.fromtimestamp(moment, UTC) for moment in opens],
        [datetime.fromtimestamp(moment, UTC) for moment in closes],
        [date.fromordinal(day) for day in days],
        has_breaks=facts["has_breaks"],
    )


def _facts(calendar: TradingCalendar) -> dict[str, object]:
    """Sessions as ordinal day, open and close in seconds since the epoch: quick to read back."""
    return {
        "time_zone": str(calendar.time_zone),
        "has_breaks": calendar.has_breaks,
        "sessions": [
            (day.toordinal(), int(opens.timestamp()), int(closes.timestamp()))
            for day, opens, closes in calendar.schedule
        ],
    }
