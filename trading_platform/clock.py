"""The one place that reads the wall clock.

Everything else is handed a :class:`Clock` or a plain ``datetime``. An architecture test keeps it so.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Protocol

UTC = timezone.utc


class Clock(Protocol):
    """Tells the platform's time: always timezone-aware and in UTC."""

    def now(self) -> datetime:
        """Return the platform's current instant, tz-aware UTC."""
        ...


class SystemClock:
    """The wall clock, optionally moved by a constant offset.

    ``--as-of`` runs every process of the platform with one shared offset, so that time flows at its
    usual speed but starts at the chosen moment.
    """

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self.offset = offset

    @classmethod
    def starting_at(cls, moment: datetime) -> SystemClock:
        """Return a clock that reads ``moment`` (tz-aware) now and runs on from there."""
        if moment.tzinfo is None:
            msg = f"{moment!r} has no time zone: give one, e.g. 2013-02-28T15:45:00-05:00"
            raise ValueError(msg)
        return cls(moment.astimezone(UTC) - datetime.now(UTC))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


class ManualClock:
    """A clock that stands still until somebody moves it. For tests and for replay; thread-safe."""

    def __init__(self, moment: datetime) -> None:
        self._lock = threading.Lock()
        self._now = _aware(moment)

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def set(self, moment: datetime) -> None:
        """Move the clock to ``moment`` (tz-aware). It may not go back."""
        moment = _aware(moment)
        with self._lock:
            if moment < self._now:
                msg = f"the clock stands at {self._now.isoformat()} and can't go back to {moment.isoformat()}"
                raise ValueError(msg)
            self._now = moment

    def advance(self, by: timedelta) -> datetime:
        """Move the clock forward and return the new instant."""
        self.set(self.now() + by)
        return self.now()


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        msg = f"{moment!r} has no time zone"
        raise ValueError(msg)
    return moment.astimezone(UTC)
