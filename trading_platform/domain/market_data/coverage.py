"""What is still to be asked of a source: which symbol's sessions, from which bar on, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.spans import nanoseconds

OVERLAP_BARS = 3
"""Final bars that a tick asks for once more: the newest may still change a little, the oldest must not."""
OVERLAP_SESSIONS = {True: 5, False: 1}
"""Stored sessions that a request for later ones reaches back over, where a rewrite shows; daily bars, shorter ones."""
FIRST_WAIT = timedelta(minutes=10)
LONGEST_WAIT = timedelta(days=1)
MOST_EMPTY_ANSWERS = 6
"""After so many answers without a bar of a session, hours apart in the end, it is believed that there is none."""
_NEVER = np.iinfo(np.int64).max

Unanswered = Literal["unknown", "failed", "no_bars"]
"""``unknown``: the source does not know the instrument. ``failed``: it could not answer, or refused. ``no_bars``: it
answered, and had no bar of that session."""


@dataclass(frozen=True)
class Ask:
    """What to ask of one symbol. ``since``: of the newest session only the bars from this start (tz-aware UTC) on."""

    sessions: tuple[date, ...]
    since: datetime | None = None


def catch_up_from(bars: pd.DataFrame) -> dict[str, datetime]:
    """Where each symbol's bars of the running session are to be asked from: a stored final bar, a few before the end.

    The answer must hold that bar as it is stored. A symbol with fewer final bars is not among them: all of its
    session is to be asked for.

    Args:
        bars: the stored raw bars of the session, columns ``symbol, ts_utc, is_final``.
    """
    is_final = bars["is_final"].to_numpy(dtype=np.bool_)
    unfinished = bars[~is_final].groupby("symbol")["ts_utc"].min()
    finals = bars.loc[is_final, ["symbol", "ts_utc"]].dropna().drop_duplicates()
    ends = {str(symbol): stamp.value for symbol, stamp in unfinished.items()}
    finals = finals[nanoseconds(finals["ts_utc"]) < finals["symbol"].map(ends).fillna(_NEVER).to_numpy()]
    begin = finals.sort_values(["symbol", "ts_utc"]).groupby("symbol", sort=True).nth(-OVERLAP_BARS)
    return {str(symbol): stamp.to_pydatetime() for symbol, stamp in zip(begin["symbol"], begin["ts_utc"], strict=True)}


def retry_at(attempts: int, asked_at: datetime) -> datetime:
    """When to ask again after ``attempts`` in vain, the last of them at ``asked_at``: 10, 20, 40 minutes, … a day."""
    wait: timedelta = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    return asked_at + wait


def missing_by_symbol(
    needed: Sequence[date],
    symbols: Sequence[str],
    complete: Mapping[str, Collection[date]],
    unanswered: pd.DataFrame,
) -> dict[str, list[date]]:
    """Each symbol's sessions of ``needed`` that are not stored for good; symbols that lack none are not among them.

    A session of which the source has said often enough that it has no bar is not missing.

    Args:
        needed: sessions that have opened.
        symbols: the feed's.
        complete: by symbol, from :func:`~trading_platform.domain.market_data.history.complete_sessions`.
        unanswered: columns ``symbol, session, kind, attempts``.
    """
    given_up = (unanswered["kind"] == "no_bars") & (unanswered["attempts"] >= MOST_EMPTY_ANSWERS)
    empty = set(zip(unanswered.loc[given_up, "symbol"], unanswered.loc[given_up, "session"], strict=True))
    lacking = {
        symbol: [
            day
            for day in needed
            if day not in complete.get(symbol, ()) and (not empty or (symbol, day.isoformat()) not in empty)
        ]
        for symbol in symbols
    }
    return {symbol: days for symbol, days in lacking.items() if days}


def due_now(missing: Mapping[str, Sequence[date]], unanswered: pd.DataFrame, now: datetime) -> dict[str, list[date]]:
    """Of what is missing that whose time to be tried (again) has come.

    Args:
        missing: from :func:`missing_by_symbol`.
        unanswered: columns ``symbol, session, attempts, asked_at_utc``.
        now: tz-aware UTC.
    """
    waits = {
        (row["symbol"], row["session"]): retry_at(int(row["attempts"]), row["asked_at_utc"].to_pydatetime())
        for row in unanswered[["symbol", "session", "attempts", "asked_at_utc"]].to_dict("records")
    }
    due = {
        symbol: [day for day in days if waits.get((symbol, day.isoformat()), now) <= now]
        for symbol, days in missing.items()
    }
    return {symbol: days for symbol, days in due.items() if days}


def overlap_sessions(asked: Sequence[date], calendar: TradingCalendar, now: datetime, *, is_daily: bool) -> list[date]:
    """Sessions beside ``asked`` whose stored bars tell whether the source still says the same: some before, one after.

    They are sessions that have closed by ``now`` and are not themselves asked for.
    """
    first, last = min(asked), max(asked)
    found = [_offset(calendar, first, -count) for count in range(OVERLAP_SESSIONS[is_daily], 0, -1)]
    found.append(_offset(calendar, last, 1))
    return sorted({day for day in found if day not in asked and calendar.close_of(day) <= now})


def _offset(calendar: TradingCalendar, session: date, count: int) -> date:
    try:
        return calendar.offset(session, count)
    except ValueError:  # the calendar begins or ends here
        return session
