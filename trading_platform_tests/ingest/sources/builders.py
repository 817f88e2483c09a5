"""Bars as a vendor might have them, written by a convention, and the declaration that says which one it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import bar_end, expected_bar_starts
from trading_platform.domain.market_data.sources import SourceDeclaration
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.sources.base import BAR_COLUMNS, BarSource, SourcedBars

LATER = datetime(2030, 1, 1, tzinfo=timezone.utc)
NUMBERS = BAR_COLUMNS[1:]


def vendor_bars(sessions: Sequence[date], bar_size: BarSize, calendar: str = "XNYS", seed: int = 1) -> pd.DataFrame:
    """All bars of the sessions, as ``BarSource`` has them, with the column ``end``: the instant each one ends."""
    market = get_calendar(calendar)
    starts = [start for session in sessions for start in expected_bar_starts(session, bar_size, market)]
    ends = [bar_end(start, bar_size, market) for start in starts]
    rng = np.random.default_rng(seed)
    numbers = {name: rng.uniform(1, 500, len(starts)) for name in NUMBERS}
    stamps = pd.DatetimeIndex(starts, tz="UTC").as_unit("ns")
    return pd.DataFrame({"ts_utc": stamps, **numbers, "end": pd.DatetimeIndex(ends, tz="UTC").as_unit("ns")})


def stamped(bars: pd.DataFrame, stamps: str, calendar: TradingCalendar, bar_size: BarSize) -> pd.Series:
    """What a vendor of this convention stamps the bars with, as instants; dates are midnights in UTC."""
    if stamps == "end":
        return bars["end"].rename("ts")
    if stamps == "start" and bar_size == "1 day":
        opens = [calendar.open_of(day) for day in bars["ts_utc"].dt.date]
        return pd.Series(pd.DatetimeIndex(opens, tz="UTC").as_unit("ns"), name="ts")
    return bars["ts_utc"].rename("ts")


def declared(**keys: Any) -> SourceDeclaration:
    """A declaration; left out: a directory of one CSV file per symbol with start-stamped minutes of New York."""
    place = {"directory": {"location": "nowhere", "files": "{symbol}.csv"}} if "postgres" not in keys else {}
    usual = {"bar_size": "1 min", "stamps": "start", "time_zone": "America/New_York", "prices": "as_traded"}
    return SourceDeclaration.model_validate(usual | place | keys)


def ask(
    source: BarSource,
    sessions: Sequence[date],
    symbol: str = "IBM",
    *,
    bar_size: BarSize = "1 min",
    calendar: str = "XNYS",
    now: datetime = LATER,
) -> SourcedBars:
    """The bars of one symbol."""
    return source.bars(Instrument(symbol, calendar=calendar), bar_size, sessions, since=None, now=now)


def same(sent: SourcedBars, bars: pd.DataFrame) -> None:
    """Exactly these bars, to the last bit."""
    assert list(sent.bars.columns) == BAR_COLUMNS
    pd.testing.assert_frame_equal(sent.bars, bars[BAR_COLUMNS].reset_index(drop=True), check_exact=True)
