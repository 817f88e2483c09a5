"""A calendar as arrays, for work on whole frames of bars: where sessions begin and end, in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MISSING = -1
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class SessionSpans:
    """Some consecutive sessions of one calendar, oldest first.

    ``days`` are ISO dates. ``midnights`` (midnight UTC of the session's date, the stamp of a daily bar),
    ``opens``, ``closes`` and ``offsets`` (local time less UTC at the open) are nanoseconds since the epoch.
    """

    days: pd.Index[str]
    midnights: Int64s
    opens: Int64s
    closes: Int64s
    offsets: Int64s

    @classmethod
    def between(cls, calendar: TradingCalendar, first: date, last: date) -> SessionSpans:
        """The sessions from ``first`` to ``last``, both included."""
        days = calendar.sessions(first, last)
        opens = [calendar.open_of(day) for day in days]
        offsets = [opening.astimezone(calendar.time_zone).utcoffset() or timedelta(0) for opening in opens]
        return cls(
            days=pd.Index([day.isoformat() for day in days], dtype=object),
            midnights=np.array(days, dtype="datetime64[D]").astype("datetime64[ns]").astype(np.int64),
            opens=np.array([int(opening.timestamp()) for opening in opens], dtype=np.int64) * _NANOSECONDS,
            closes=np.array([int(calendar.close_of(day).timestamp()) for day in days], dtype=np.int64) * _NANOSECONDS,
            offsets=np.array([int(offset.total_seconds()) for offset in offsets], dtype=np.int64) * _NANOSECONDS,
        )

    @classmethod
    def around(cls, calendar: TradingCalendar, stamps: Int64s) -> SessionSpans:
        """The sessions that any of ``stamps`` (nanoseconds since the epoch) could belong to."""
        if len(stamps) == 0:
            return cls.between(calendar, date(2000, 1, 1), date(2000, 1, 1))
        first, last = pd.Timestamp(int(stamps.min())), pd.Timestamp(int(stamps.max()))
        return cls.between(calendar, (first - pd.Timedelta(days=2)).date(), (last + pd.Timedelta(days=2)).date())

    def containing(self, stamps: Int64s) -> Int64s:
        """Position of the session that is open at each stamp; ``MISSING`` where the market is closed."""
        if len(self.days) == 0:
            return np.full(len(stamps), MISSING, dtype=np.int64)
        position = np.searchsorted(self.opens, stamps, side="right") - 1
        is_open = (position >= 0) & (stamps < self.closes[position])
        return np.where(is_open, position, MISSING)

    def labelled(self, sessions: pd.Series[str]) -> Int64s:
        """Position of each session given by its ISO date; ``MISSING`` where there is none of that date."""
        return np.asarray(self.days.get_indexer(pd.Index(sessions, dtype=object)), dtype=np.int64)


def nanoseconds(stamps: pd.Series[pd.Timestamp]) -> Int64s:
    """Nanoseconds since the epoch of a tz-aware column; NaT becomes the smallest integer.

    Raises:
        ValueError: the column has no time zone.
    """
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype):
        msg = f"{stamps.name} must be tz-aware UTC timestamps, but its type is {stamps.dtype}"
        raise ValueError(msg)  # noqa: TRY004 - wrong data, not a wrong call
    return np.asarray(stamps.dt.tz_convert("UTC").dt.as_unit("ns").astype(np.int64), dtype=np.int64)
