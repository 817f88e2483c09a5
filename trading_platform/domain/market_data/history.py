"""What to ask the broker for: which sessions are not stored for good, in how many requests, in TWS's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.spans import MISSING, SessionSpans, nanoseconds
from trading_platform.domain.signals.spec import BarSize

# IBKR, "Historical Data Limitations", valid duration per bar size; beyond 365 D a request must be in years
MAX_REQUEST_DAYS: dict[BarSize, int] = {"1 min": 1, "5 mins": 7, "15 mins": 7, "1 hour": 30, "1 day": 365}


@dataclass(frozen=True)
class BarsRequest:
    """One historical-data request that covers ``sessions``.

    ``end`` is tz-aware UTC, ``None`` for now; ``duration`` is TWS's, e.g. "30 D". The answer may reach further
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


def plan_request(
    sessions: Sequence[date], bar_size: BarSize, calendar: TradingCalendar, now: datetime
) -> tuple[datetime | None, str]:
    """End and TWS duration of one request that covers ``sessions``.

    The end is the last session's close, or ``None`` (now) while that is still to come. The duration counts
    calendar days: TWS counts days of trading, so that more is covered than needed, never less.

    Raises:
        ValueError: no session, or more than one request may ask for (see :func:`plan_requests`).
    """
    if not sessions:
        msg = "no sessions to ask for"
        raise ValueError(msg)
    first, last = min(sessions), max(sessions)
    days = (last - first).days + 1
    if days > MAX_REQUEST_DAYS[bar_size]:
        msg = f"{days} days of {bar_size} bars are too much for one request: at most {MAX_REQUEST_DAYS[bar_size]}"
        raise ValueError(msg)
    close = calendar.close_of(last)
    return (close if close <= now else None), f"{days} D"


def plan_requests(
    ranges: Sequence[Sequence[date]], bar_size: BarSize, calendar: TradingCalendar, now: datetime
) -> tuple[BarsRequest, ...]:
    """The requests that cover all ``ranges`` of sessions, oldest first, each within IBKR's limits."""
    requests: list[BarsRequest] = []
    for run in ranges:
        chunk: list[date] = []
        for session in sorted(run):
            if chunk and (session - chunk[0]).days + 1 > MAX_REQUEST_DAYS[bar_size]:
                requests.append(BarsRequest(tuple(chunk), *plan_request(chunk, bar_size, calendar, now)))
                chunk = []
            chunk.append(session)
        if chunk:
            requests.append(BarsRequest(tuple(chunk), *plan_request(chunk, bar_size, calendar, now)))
    return tuple(requests)
