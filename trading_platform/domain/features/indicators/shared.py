"""What several families of indicators share: parts of formulas, computed once per set of bars, and warm-ups."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import (
    BarArrays,
    Floats,
    change,
    forgotten_after,
    highest,
    lowest,
    smoothed,
    window_mean,
    window_moments,
)

PERIOD = ("period",)


def period_bars(period: int) -> int:
    """Warm-up of what looks at ``period`` bars."""
    return period


def period_changes(period: int) -> int:
    """Warm-up of what looks at ``period`` changes from bar to bar."""
    return period + 1


def ema_bars(period: int) -> int:
    """Warm-up of an exponential average of the close with α = 2 / (period + 1)."""
    return forgotten_after(2 / (period + 1))


def wilder_bars(period: int) -> int:
    """Warm-up of Wilder's average, α = 1 / period, of changes from bar to bar."""
    return forgotten_after(1 / period) + 1


def wilder(bars: BarArrays, values: Floats, period: int, *, skip: int = 1) -> Floats:
    """Wilder's average: exponential with α = 1 / period."""
    return smoothed(bars, values, 2 * period - 1, skip=skip)


def close_ema(bars: BarArrays, period: int) -> Floats:
    """Exponential average of the close."""
    return bars.once(("ema", period), lambda: smoothed(bars, bars.close, period, skip=0))


def close_mean(bars: BarArrays, period: int) -> Floats:
    """Simple average of the close."""
    return bars.once(("mean", period), lambda: window_mean(bars.close, period))


def close_moments(bars: BarArrays, period: int) -> tuple[Floats, Floats]:
    """Mean of the close, and its sum of squared distances from it."""
    return bars.once(("moments", period), lambda: window_moments(bars.close, period))


def close_change(bars: BarArrays) -> Floats:
    """Close less the close before."""
    return bars.once("change", lambda: change(bars.close))


def log_change(bars: BarArrays) -> Floats:
    """Logarithmic return from the bar before."""
    return bars.once("log_change", lambda: change(np.log(bars.close)))


def typical_price(bars: BarArrays) -> Floats:
    """(high + low + close) / 3."""
    return bars.once("typical", lambda: (bars.high + bars.low + bars.close) / 3)


def range_high(bars: BarArrays, period: int) -> Floats:
    """Highest high of ``period`` bars."""
    return bars.once(("high", period), lambda: highest(bars.high, period))


def range_low(bars: BarArrays, period: int) -> Floats:
    """Lowest low of ``period`` bars."""
    return bars.once(("low", period), lambda: lowest(bars.low, period))


def average_true_range(bars: BarArrays, period: int) -> Floats:
    """Wilder's average of the true range."""
    return bars.once(("atr", period), lambda: wilder(bars, true_range(bars), period))


def true_range(bars: BarArrays) -> Floats:
    """Range of the bar, the close before included. Wilder 1978, TA-Lib TRANGE."""

    def make() -> Floats:
        result = np.empty_like(bars.close)
        result[:1] = np.nan
        top = np.maximum(bars.high[1:], bars.close[:-1])
        np.subtract(top, np.minimum(bars.low[1:], bars.close[:-1]), out=result[1:])
        return result

    return bars.once("true_range", make)
