"""What a row must be to be a bar at all: symbol, stamp, prices, volume. No configuration lets these pass."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.market_data.spans import Bools
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.model import VALUES
from trading_platform.domain.market_data.validation.table import NO_SYMBOL, BarTable, Judge

MAX_PRICE = 1e9
MAX_VOLUME = 1e15


def check_structure(table: BarTable, judge: Judge, found: Findings) -> None:
    """Convict rows that break the contract of validated bars.

    One pass tells who is innocent, since comparisons with NaN are false; only the others are asked what is wrong.
    """
    suspects = np.flatnonzero(~_is_sound(table))
    if not len(suspects):
        return
    rows = table.take(suspects)
    for code, is_broken in _rules(rows).items():
        found.convict(code, suspects[is_broken], lambda row: in_words(table, row))


def in_words(table: BarTable, row: int) -> str:
    """The values of a row."""
    return ", ".join(f"{name} {getattr(table, name)[row]}" for name in VALUES)


def _is_sound(table: BarTable) -> Bools:
    is_sound: Bools = table.low > 0
    is_sound &= table.high < MAX_PRICE
    is_sound &= table.low <= table.open
    is_sound &= table.low <= table.close
    is_sound &= table.high >= table.open
    is_sound &= table.high >= table.close
    is_sound &= table.volume >= 0
    is_sound &= table.volume < MAX_VOLUME
    is_sound &= table.symbols != NO_SYMBOL
    is_sound &= table.has_stamp
    return is_sound


def _rules(rows: BarTable) -> dict[str, Bools]:
    prices = np.stack([rows.open, rows.high, rows.low, rows.close])
    return {
        "missing_symbol": rows.symbols == NO_SYMBOL,
        "missing_timestamp": ~rows.has_stamp,
        "missing_price": np.isnan(prices).any(axis=0),
        "non_finite_price": np.isinf(prices).any(axis=0),
        "non_positive_price": np.less_equal(prices, 0).any(axis=0),
        "price_out_of_range": np.greater_equal(prices, MAX_PRICE).any(axis=0),
        "high_below_low": rows.high < rows.low,
        "high_below_open_or_close": rows.high < np.maximum(rows.open, rows.close),
        "low_above_open_or_close": rows.low > np.minimum(rows.open, rows.close),
        "missing_volume": np.isnan(rows.volume),
        "non_finite_volume": np.isinf(rows.volume),
        "negative_volume": rows.volume < 0,
        "volume_out_of_range": rows.volume >= MAX_VOLUME,
    }
