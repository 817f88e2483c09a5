"""What to ask the broker for: which sessions are not stored for good, in how many requests, in TWS's words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import ceil

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.bars import bars_per_session
from trading_platform.domain.market_data.spans import MISSING, SessionSpans, nanoseconds
from trading_platform.domain.signals.spec import BarSize

MAX_REQUEST_BARS = 8_000
"""What one answer holds at most, about. IBKR lets a request for bars of 5 seconds and more last up to 86400 S, 365 D,
52 W, 12 M or 68 Y ("Max Duration Per Bar Size"), and asks for "only a few thousand bars" at a time ("Step Sizes"). A
month of minutes, 8,580 bars, is answered within ten seconds; years of them are cut off."""
MAX_DAYS, MAX_WEEKS, MAX_YEARS = 365, 52, 68
DAYS_PER_WEEK, SESSIONS_PER_WEEK = 7, 5


@dataclass(frozen=True)
class BarsRequest:
    """One historical-data request that covers ``sessions``.

    ``end`` is tz-aware UTC, ``None`` for now; ``duration`` is TWS's, e.g. "4 W". The answer may reach further
    back than asked: drop what is not in ``sessions``.
    """

    sessions: tuple[date, ...]
    end: datetime | None
    duration: str


def look_back(session: date, history_sessions: int, calendar: TradingCalendar) -> list[date]:
    """``session`` and the ``history_sessions`` sessions before it, oldest first."""
    return calendar.sessions(calendar.offset(session, -history_sessions), session)


def complete_sessions(bars: pd.DataFrame, calendar: TradingCalendar) -> dict[str, set[date]]:
    """Sessions of each symbol that need not be asked for again.

    A session is complete when some bar of it was received after its close: the answer that brought this bar
    could hold the whole session.

    Args:
        bars: stored raw bars with columns ``symbol, session, received_at_utc``.
        calendar: the calendar of ``session``.
    """
    if bars.empty:
        return {}
    newest = bars.groupby(["symbol", "session"], sort=True, observed=True)["received_at_utc"].max().reset_index()
    days = [date.fromisoformat(day) for day in newest["session"].unique()]
    spans = SessionSpans.between(calendar, min(days), max(days))
    position = spans.labelled(newest["session"])
    is_complete = (position != MISSING) & (nanoseconds(newest["received_at_utc"]) >= spans.closes[position])
    found: dict[str, set[date]] = {}
    for symbol, day in newest.loc[np.asarray(is_complete), ["symbol", "session"]].itertuples(index=False):
        found.setdefault(str(symbol), set()).add(date.fromisoformat(str(day)))
    return found


def missing_ranges(
    needed: Sequence[date], complete: Collection[date], calendar: TradingCalendar
) -> tuple[tuple[date, ...], ...]:
    """The sessions of ``needed`` that are not in ``complete``, as runs of consecutive sessions, oldest first."""
    runs: list[list[date]] = []
    have = set(complete)
    for session in sorted(set(needed) - have):
        if runs and calendar.distance(runs[-1][-1], session) == 1:
            runs[-1].append(session)
        else:
            runs.append([session])
    return tuple(tuple(run) for run in runs)


def plan_requests(
    needed: Collection[date], bar_size: BarSize, calendar: TradingCalendar, now: datetime
) -> tuple[BarsRequest, ...]:
    """The fewest requests that cover the sessions ``needed``, oldest first, each within what IBKR allows.

    A request covers all that is needed within its span, also across sessions that are not. Where there is a choice,
    requests are parted at the longest gaps. A request ends at the close of its last session, or now (``None``) while
    that is still to come. ``needed`` are sessions that have opened by ``now``, in any order.
    """
    return tuple(_request(chunk, calendar, now) for chunk in request_chunks(needed, bar_size, calendar))


def request_chunks(needed: Collection[date], bar_size: BarSize, calendar: TradingCalendar) -> list[Sequence[date]]:
    """The sessions ``needed``, oldest first, in the fewest pieces that one request each can cover.

    What :func:`plan_requests` asks for, and what a backfill writes at once.
    """
    return list(_chunks(sorted(set(needed)), longest_request(bar_size, calendar)))


@lru_cache(maxsize=64)
def longest_request(bar_size: BarSize, calendar: TradingCalendar) -> int:
    """How many calendar days one request may cover: whole years beyond one year."""
    sessions = max(MAX_REQUEST_BARS // bars_per_session(bar_size, calendar), 1)
    weeks, rest = divmod(sessions, SESSIONS_PER_WEEK)
    days = sessions if calendar.is_always_open else weeks * DAYS_PER_WEEK or rest
    years = min(days // MAX_DAYS, MAX_YEARS)
    return years * MAX_DAYS or days


def _chunks(days: Sequence[date], longest: int) -> Iterator[Sequence[date]]:
    """``days``, ascending, in the fewest runs that last at most ``longest`` calendar days each."""
    # rest[k]: from which position on k runs are enough
    rest = [len(days)]
    while rest[-1] > 0:
        last = days[rest[-1] - 1]
        rest.append(bisect_left(days, last - timedelta(days=longest - 1)))
    start = 0
    for following in rest[-2::-1]:
        latest = bisect_right(days, days[start] + timedelta(days=longest - 1))
        # the next run may start anywhere from `following` to `latest`
        stop = max(range(max(following, start + 1), latest + 1), key=lambda position: (_gap(days, position), position))
        yield days[start:stop]
        start = stop


def _gap(days: Sequence[date], position: int) -> int:
    """Calendar days between the day at ``position`` and the one before it; 0 at the end."""
    return (days[position] - days[position - 1]).days if position < len(days) else 0


def _request(sessions: Sequence[date], calendar: TradingCalendar, now: datetime) -> BarsRequest:
    close = calendar.close_of(sessions[-1])
    return BarsRequest(
        tuple(sessions), close if close <= now else None, _duration((sessions[-1] - sessions[0]).days + 1, calendar)
    )


def _duration(days: int, calendar: TradingCalendar) -> str:
    """TWS's word for at least so many calendar days.

    TWS counts days as days of trading, and weeks and years by the calendar: on an exchange weeks bring less that was
    not asked for. Read the other way round, neither would bring too little.
    """
    weeks = ceil(days / DAYS_PER_WEEK)
    if days < DAYS_PER_WEEK or (calendar.is_always_open and days <= MAX_DAYS):
        return f"{days} D"
    if not calendar.is_always_open and weeks <= MAX_WEEKS:
        return f"{weeks} W"
    return f"{ceil(days / MAX_DAYS)} Y"
