"""Quiet bars that no rule finds fault with, to put one fault into."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.quality import QualityRules
from trading_platform.domain.market_data.validation import Validation, validate_bars
from trading_platform.domain.signals.spec import BarSize
from trading_platform_tests.domain.bars import bar_times

XNYS = get_calendar("XNYS")
LATER = datetime(2020, 1, 2, tzinfo=timezone.utc)


def quiet_bars(
    count: int = 60, bar_size: BarSize = "1 day", symbol: str = "AAPL", level: float = 100.0, calendar: str = "XNYS"
) -> pd.DataFrame:
    """``count`` bars from 2012-06-04 on that move by less than a percent; no two are alike."""
    times, sessions = bar_times(count, bar_size, calendar)
    wave = level * (1 + 0.005 * np.sin(np.arange(count)))
    return pd.DataFrame(
        {
            "symbol": symbol,
            "session": sessions,
            "ts_utc": times,
            "open": wave,
            "high": wave * 1.004,
            "low": wave * 0.996,
            "close": wave * 1.001,
            "volume": 1000.0 + np.arange(count),
        }
    )


def changed(bars: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    """The bars with other values in one row."""
    bars = bars.copy()
    for name, value in values.items():
        bars.loc[row, name] = value
    return bars


def scaled(bars: pd.DataFrame, rows: slice | int, factor: float) -> pd.DataFrame:
    """The bars with the prices of some rows multiplied."""
    bars = bars.copy()
    where = bars.index[rows] if isinstance(rows, slice) else [rows]
    bars.loc[where, ["open", "high", "low", "close"]] *= factor
    return bars


def outcome(
    bars: pd.DataFrame, bar_size: BarSize = "1 day", *, as_of: datetime = LATER, calendar: str = "XNYS", **options: Any
) -> Validation:
    """Validate on XNYS, long after."""
    return validate_bars(bars, bar_size=bar_size, calendar=get_calendar(calendar), as_of=as_of, **options)


def findings(result: Validation) -> list[tuple[str, str, str]]:
    """Action, reason and session of everything that was found."""
    return list(result.log[["action", "reason", "session"]].itertuples(index=False, name=None))


def rules(**changes: Any) -> QualityRules:
    """The rules of daily bars with some changes."""
    return QualityRules().with_changes(QualityRules(**changes))
