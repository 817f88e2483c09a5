"""Bars that should be there and are not. A fact of the calendar, not a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import DAILY, bar_ends, bar_length
from trading_platform.domain.market_data.spans import SessionSpans, nanoseconds
from trading_platform.domain.signals.spec import BarSize

COLUMNS = ["symbol", "session", "expected", "present", "missing", "first_missing_utc", "last_missing_utc"]


def join_missing(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What several calls of :func:`missing_bars` found, as one table in the same order."""
    found = [part for part in parts if len(part)]
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(found).sort_values(["session", "symbol"], ignore_index=True)


def of_listed(missing: pd.DataFrame, instruments: Mapping[str, Instrument]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is missing of sessions in which the instrument was listed, and of the others, where nothing is expected.

    Args:
        missing: of :func:`missing_bars`.
        instruments: by symbol; one that is not among them is taken to have been listed always.
    """
    is_listed = np.ones(len(missing), dtype=np.bool_)
    for place, (symbol, session) in enumerate(zip(missing["symbol"], missing["session"], strict=True)):
        instrument = instruments.get(symbol)
        is_listed[place] = instrument is None or instrument.is_listed(date.fromisoformat(session))
    return missing[is_listed], missing[~is_listed]


def look_back_holes(
    bars: pd.DataFrame,
    *,
    symbols: Sequence[str],
    sessions: Sequence[date],
    bar_size: BarSize,
    calendar: TradingCalendar,
    as_of: datetime,
    instruments: Mapping[str, Instrument],
) -> pd.DataFrame:
    """Bars that a look-back lacks and that its features are computed without, as :func:`missing_bars` has them.

    What lies before a symbol's first bar is no hole: it was not listed yet, or the history begins there, and
    indicators are null until they have enough. ``bars`` are those that the features are computed from.
    """
    missing = missing_bars(bars, symbols=symbols, sessions=sessions, bar_size=bar_size, calendar=calendar, as_of=as_of)
    listed, _ = of_listed(missing, instruments)
    first = bars.groupby("symbol", observed=True)["ts_utc"].min()
    begun = listed["symbol"].map(first)
    return listed[begun.notna() & (listed["last_missing_utc"] > begun)].reset_index(drop=True)


def missing_bars(
    bars: pd.DataFrame,
    *,
    symbols: Sequence[str],
    sessions: Sequence[date],
    bar_size: BarSize,
    calendar: TradingCalendar,
    as_of: datetime,
) -> pd.DataFrame:
    """Count the bars that each symbol's sessions lack, half days and summer time taken into account.

    A bar is expected once it has ended by ``as_of``. That one is missing does not mean that it was lost: in a minute
    without a trade most sources send none.

    Args:
        bars: what there is: columns ``symbol, ts_utc`` (tz-aware).
        symbols: those that should have bars.
        sessions: the sessions that should have them, all of the calendar.
        bar_size: size of the bars.
        calendar: the market's calendar.
        as_of: tz-aware.

    Returns:
        One row per symbol and session that lacks bars, sorted by session and symbol: ``symbol, session, expected,
        present, missing, first_missing_utc, last_missing_utc``.
    """
    spans = SessionSpans.of(calendar, sorted(set(sessions)))
    length = None if bar_size == DAILY else int(bar_length(bar_size).total_seconds()) * 1_000_000_000
    starts, position = spans.expected_starts(length)
    ended = bar_ends(starts, bar_size, spans) <= pd.Timestamp(as_of).as_unit("ns").value
    starts, position = starts[ended], position[ended]
    if not len(starts) or not symbols:
        return pd.DataFrame(columns=COLUMNS)
    names = np.array(sorted(set(symbols)), dtype=object)
    codes = pd.Index(names).get_indexer(pd.Index(bars["symbol"].to_numpy(dtype=object)))
    stamps = nanoseconds(bars["ts_utc"])
    nth = np.minimum(np.searchsorted(starts, stamps), len(starts) - 1)
    counts = (codes >= 0) & (starts[nth] == stamps)
    is_there = np.zeros(len(names) * len(starts), dtype=np.bool_)
    is_there[codes[counts] * len(starts) + nth[counts]] = True
    symbol_of, start_of = np.divmod(np.flatnonzero(~is_there), len(starts))
    if not len(symbol_of):
        return pd.DataFrame(columns=COLUMNS)
    lacking = pd.DataFrame({"symbol": symbol_of, "position": position[start_of], "stamp": starts[start_of]})
    grouped = lacking.groupby(["position", "symbol"], sort=True)["stamp"].agg(["size", "min", "max"]).reset_index()
    expected = np.bincount(position, minlength=len(spans.days))[grouped["position"]]
    return pd.DataFrame(
        {
            "symbol": names[grouped["symbol"]],
            "session": spans.days.to_numpy()[grouped["position"]],
            "expected": expected,
            "present": expected - grouped["size"].to_numpy(),
            "missing": grouped["size"].to_numpy(),
            "first_missing_utc": pd.to_datetime(grouped["min"], utc=True),
            "last_missing_utc": pd.to_datetime(grouped["max"], utc=True),
        }
    )
