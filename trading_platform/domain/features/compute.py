"""From validated bars to a frame of features. Pure: the value at a bar depends on bars up to it only.

The bars are put in order once, into contiguous arrays of all symbols; indicators then go over batches of whole
symbols that fit the processor's cache. Nothing is computed symbol by symbol but TA-Lib's recursions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.features.arrays import BarArrays, Floats
from trading_platform.domain.features.registry import Feature, parse

KEYS = ["symbol", "session", "ts_utc"]
VALUES = ["open", "high", "low", "close", "volume"]
PART_ROWS = 16_384
"""So many rows are computed together: enough to hide the cost of the calls, few enough for the processor's cache."""

FLAT_SECTION = 1e-12


@dataclass(frozen=True)
class OrderedBars:
    """Bars by symbol and time. ``values``: one row of float64 each for open, high, low, close and volume.

    ``times`` are comparable whole numbers; ``bounds`` holds where each of ``symbols`` begins, and the length;
    ``since_open`` how many bars of its session stand before each bar, or zeros where nobody asks.
    """

    values: Floats
    times: npt.NDArray[np.int64]
    symbols: tuple[str, ...]
    bounds: tuple[int, ...]
    since_open: npt.NDArray[np.int64]


def warm_up(names: Iterable[str]) -> int:
    """Number of bars per symbol, the current one included, that the values of all the features depend on.

    At least 1. So many bars give the value that the whole history gives. Features of the session (VWAP and the
    like) depend on all of its bars besides. Exponential averages are cut off there: see ``features.arrays``.

    Raises:
        UnknownFeatureError: a name is not in the registry.
    """
    return max((parse(name).warm_up for name in names), default=1)


def reference_symbols(names: Iterable[str]) -> set[str]:
    """The symbols that the features hold others against, which must be among the bars.

    Raises:
        UnknownFeatureError: a name is not in the registry.
    """
    return {feature.reference for feature in map(parse, names) if feature.reference is not None}


def compute_features(bars: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Features of every bar.

    Args:
        bars: validated bars in any order: columns ``symbol, session, ts_utc`` (tz-aware UTC)
            ``, open, high, low, close, volume`` (float64, all finite); others are ignored. Sessions are whole
            from their first bar on.
        names: features in the registry's notation, e.g. ``sma_20``; see ``features.registry``.

    Returns:
        Columns ``symbol, session, ts_utc, close`` and one float64 column per name, sorted by symbol and time.
        A value is NaN until its symbol has enough bars; across symbols it is compared among those that have a value
        at the same time. What is held against a symbol that is not among the bars is NaN.

    Raises:
        UnknownFeatureError: a name is not in the registry.
        ValueError: a symbol has two bars at one time, or a price or volume is not finite.
    """
    features = [parse(name) for name in dict.fromkeys(names)]
    order, ordered = _ordered(bars, has_sessions=any(feature.indicator.is_session_anchored for feature in features))
    columns = np.empty((1 + len(features), len(bars)))
    columns[0] = ordered.values[VALUES.index("close")]
    compute_columns(ordered, features, out=columns[1:])
    for row, feature in enumerate(features, start=1):
        if feature.cross_section:
            columns[row] = _across_symbols(feature, columns[row], ordered.times)
    result = pd.DataFrame(columns.T, columns=["close", *(feature.name for feature in features)], copy=False)
    for place, key in enumerate(KEYS):
        # of an extension array pandas would look at every string once more
        values = bars[key].to_numpy() if bars[key].dtype == object else bars[key].array
        result.insert(place, key, values if order is None else values.take(order))
    return result


def compute_columns(bars: OrderedBars, features: Sequence[Feature], out: Floats | None = None) -> Floats:
    """One row per feature and one column per bar: the indicators, before they are compared across symbols.

    Written into ``out`` if given.
    """
    columns = np.empty((len(features), bars.values.shape[1])) if out is None else out
    references = {
        feature.reference: _closes_of(feature.reference, bars) for feature in features if feature.reference is not None
    }

    def fill(part: _Part) -> None:
        open_, high, low, close, volume = bars.values[:, part.start : part.end]
        since_open = bars.since_open[part.start : part.end]
        own = BarArrays(open_, high, low, close, volume, part.bounds, since_open)
        against = {
            symbol: replace(own, reference=closes[part.start : part.end], made={})
            for symbol, closes in references.items()
        }
        for row, feature in enumerate(features):
            arrays = own if feature.reference is None else against[feature.reference]
            computed = feature.indicator.compute(arrays, *feature.parameters)
            column = columns[row, part.first : part.end]
            column[:] = computed[part.first - part.start :]
            if not part.has_history:
                _blank(column, feature, arrays)

    for part in _parts(bars, features):  # on one core: threads wait for the interpreter more than they gain
        fill(part)
    return columns


@dataclass(frozen=True)
class _Part:
    """Rows ``first`` to ``end`` that are computed together: whole symbols, or a piece of a long one.

    A piece ``has_history``: the rows from ``start`` on, which its first values depend on. ``bounds`` count from there.
    """

    start: int
    first: int
    end: int
    bounds: tuple[int, ...]
    has_history: bool = False


def _parts(bars: OrderedBars, features: Sequence[Feature]) -> Iterator[_Part]:
    """The bars in parts of about :data:`PART_ROWS` rows. Pieces are counted from their symbol's first row.

    So what a row is computed with does not depend on what comes after it, nor on other symbols.
    """
    back = max((feature.warm_up for feature in features), default=1) - 1
    start, bounds = 0, [0]
    for first, end in pairwise(bars.bounds):
        if end - first < 2 * PART_ROWS:
            bounds.append(end - start)
        if bounds[-1] and (end - start >= PART_ROWS or end == bars.bounds[-1]):
            yield _Part(start, start, start + bounds[-1], tuple(bounds))
            start, bounds = start + bounds[-1], [0]
        if end - first >= 2 * PART_ROWS:
            for piece in range(first, end, PART_ROWS):
                reach = 0 if piece == first else min(back + int(bars.since_open[piece]), piece - first)
                last = min(piece + PART_ROWS, end)
                yield _Part(piece - reach, piece, last, (0, last - piece + reach), has_history=piece != first)
            start = end


def _blank(column: Floats, feature: Feature, bars: BarArrays) -> None:
    """Take away what stands before the warm-up: it depends on the symbol before, or on the start of the history."""
    early = feature.warm_up - 1
    if feature.indicator.is_session_anchored:
        if early:
            age = np.arange(len(column)) - np.repeat(bars.bounds[:-1], np.diff(bars.bounds))
            column[age - bars.since_open < early] = np.nan
        return
    for first, end in pairwise(bars.bounds):
        column[first : min(first + early, end)] = np.nan


def _ordered(bars: pd.DataFrame, *, has_sessions: bool) -> tuple[npt.NDArray[np.intp] | None, OrderedBars]:
    """The bars by symbol and time, and the order that made them so; None if they were.

    Raises:
        ValueError: a bar without a symbol, two bars at one time, or a price or volume that is not finite.
    """
    codes, symbols = pd.factorize(bars["symbol"], sort=True)
    times = np.asarray(bars["ts_utc"].astype("int64"), dtype=np.int64)
    order = _order(codes, times)
    if order is not None:
        codes, times = codes[order], times[order]
    values = np.empty((len(VALUES), len(bars)))
    for row, name in enumerate(VALUES):
        column = bars[name].to_numpy(dtype=np.float64)
        values[row] = column if order is None else column[order]
    starts = np.flatnonzero(np.diff(codes)) + 1
    bounds = (0, *starts.tolist(), len(codes)) if len(codes) else (0,)
    _refuse_invalid(bars, order, codes, times, values)
    since_open = np.zeros(len(codes), dtype=np.int64)
    if has_sessions:
        sessions = pd.factorize(bars["session"])[0]
        since_open = _since_open(sessions if order is None else sessions[order], starts)
    return order, OrderedBars(values, times, tuple(symbols), bounds, since_open)


def _order(codes: npt.NDArray[np.intp], times: npt.NDArray[np.int64]) -> npt.NDArray[np.intp] | None:
    """Positions of the rows by symbol and time, or None if they are in this order."""
    later, other = np.diff(times), np.diff(codes)
    if ((other > 0) | ((other == 0) & (later > 0))).all():
        return None
    if (later >= 0).all():
        # as the lake gives them, session by session: a counting sort does
        small = codes.astype(np.int16) if codes.max(initial=0) < np.iinfo(np.int16).max else codes
        return np.argsort(small, kind="stable")
    return np.lexsort((times, codes))


def _refuse_invalid(
    bars: pd.DataFrame,
    order: npt.NDArray[np.intp] | None,
    codes: npt.NDArray[np.intp],
    times: npt.NDArray[np.int64],
    values: Floats,
) -> None:
    def row_at(place: int) -> pd.Series:
        return bars.iloc[place if order is None else order[place]]

    if len(codes) and codes[0] < 0:
        msg = f"a bar at {row_at(0)['ts_utc']} names no symbol: validate the bars first"
        raise ValueError(msg)
    is_double = (np.diff(codes) == 0) & (np.diff(times) == 0)
    if is_double.any():
        row = row_at(int(is_double.argmax()))
        msg = f"{row['symbol']} has two bars at {row['ts_utc']}: features need validated bars"
        raise ValueError(msg)
    # the sum of finite values can overflow, so it only tells whether to look closer
    if not np.isfinite(values.sum()) and not np.isfinite(values).all():
        row = row_at(int((~np.isfinite(values).all(axis=0)).argmax()))
        msg = f"{row['symbol']} has a price or volume that is not finite at {row['ts_utc']}: validate the bars first"
        raise ValueError(msg)


def _since_open(sessions: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """For each row the number of bars of its symbol's session before it."""
    places = np.arange(len(sessions))
    is_first = np.ones(len(sessions), dtype=bool)
    is_first[1:] = np.diff(sessions) != 0
    is_first[starts] = True
    result: npt.NDArray[np.int64] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return result


def _closes_of(symbol: str, bars: OrderedBars) -> Floats:
    """The symbol's close at the time of each bar; NaN where it has none."""
    closes = np.full(len(bars.times), np.nan)
    if symbol in bars.symbols:
        place = bars.symbols.index(symbol)
        first, end = bars.bounds[place], bars.bounds[place + 1]
        own = bars.times[first:end]
        at = np.minimum(np.searchsorted(own, bars.times), len(own) - 1)
        np.copyto(closes, bars.values[VALUES.index("close"), first:end][at], where=own[at] == bars.times)
    return closes


def _across_symbols(feature: Feature, column: Floats, times: npt.NDArray[np.int64]) -> Floats:
    """The column compared among the symbols that have a value at the same time."""
    sections = pd.Series(column).groupby(times, sort=False)
    if feature.cross_section == "rank_":
        return np.asarray(sections.rank(pct=True), dtype=np.float64)
    mean, deviation = sections.transform("mean").to_numpy(), sections.transform("std", ddof=0).to_numpy()
    is_flat = deviation <= FLAT_SECTION * np.abs(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        score: Floats = np.where(is_flat, 0.0 * column, (column - mean) / deviation)
    return score
