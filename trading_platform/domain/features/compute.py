"""From validated bars to a frame of features. Pure: the value at a bar depends on bars up to it only."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.features.registry import Feature, SymbolBars, parse

KEYS = ["symbol", "session", "ts_utc", "close"]
VALUES = ["open", "high", "low", "close", "volume"]


def warm_up(names: Iterable[str]) -> int:
    """Number of bars per symbol, the current one included, after which all the features have values.

    At least 1. For recursive features (EMA, RSI, ATR, MACD) it reaches back to where older bars weigh less
    than a thousandth, so that a longer history changes the value no more than that.

    Raises:
        UnknownFeatureError: a name is not in the registry.
    """
    return max((parse(name).warm_up for name in names), default=1)


def compute_features(bars: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Features of every bar.

    Args:
        bars: validated bars in any order: columns ``symbol, session, ts_utc`` (tz-aware UTC)
            ``, open, high, low, close, volume`` (float64, all finite); others are ignored.
        names: features in the registry's notation, e.g. ``sma_20``; see ``features.registry``.

    Returns:
        Columns ``symbol, session, ts_utc, close`` and one float64 column per name, sorted by symbol and time.
        A value is NaN until its symbol has enough bars; a rank is taken among the symbols that have a value
        at the same time.

    Raises:
        UnknownFeatureError: a name is not in the registry.
        ValueError: a symbol has two bars at one time, or a price or volume is not finite.
    """
    features = [parse(name) for name in dict.fromkeys(names)]
    frame = bars[["symbol", "session", "ts_utc", *VALUES]].sort_values(
        ["symbol", "ts_utc"], kind="stable", ignore_index=True
    )
    _refuse_invalid(frame)
    values = np.ascontiguousarray(frame[VALUES].to_numpy(dtype=np.float64).T)
    bounds = _bounds(frame["symbol"])
    starts = _session_starts(frame, bounds)
    columns = np.full((len(features), len(frame)), np.nan)
    for first, end in pairwise(bounds):
        open_, high, low, close, volume = values[:, first:end]
        part = SymbolBars(open_, high, low, close, volume, starts[first:end] - first)
        for row, feature in enumerate(features):
            _fill(columns[row, first:end], feature, part)
    result = frame[KEYS].copy()
    for row, feature in enumerate(features):
        result[feature.name] = columns[row]
        if feature.is_ranked:
            result[feature.name] = result.groupby("ts_utc", sort=False)[feature.name].rank(pct=True)
    return result


def _fill(column: npt.NDArray[np.float64], feature: Feature, bars: SymbolBars) -> None:
    warm = feature.warm_up
    if len(column) >= warm:
        column[:] = feature.indicator.compute(bars, *feature.parameters)
        column[: warm - 1] = np.nan


def _refuse_invalid(frame: pd.DataFrame) -> None:
    is_double = frame.duplicated(["symbol", "ts_utc"])
    if is_double.any():
        row = frame[is_double].iloc[0]
        msg = f"{row['symbol']} has two bars at {row['ts_utc']}: features need validated bars"
        raise ValueError(msg)
    is_bad = ~np.isfinite(frame[VALUES].to_numpy(dtype=np.float64)).all(axis=1)
    if is_bad.any():
        row = frame[is_bad].iloc[0]
        msg = f"{row['symbol']} has a price or volume that is not finite at {row['ts_utc']}: validate the bars first"
        raise ValueError(msg)


def _bounds(symbols: pd.Series[str]) -> list[int]:
    """Where each symbol's rows begin, and the length of the frame."""
    codes = pd.factorize(symbols)[0]
    return [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)] if len(codes) else [0]


def _session_starts(frame: pd.DataFrame, bounds: list[int]) -> npt.NDArray[np.int64]:
    """For each row the position of the first row of its symbol's session."""
    sessions = pd.factorize(frame["session"])[0]
    is_first = np.ones(len(frame), dtype=bool)
    is_first[1:] = np.diff(sessions) != 0
    is_first[bounds[:-1]] = True
    starts: npt.NDArray[np.int64] = np.maximum.accumulate(np.where(is_first, np.arange(len(frame)), 0))
    return starts
