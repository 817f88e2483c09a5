"""Bars as contiguous arrays, many symbols one after another, and the moving windows over them.

Why windows and not running totals: a running total keeps the rounding of everything that it ever held, so its
last digits depend on where the history begins. A window here is put together from halves (of 1, 2, 4 … bars), so
its value depends on the bars in it only, to the last bit, whichever bars are before them. That also lets one call
go over many symbols at once: what the first bars of a symbol take from the symbol before is blanked afterwards.

Exponential averages are cut off where a bar weighs less than :data:`FORGOTTEN`: what is older is taken out again,
and the weights are scaled up to one. So they too depend on a known number of bars. TA-Lib runs the recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, log
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Made = TypeVar("Made")

FORGOTTEN = 1e-5
"""Weight, relative to one, of all the bars that an exponential average leaves out."""

FLAT = 1e-12
"""A deviation below this fraction of the price is rounding: the price did not move."""


@dataclass(frozen=True)
class BarArrays:
    """Bars of whole symbols, each oldest first, one symbol after another: float64 arrays of equal length.

    Prices in the instrument's currency, volume in shares or coins. ``bounds`` holds where each symbol begins, and
    the length. ``since_open`` holds for each bar how many bars its session had before it. ``reference`` holds the
    reference symbol's close at the time of each bar, NaN where it has none.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    bounds: tuple[int, ...]
    since_open: npt.NDArray[np.int64]
    reference: Floats | None = None
    made: dict[object, object] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """What ``make`` returns, computed once per ``key`` for all the indicators that share it."""
        if key not in self.made:
            self.made[key] = make()
        found: Made = self.made[key]  # type: ignore[assignment]  # a key always stands for the same type
        return found


def forgotten_after(alpha: float) -> int:
    """Number of bars after which those before weigh less than :data:`FORGOTTEN` in x ← x + alpha (new − x)."""
    return ceil(log(FORGOTTEN) / log(1 - alpha))


def shifted(values: Floats, bars: int) -> Floats:
    """The value of ``bars`` bars ago; NaN before."""
    result = np.empty_like(values)
    result[:bars] = np.nan
    result[bars:] = values[:-bars] if bars else values
    return result


def change(values: Floats) -> Floats:
    """Value less the value of the bar before."""
    result = np.empty_like(values)
    result[:1] = np.nan
    np.subtract(values[1:], values[:-1], out=result[1:])
    return result


def window_sum(values: Floats, period: int) -> Floats:
    """Sum of the last ``period`` values; NaN before, and where one of them is NaN."""
    total: Floats | None = None
    counted, span, half = 0, 1, values
    while True:
        if period & span:
            total = half if total is None else _joined(total, half, counted)
            counted += span
        if counted == period:
            return total if total is not values and total is not None else values.copy()
        half = _joined(half, half, span)
        span *= 2


def window_mean(values: Floats, period: int) -> Floats:
    """Mean of the last ``period`` values."""
    total = window_sum(values, period)
    total *= 1 / period
    return total


def window_moments(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Mean, and sum of squared distances from it, of the last ``period`` values.

    Two windows are joined as by Chan, Golub and LeVeque 1983: no difference of large squares, no lost digits. A
    sum of squares that is rounding alone is 0.
    """
    moments: tuple[Floats, Floats] | None = None
    counted, span = 0, 1
    half = (values, np.zeros(0))
    while True:
        if period & span:
            moments = half if moments is None else _joined_moments(moments, counted, half, span)
            counted += span
        if counted == period:
            break
        half = _joined_moments(half, span, half, span)
        span *= 2
    assert moments is not None
    mean = moments[0] * (1 / period)
    squares = moments[1] if period > 1 else np.zeros_like(values)
    is_rounding = squares <= (FLAT * FLAT * period) * (mean * mean)
    return mean, np.where(is_rounding, 0.0, squares) if is_rounding.any() else squares


def weighted_mean(values: Floats, period: int) -> Floats:
    """Linearly weighted mean of the last ``period`` values: the newest weighs ``period``, the oldest 1."""
    result = np.zeros_like(values)
    for age in range(min(period, len(values))):
        result[age:] += (period - age) * values[: len(values) - age]
    result *= 2 / (period * (period + 1))
    result[: period - 1] = np.nan
    return result


def highest(values: Floats, period: int) -> Floats:
    """Highest of the last ``period`` values. TA-Lib MAX."""
    import talib

    return np.asarray(talib.MAX(values, timeperiod=period)) if period > 1 else values.copy()


def lowest(values: Floats, period: int) -> Floats:
    """Lowest of the last ``period`` values. TA-Lib MIN."""
    import talib

    return np.asarray(talib.MIN(values, timeperiod=period)) if period > 1 else values.copy()


def smoothed(bars: BarArrays, values: Floats, period: int, *, skip: int) -> Floats:
    """Exponential average of ``values`` with α = 2 / (period + 1): TA-Lib's EMA, cut off.

    Weights are α (1 − α)^age over the last ``forgotten_after(α)`` values, divided by their sum. There is no average
    before a symbol has so many; its first ``skip`` bars hold no value of their own.

    Wilder's average of ``n`` bars, α = 1 / n, is the one with ``period`` = 2n − 1.
    """
    import talib

    alpha = 2 / (period + 1)
    reach = forgotten_after(alpha)
    weight = (1 - alpha) ** reach
    result = np.full(len(values), np.nan)
    # a seed of zeros adds nothing, and TA-Lib needs one
    seeded = np.zeros(period + max((end - first for first, end in pairwise(bars.bounds)), default=0))
    for first, end in pairwise(bars.bounds):
        begin = first + skip
        if end - begin >= reach:
            part = seeded[: period + end - begin]
            np.multiply(values[begin:end], 1 / (1 - weight), out=part[period:])
            endless = talib.EMA(part, timeperiod=period)
            cut = result[begin + reach - 1 : end]
            np.multiply(endless[period - 1 : -reach], -weight, out=cut)
            cut += endless[period - 1 + reach :]
    return result


def window_variance(values: Floats, period: int) -> Floats:
    """Sample variance of the last ``period`` values, which lie around zero, as returns do."""
    total = window_sum(values, period)
    squares = window_sum(values * values, period)
    total *= total
    total *= 1 / period
    squares -= total
    squares *= 1 / (period - 1)
    return np.maximum(squares, 0.0, out=squares)


def distances(values: Floats, center: Floats, period: int) -> Iterator[tuple[slice, Floats]]:
    """For each of the last ``period`` values its distance from ``center``, and the rows that it belongs to.

    The distances are overwritten by the next ones.
    """
    room = np.empty_like(values)
    for age in range(min(period, len(values))):
        place = slice(age, None)
        yield place, np.subtract(values[: len(values) - age], center[place], out=room[place])


def ratio(above: Floats, below: Floats, *, when_flat: float | Floats) -> Floats:
    """``above / below``, or ``when_flat`` where ``below`` is zero. NaN stays NaN."""
    is_flat = below == 0
    if not is_flat.any():
        return above / below
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(is_flat & ~np.isnan(above), when_flat, above / below)
    return result


def so_far_in_session(values: Floats, since_open: npt.NDArray[np.int64], how: np.ufunc) -> Floats:
    """``how`` (``np.add``, ``np.maximum`` …) over the values of the session up to each bar."""
    result = values.copy()
    if since_open.any():
        starts = np.flatnonzero(since_open == 0).tolist()
        for first, end in pairwise([*starts, len(values)]):
            how.accumulate(values[first:end], out=result[first:end])
    return result


def at_session_open(values: Floats, since_open: npt.NDArray[np.int64], *, before: int = 0) -> Floats:
    """The value at the session's first bar, or ``before`` bars earlier."""
    at = np.arange(len(values)) - since_open - before
    result: Floats = values[np.maximum(at, 0)]
    return result


def _joined(newer: Floats, older: Floats, count: int) -> Floats:
    """Sum of a window of ``count`` values and of another that ends where the first begins."""
    result = np.empty_like(newer)
    result[:count] = np.nan
    np.add(newer[count:], older[:-count], out=result[count:])
    return result


def _joined_moments(
    newer: tuple[Floats, Floats], count: int, older: tuple[Floats, Floats], older_count: int
) -> tuple[Floats, Floats]:
    """Sums and sums of squared distances of two windows together. Those of one value are zero, and left out."""
    total, squares = newer[0], newer[1]
    older_total, older_squares = older[0][:-count], older[1][:-count]
    if count == older_count:
        apart = total[count:] - older_total
        weight = 1 / (2 * count)
    else:
        apart = total[count:] * (1 / count)
        apart -= older_total * (1 / older_count)
        weight = count * older_count / (count + older_count)
    joined = np.empty_like(total)
    joined[:count] = np.nan
    inner = np.multiply(apart, apart, out=joined[count:])
    inner *= weight
    if count > 1:
        inner += squares[count:]
    if older_count > 1:
        inner += older_squares
    return _joined(total, older[0], count), joined
