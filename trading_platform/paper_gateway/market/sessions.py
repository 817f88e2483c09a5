"""Sessions of a calendar by position, so that shifting and searching them is arithmetic.

A position counts the sessions of a calendar from its first one. Minutes are whole minutes since 1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from trading_platform.domain.calendars import FIRST_SESSION, LAST_SESSION, TradingCalendar, get_calendar

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def to_minute(moment: datetime) -> int:
    """The whole minutes that have passed at ``moment`` (tz-aware) since 1970-01-01 UTC."""
    return (moment - EPOCH) // MINUTE


def from_minute(minute: int) -> datetime:
    """The UTC instant at which ``minute`` starts."""
    return EPOCH + minute * MINUTE


@dataclass(frozen=True, eq=False)
class SessionIndex:
    """All sessions of one calendar: their dates, and the minutes at which they open and close."""

    calendar: TradingCalendar
    days: list[date]
    dates: npt.NDArray[np.datetime64]
    opens: npt.NDArray[np.int64]
    closes: npt.NDArray[np.int64]
    _positions: dict[date, int]

    @property
    def name(self) -> str:
        """The calendar's name."""
        return self.calendar.name

    def position(self, session: date) -> int | None:
        """The position of ``session``; None when the market does not trade that day."""
        return self._positions.get(session)

    def opened_by(self, moment: datetime) -> int:
        """The position of the newest session that has opened by ``moment``, −1 before the first one."""
        return int(np.searchsorted(self.opens, to_minute(moment), side="right")) - 1

    def closed_by(self, moment: datetime) -> int:
        """The position of the newest session that has closed by ``moment``, −1 before the first one."""
        return int(np.searchsorted(self.closes, to_minute(moment), side="right")) - 1

    def up_to(self, day: date) -> int:
        """The position of the newest session that is not after ``day``, −1 before the first one."""
        return int(np.searchsorted(self.dates, np.datetime64(day, "D"), side="right")) - 1

    def minutes(self, position: int) -> int:
        """Length of the session in minutes."""
        return int(self.closes[position] - self.opens[position])

    def minute_of_day(self, position: int) -> int:
        """Minutes from midnight to the session's open on the market's own clock."""
        local = self.open_of(position).astimezone(self.calendar.time_zone)
        return local.hour * 60 + local.minute

    def open_of(self, position: int) -> datetime:
        """The instant the session opens, UTC."""
        return from_minute(int(self.opens[position]))

    def close_of(self, position: int) -> datetime:
        """The instant the session closes, UTC."""
        return from_minute(int(self.closes[position]))


@lru_cache(maxsize=8)
def session_index(calendar: str) -> SessionIndex:
    """The sessions of ``calendar`` ("XNYS", "24/7").

    Raises:
        ValueError: no such calendar.
    """
    trading_calendar = get_calendar(calendar)
    days = trading_calendar.sessions(FIRST_SESSION, LAST_SESSION)
    return SessionIndex(
        trading_calendar,
        days,
        np.array(days, dtype="datetime64[D]"),
        np.array([to_minute(trading_calendar.open_of(day)) for day in days], dtype=np.int64),
        np.array([to_minute(trading_calendar.close_of(day)) for day in days], dtype=np.int64),
        {day: position for position, day in enumerate(days)},
    )
