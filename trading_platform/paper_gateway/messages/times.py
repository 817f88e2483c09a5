"""TWS's spellings of instants and time zones, read and written."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trading_platform.paper_gateway.errors import refuse_invalid

UTC = timezone.utc
TWS_ZONE = ZoneInfo("US/Eastern")
"""The time zone the gateway is "logged in" with: instants without a zone are read in it."""

_TWS_NAMES = {
    "America/New_York": "US/Eastern",
    "America/Chicago": "US/Central",
    "America/Los_Angeles": "US/Pacific",
}
_INSTANT = re.compile(r"(\d{8})([ -]+)(\d{2}:\d{2}(?::\d{2})?)(?: (\S+))?")


def zone_name(zone: str) -> str:
    """TWS's name of an IANA time zone, e.g. US/Eastern."""
    return _TWS_NAMES.get(zone, zone)


def parse_instant(text: str) -> datetime:
    """Read "20130228 15:45:00 US/Eastern", "20130228-20:45:00" (UTC), or without a zone (gateway's zone).

    Returns the instant in UTC.

    Raises:
        RequestError: 321, the text is none of these.
    """
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        _refuse(text)
    day, separator, time, zone = found.groups()
    try:
        local = datetime.strptime(day + (time if len(time) == 8 else f"{time}:00"), "%Y%m%d%H:%M:%S")  # noqa: DTZ007
        home = ZoneInfo(zone) if zone else UTC if separator == "-" else TWS_ZONE
    except (ValueError, ZoneInfoNotFoundError):
        _refuse(text)
    return local.replace(tzinfo=home).astimezone(UTC)


def local_stamp(moment: datetime, zone: str) -> str:
    """Write an instant as "20130228 15:45:00 US/Eastern"."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone_name(zone)}"


def utc_stamp(moment: datetime) -> str:
    """Write an instant as "20130228-20:45:00" (UTC)."""
    return f"{moment.astimezone(UTC):%Y%m%d-%H:%M:%S}"


def _refuse(text: str) -> NoReturn:
    refuse_invalid(
        f"The date, time, or time-zone '{text}' entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx "
        "or yyyymmdd-hh:mm:ss (UTC)"
    )
