"""What the lake holds of validated bars around the sessions that are to be validated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.validation.feed import CONTEXT_SESSIONS
from trading_platform.storage.lake import Lake, TableKey

VALUES = ["symbol", "session", "ts_utc", "open", "high", "low", "close", "volume"]


def believed_bars(
    lake: Lake, table: TableKey, sessions: Sequence[date], calendar: TradingCalendar, *, is_daily: bool
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """The bars of the sessions next to ``sessions``, and what is stored of ``sessions`` themselves; as far as there.

    The bars after lend themselves as neighbours only to sessions that are settled by then: validation sees to that.
    """
    first, last = min(sessions), max(sessions)
    own = {session.isoformat() for session in sessions}
    span = calendar.sessions(_offset(calendar, first, -CONTEXT_SESSIONS[is_daily]), _offset(calendar, last, 1))
    around = [session.isoformat() for session in span if session.isoformat() not in own]
    context, _ = lake.read_available(table, around, columns=VALUES)
    stored, _ = lake.read_available(table, sorted(own), columns=[*VALUES, "is_final"])
    return (context if len(context) else None), (stored if len(stored) else None)


def _offset(calendar: TradingCalendar, session: date, count: int) -> date:
    try:
        return calendar.offset(session, count)
    except ValueError:  # the calendar begins or ends here
        return session
