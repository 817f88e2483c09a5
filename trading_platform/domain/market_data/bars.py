"""Arithmetic of bars: where they begin and end, and when they are final. Pure; "now" is an argument.

A bar is stamped with its start. Within a session the first bar starts at the open; the others start at
multiples of the bar size on the market's own clock, as IBKR has it (hourly bars of XNYS start at 9:30, 10:00,
11:00, …). The last bar of a session ends at its close, however short that makes it. A daily bar is stamped
with midnight UTC of its session's date and ends at the session's close.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import LAST_SESSION, TradingCalendar
from trading_platform.domain.market_data.spans import MISSING, Int64s, SessionSpans, nanoseconds
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize

if TYPE_CHECKING:
    from trading_platform.domain.market_data.spans import Bools

UTC = timezone.utc
DAILY: BarSize = "1 day"


def bar_length(bar_size: BarSize) -> timedelta:
    """Nominal length of a bar."""
    return timedelta(minutes=BAR_MINUTES[bar_size])


def bar_end(ts: datetime, bar_size: BarSize, calendar: TradingCalendar) -> datetime:
    """The instant (UTC) at which the bar that starts at ``ts`` is complete.

    Raises:
        ValueError: ``ts`` is in no session of the calendar.
    """
    if bar_size == DAILY:
        return calendar.close_of(ts.astimezone(UTC).date())
    session = calendar.session_at(ts)
    if session is None:
        msg = f"no {bar_size} bar starts at {ts.isoformat()}: {calendar.name} is closed then"
        raise ValueError(msg)
    local = ts.astimezone(calendar.time_zone)
    midnight = datetime.combine(local.date(), time(), local.tzinfo)
    length = bar_length(bar_size)
    since_midnight = local.replace(tzinfo=None) - midnight.replace(tzinfo=None)
    until_next = length - since_midnight % length
    return min((ts + until_next).astimezone(UTC), calendar.close_of(session))


def is_final(ts: datetime, bar_size: BarSize, calendar: TradingCalendar, now: datetime) -> bool:
    """Whether the bar that starts at ``ts`` is complete at ``now``."""
    return bar_end(ts, bar_size, calendar) <= now


def expected_bar_starts(session: date, bar_size: BarSize, calendar: TradingCalendar) -> list[datetime]:
    """Starts (UTC) of all bars of ``session``, oldest first. One for daily bars: midnight UTC of its date."""
    if bar_size == DAILY:
        calendar.open_of(session)  # refuses what is not a session
        return [datetime.combine(session, time(), UTC)]
    start, close = calendar.open_of(session), calendar.close_of(session)
    starts = []
    while start < close:
        starts.append(start)
        start = bar_end(start, bar_size, calendar)
    return starts


def bars_per_session(bar_size: BarSize, calendar: TradingCalendar) -> int:
    """Number of bars in a usual session: 78 bars of 5 minutes on XNYS, 24 hourly ones around the clock."""
    if bar_size == DAILY:
        return 1
    sessions = calendar.sessions(LAST_SESSION - timedelta(days=365), LAST_SESSION)
    usual = calendar.usual_session_minutes
    session = next(session for session in sessions if calendar.session_minutes(session) == usual)
    return len(expected_bar_starts(session, bar_size, calendar))


def due_bar(bar_size: BarSize, calendar: TradingCalendar, moment: datetime) -> datetime:
    """Start (UTC) of the newest bar that must be there at ``moment``: the last one that has ended by then.

    Of daily bars it is that of the session that is open, which is the day so far, or of the latest one. Before a
    session's first bar has ended it is the last bar of the session before; half days end early.
    """
    session = calendar.latest_session(moment)
    if bar_size == DAILY:
        return datetime.combine(session, time(), UTC)
    ended = [start for start in expected_bar_starts(session, bar_size, calendar) if start < moment]
    while ended and bar_end(ended[-1], bar_size, calendar) > moment:
        ended.pop()
    return ended[-1] if ended else expected_bar_starts(calendar.offset(session, -1), bar_size, calendar)[-1]


def newest_bars(bars: pd.DataFrame) -> dict[str, datetime]:
    """Start (tz-aware UTC) of each symbol's newest row: of bars that have ended, or of features made of them."""
    if bars.empty:
        return {}
    return {str(symbol): stamp.to_pydatetime() for symbol, stamp in bars.groupby("symbol")["ts_utc"].max().items()}


def session_labels(ts_utc: pd.Series[pd.Timestamp], bar_size: BarSize, calendar: TradingCalendar) -> pd.Series[str]:
    """The session (ISO date) that each bar belongs to.

    A bar outside every session gets its date on the market's clock, so that validation can say what is wrong
    with it.

    Raises:
        ValueError: ``ts_utc`` has no time zone.
    """
    stamps = nanoseconds(ts_utc)
    if bar_size == DAILY:
        # strftime takes twenty times as long
        dates = np.datetime_as_string(stamps.view("datetime64[ns]"), unit="D").astype(object)
        return pd.Series(dates, index=ts_utc.index, name="session").where(ts_utc.notna())
    spans = SessionSpans.around(calendar, stamps)
    position = spans.containing(stamps)
    days = ts_utc.dt.tz_convert(str(calendar.time_zone)).dt.strftime("%Y-%m-%d").to_numpy(dtype=object)
    is_inside = position != MISSING
    days[is_inside] = spans.days.to_numpy()[position[is_inside]]
    return pd.Series(days, index=ts_utc.index, name="session")


def final_flags(
    ts_utc: pd.Series[pd.Timestamp], bar_size: BarSize, calendar: TradingCalendar, now: datetime
) -> pd.Series[bool]:
    """For each bar whether it is complete at ``now``: :func:`is_final` for a whole column.

    Bars outside every session are taken to have their nominal length.

    Raises:
        ValueError: ``ts_utc`` has no time zone.
    """
    stamps = nanoseconds(ts_utc)
    ends = bar_ends(stamps, bar_size, SessionSpans.around(calendar, stamps))
    flags: Bools = ends <= pd.Timestamp(now).as_unit("ns").value
    return pd.Series(flags, index=ts_utc.index, name="is_final")


def bar_ends(stamps: Int64s, bar_size: BarSize, spans: SessionSpans) -> Int64s:
    """Ends of the bars that start at ``stamps``, both in nanoseconds since the epoch."""
    length = int(bar_length(bar_size).total_seconds()) * 1_000_000_000
    if len(spans.days) == 0:
        return stamps + length
    if bar_size == DAILY:
        found = np.searchsorted(spans.midnights, stamps)
        position = np.minimum(found, len(spans.midnights) - 1)
        return np.where(spans.midnights[position] == stamps, spans.closes[position], stamps + length)
    position = spans.containing(stamps)
    boundary = stamps + length - (stamps + spans.offsets[position]) % length
    return np.where(position == MISSING, stamps + length, np.minimum(boundary, spans.closes[position]))
