"""What a source had no bars for: how often it was asked in vain, and when it is worth asking again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime

import pandas as pd

from trading_platform.domain.market_data.coverage import Ask, Unanswered, retry_at
from trading_platform.domain.market_data.rewrites import SessionOf
from trading_platform.ingest.bars import FetchedBars
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import UnansweredBars


def resting(known: pd.DataFrame, symbols: Collection[str], now: datetime) -> dict[str, str]:
    """Of ``symbols`` those that the source did not know lately, with when they will be tried again.

    ``known``: rows of :class:`UnansweredBars` of the running session; ``now``: tz-aware UTC.
    """
    found = {}
    for row in known[(known["kind"] == "unknown") & known["symbol"].isin(list(symbols))].to_dict("records"):
        again = retry_at(int(row["attempts"]), row["asked_at_utc"].to_pydatetime())
        if now < again:
            found[str(row["symbol"])] = f"{row['reason']} (asked {row['attempts']} times, again {again:%H:%M} UTC)"
    return found


def after_asking(
    known: pd.DataFrame,
    asks: Mapping[str, Ask],
    fetched: FetchedBars,
    has_bars: Collection[SessionOf],
    *,
    reasons: Mapping[str, str],
    is_running: Callable[[date], bool],
    now: datetime,
) -> pd.DataFrame:
    """What is known when ``asks`` have been asked: rows of :class:`UnansweredBars` in place of ``known``.

    Of a session that is running only who is not known at all: other bars may still come. ``has_bars``: pairs of symbol
    and session of which there are bars now. ``reasons``: by symbol, why an answer that came could not be used.
    """
    before = {(row["symbol"], row["session"]): row for row in known.to_dict("records")}
    stamp = pd.Timestamp(now).as_unit("ns")

    def attempts(key: SessionOf) -> tuple[int, pd.Timestamp]:
        """How often it was asked for in vain, and when last. Asked sooner than it had to be does not count."""
        if key not in before:
            return 1, stamp
        count, asked_at = int(before[key]["attempts"]), before[key]["asked_at_utc"]
        return (count, asked_at) if now < retry_at(count, asked_at.to_pydatetime()) else (count + 1, stamp)

    rows = []
    asked: set[SessionOf] = set()
    for symbol, ask in asks.items():
        kind = _kind(symbol, fetched, len(asks))
        reason = fetched.failures.get(symbol, reasons.get(symbol)) or "the answer has no bar of this session"
        for day in ask.sessions:
            key = (symbol, day.isoformat())
            asked.add(key)
            if key not in has_bars and (kind == "unknown" or not is_running(day)):
                rows.append([*key, kind, reason, *attempts(key)])
    fresh = pd.DataFrame(rows, columns=list(empty(UnansweredBars).columns)) if rows else empty(UnansweredBars)
    rest = known[[pair not in asked for pair in zip(known["symbol"], known["session"], strict=True)]]
    frames = [frame for frame in (rest, fresh) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else fresh


def _kind(symbol: str, fetched: FetchedBars, asked: int) -> Unanswered:
    """Without data all at once it is the source that fails, not what it is asked for."""
    if symbol in fetched.unknown:
        return "unknown"
    is_outage = asked > 1 and len(fetched.without_data) == asked
    is_failed = symbol in fetched.failures and (is_outage or symbol not in fetched.without_data)
    return "failed" if is_failed else "no_bars"
