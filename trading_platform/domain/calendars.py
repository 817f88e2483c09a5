"""Trading calendars: sessions, their opens and closes. All instants are tz-aware UTC, all sessions are dates.

Exchanges come from ``exchange_calendars`` (holidays, half days, unscheduled closes). Two markets are our own: those
that never close ("24/7") use calendar days in UTC, from midnight to midnight; foreign exchange ("FX") has the day of
IBKR's IDEALPRO, from 17:15 in New York on the day before to 17:00, Monday to Friday. (The days of exchange_calendars'
"24/5" go from midnight to midnight in UTC, which would put Sunday evening's bars outside every session and expect some
on Friday evening, when nobody trades.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from functools import cached_property, lru_cache
from statistics import mode
from zoneinfo import ZoneInfo

UTC = timezone.utc
FIRST_SESSION = date(1998, 1, 2)
LAST_SESSION = date(2035, 12, 31)
ALWAYS_OPEN = "24/7"
FOREIGN_EXCHANGE = "FX"
OUR_OWN = (ALWAYS_OPEN, FOREIGN_EXCHANGE)
"""Markets that are no exchange: open day and night, and nothing that is split or pays a dividend."""
DAILY_CALENDAR = "XNYS"
"""The calendar whose daily bars are the feed ``daily``; those of others carry its name."""
FX_TIME_ZONE = "America/New_York"
FX_OPEN, FX_CLOSE = time(17, 15), time(17)
FX_HOLIDAYS = ((1, 1), (12, 25))
"""Month and day."""
SESSIONS_PER_YEAR = 252
DAYS_PER_YEAR = 365
"""Periods per year of markets that never close."""


def calendar_slug(name: str) -> str:
    """A calendar's name as part of other names: ``xnys``, ``24_7``."""
    return name.lower().replace("/", "_")


class TradingCalendar:
    """The sessions of one market, oldest first, with their opens and closes.

    ``has_breaks``: its sessions are interrupted, as Tokyo's is at noon. A session is one stretch here, so that such a
    market can have daily bars only: what is expected within the day would be wrong.
    """

    def __init__(
        self,
        name: str,
        time_zone: str,
        opens: list[datetime],
        closes: list[datetime],
        days: list[date],
        *,
        has_breaks: bool = False,
    ):
        self.name = name
        self.time_zone = ZoneInfo(time_zone)
        self.has_breaks = has_breaks
        self._days = days
        self._opens = opens
        self._closes = closes
        self._index = {day: i for i, day in enumerate(days)}

    @property
    def schedule(self) -> list[tuple[date, datetime, datetime]]:
        """All sessions with their open and close."""
        return list(zip(self._days, self._opens, self._closes, strict=True))

    @property
    def is_always_open(self) -> bool:
        """Whether the market never closes."""
        return self.name == ALWAYS_OPEN

    def is_session(self, day: date) -> bool:
        """Whether the market trades on ``day``."""
        return day in self._index

    def sessions(self, first: date, last: date) -> list[date]:
        """Sessions from ``first`` to ``last``, both included."""
        return self._days[bisect_left(self._days, first) : bisect_right(self._days, last)]

    def open_of(self, session: date) -> datetime:
        """The instant the session opens."""
        return self._opens[self._position(session)]

    def close_of(self, session: date) -> datetime:
        """The instant the session closes; half days close early."""
        return self._closes[self._position(session)]

    def offset(self, session: date, count: int) -> date:
        """The session ``count`` sessions after (before, when negative) ``session``."""
        position = self._position(session) + count
        if not 0 <= position < len(self._days):
            msg = f"{self.name} ({self._days[0]} to {self._days[-1]}) has no session {count} away from {session}"
            raise ValueError(msg)
        return self._days[position]

    def distance(self, earlier: date, later: date) -> int:
        """How many sessions ``later`` comes after ``earlier``."""
        return self._position(later) - self._position(earlier)

    def session_at(self, moment: datetime) -> date | None:
        """The session that is open at ``moment`` (open ≤ moment < close), or None when the market is closed."""
        position = bisect_right(self._opens, moment) - 1
        if position >= 0 and moment < self._closes[position]:
            return self._days[position]
        return None

    def is_open(self, moment: datetime) -> bool:
        """Whether the market is open at ``moment``."""
        return self.session_at(moment) is not None

    def latest_session(self, moment: datetime) -> date:
        """The newest session that has opened by ``moment``."""
        position = bisect_right(self._opens, moment) - 1
        if position < 0:
            msg = f"{self.name} has no session before {moment.isoformat()}"
            raise ValueError(msg)
        return self._days[position]

    def last_completed_session(self, moment: datetime) -> date:
        """The newest session that has closed by ``moment``."""
        position = bisect_right(self._closes, moment) - 1
        if position < 0:
            msg = f"{self.name} has no completed session before {moment.isoformat()}"
            raise ValueError(msg)
        return self._days[position]

    def session_minutes(self, session: date) -> int:
        """Length of the session in minutes: 390 on a usual XNYS day, 210 on a half day."""
        return int((self.close_of(session) - self.open_of(session)).total_seconds() // 60)

    @property
    def sessions_per_year(self) -> int:
        """By convention 252 on an exchange, 365 where every day is a session."""
        return DAYS_PER_YEAR if self.is_always_open else SESSIONS_PER_YEAR

    @cached_property
    def usual_session_minutes(self) -> int:
        """Length of a usual session: 390 minutes on XNYS, 1440 around the clock."""
        return mode(self.session_minutes(session) for session in self._days[-DAYS_PER_YEAR:])

    def tick_of(self, moment: datetime, cadence: timedelta) -> datetime:
        """The newest instant ``open + k × cadence`` that is not after ``moment``.

        The market must be open at ``moment``. Two moments in one tick get the same answer, which is what
        makes a decision at a tick repeatable.
        """
        session = self.session_at(moment)
        if session is None:
            msg = f"{self.name} is closed at {moment.isoformat()}: there is no tick"
            raise ValueError(msg)
        start = self.open_of(session)
        return start + ((moment - start) // cadence) * cadence

    def _position(self, session: date) -> int:
        try:
            return self._index[session]
        except KeyError:
            msg = f"{session} is not a session of {self.name}"
            raise ValueError(msg) from None


Source = Callable[[str], TradingCalendar]
"""Makes the calendar of a name; raises ValueError for a name it does not know."""

_sources: list[Source] = []


def use_source(source: Source) -> None:
    """Let :func:`get_calendar` ask ``source``, which may know a quicker way to what :func:`build_calendar` makes."""
    if _sources != [source]:
        _sources[:] = [source]
        get_calendar.cache_clear()


@lru_cache(maxsize=8)
def get_calendar(name: str) -> TradingCalendar:
    """Return the calendar ``name``: an ``exchange_calendars`` code such as XNYS, or "24/7".

    Raises:
        ValueError: no such calendar.
    """
    return _sources[0](name) if _sources else build_calendar(name)


def build_calendar(name: str) -> TradingCalendar:
    """Make the calendar ``name`` from ``exchange_calendars``, which takes some tenths of a second.

    Raises:
        ValueError: no such calendar.
    """
    if name == ALWAYS_OPEN:
        days = [FIRST_SESSION + timedelta(days=i) for i in range((LAST_SESSION - FIRST_SESSION).days + 1)]
        opens = [datetime.combine(day, time(), UTC) for day in days]
        return TradingCalendar(name, "UTC", opens, [*opens[1:], opens[-1] + timedelta(days=1)], days)
    if name == FOREIGN_EXCHANGE:
        return _foreign_exchange()

    import exchange_calendars as xcals
    from exchange_calendars.errors import InvalidCalendarName

    try:
        calendar = xcals.get_calendar(name, start=FIRST_SESSION.isoformat(), end=LAST_SESSION.isoformat())
    except InvalidCalendarName:
        msg = f"unknown calendar {name!r}: use an exchange_calendars code such as XNYS, or {' or '.join(OUR_OWN)}"
        raise ValueError(msg) from None
    schedule = calendar.schedule
    return TradingCalendar(
        name,
        str(calendar.tz),
        [stamp.to_pydatetime() for stamp in schedule["open"]],
        [stamp.to_pydatetime() for stamp in schedule["close"]],
        [stamp.date() for stamp in schedule.index.to_pydatetime()],
        has_breaks=bool(schedule["break_start"].notna().any()),
    )


def _foreign_exchange() -> TradingCalendar:
    """Weekdays but New Year's Day and Christmas, each from 17:15 in New York on the day before to 17:00."""
    new_york = ZoneInfo(FX_TIME_ZONE)
    span = (FIRST_SESSION + timedelta(days=i) for i in range((LAST_SESSION - FIRST_SESSION).days + 1))
    days = [day for day in span if day.weekday() < 5 and (day.month, day.day) not in FX_HOLIDAYS]
    opens = [datetime.combine(day - timedelta(days=1), FX_OPEN, new_york).astimezone(UTC) for day in days]
    closes = [datetime.combine(day, FX_CLOSE, new_york).astimezone(UTC) for day in days]
    return TradingCalendar(FOREIGN_EXCHANGE, FX_TIME_ZONE, opens, closes, days)
