"""A calendar as arrays, for work on whole frames of bars: where sessions begin and end, in nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MISSING = -1
_NANOSECONDS = 1_000_000_000
_WHOLE_PAYS_FROM_DAYS = 500


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
        if (last - first).days < _WHOLE_PAYS_FROM_DAYS:
            return cls.of(calendar, calendar.sessions(first, last))
        whole = _whole(calendar)
        begin, end = np.searchsorted(
            whole.midnights, np.array([first, last + timedelta(days=1)], dtype="datetime64[ns]").astype(np.int64)
        )
        part = slice(int(begin), int(end))
        return cls(whole.days[part], whole.midnights[part], whole.opens[part], whole.closes[part], whole.offsets[part])

    @classmethod
    def of(cls, calendar: TradingCalendar, days: Sequence[date]) -> SessionSpans:
        """The sessions ``days``, oldest first."""
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

    def expected_starts(self, length: int | None) -> tuple[Int64s, Int64s]:
        """Starts of all bars that the sessions should have, oldest first, and the position of each one's session.

        ``length`` is that of a bar in nanoseconds; ``None``: daily bars, stamped with their midnights. The first bar
        starts at the open, the others at multiples of ``length`` on the market's own clock, before the close.
        """
        if length is None:
            return self.midnights, np.arange(len(self.days), dtype=np.int64)
        second = self.opens + length - (self.opens + self.offsets) % length
        counts = 1 + np.maximum(0, -((second - self.closes) // length))
        position = np.repeat(np.arange(len(self.days), dtype=np.int64), counts)
        nth = np.arange(len(position), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.where(nth == 0, self.opens[position], second[position] + (nth - 1) * length), position

    def labelled(self, sessions: pd.Series[str]) -> Int64s:
        """Position of each session given by its ISO date; ``MISSING`` where there is none of that date."""
        return np.asarray(self.days.get_indexer(pd.Index(sessions, dtype=object)), dtype=np.int64)


@lru_cache(maxsize=8)
def _whole(calendar: TradingCalendar) -> SessionSpans:
    """All sessions of a calendar: making them takes longer than everything that is done with them."""
    return SessionSpans.of(calendar, [day for day, _, _ in calendar.schedule])


def nanoseconds(stamps: pd.Series[pd.Timestamp]) -> Int64s:
    """Nanoseconds since the epoch of a tz-aware column; NaT becomes the smallest integer.

    Raises:
        ValueError: the column has no time zone.
    """
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype):
        msg = f"{stamps.name} must be tz-aware UTC timestamps, but its type is {stamps.dtype}"
        raise ValueError(msg)  # noqa: TRY004 - wrong data, not a wrong call
    return np.asarray(pd.DatetimeIndex(stamps).as_unit("ns").asi8, dtype=np.int64)
