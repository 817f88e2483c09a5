"""Oscillators and trend strength: RSI, stochastic, Williams %R, CCI, MFI, ADX, Aroon."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import (
    FLAT,
    BarArrays,
    Floats,
    change,
    distances,
    forgotten_after,
    ratio,
    window_mean,
    window_sum,
)
from trading_platform.domain.features.indicators.shared import (
    PERIOD,
    average_true_range,
    close_change,
    period_bars,
    period_changes,
    range_high,
    range_low,
    typical_price,
    wilder,
    wilder_bars,
)
from trading_platform.domain.features.registry import indicator

NO_MOVE = 1e-15
"""An average move below this fraction of the close is what rounding leaves of moves that are forgotten."""


def stochastic_d_bars(period: int, smoothing: int) -> int:
    """Warm-up of %D."""
    return period + smoothing - 1


def adx_bars(period: int) -> int:
    """Warm-up of the ADX: that of the directional indicators, and of their difference's average."""
    return wilder_bars(period) + forgotten_after(1 / period) - 1


@indicator("rsi", (14,), parameters=PERIOD, units="0 to 100", warm_up=wilder_bars, minimum=2)
def rsi(bars: BarArrays, period: int) -> Floats:
    """Relative strength index with Wilder's smoothing; 50 where no price moved. Wilder 1978, TA-Lib RSI, cut off."""
    moves = close_change(bars)
    gain = wilder(bars, np.maximum(moves, 0.0), period)
    return _share(gain, wilder(bars, np.abs(moves), period), bars.close, when_flat=50.0)


@indicator("stochastic_k", (14,), parameters=PERIOD, units="0 to 100", warm_up=period_bars, minimum=2)
def stochastic_k(bars: BarArrays, period: int) -> Floats:
    """Fast %K: the close in the range of the last `period` bars; 50 where no price moved. Lane, TA-Lib STOCHF."""
    low = range_low(bars, period)
    return bars.once(
        ("stochastic_k", period),
        lambda: 100 * ratio(bars.close - low, range_high(bars, period) - low, when_flat=0.5),
    )


@indicator(
    "stochastic_d",
    (14, 3),
    parameters=("period", "smoothing"),
    units="0 to 100",
    warm_up=stochastic_d_bars,
    minimum=2,
)
def stochastic_d(bars: BarArrays, period: int, smoothing: int) -> Floats:
    """Fast %D, which is slow %K: simple average of %K over `smoothing` bars. Lane, TA-Lib STOCHF."""
    return window_mean(stochastic_k(bars, period), smoothing)


@indicator("williams_r", (14,), parameters=PERIOD, units="−100 to 0", warm_up=period_bars, minimum=2)
def williams_r(bars: BarArrays, period: int) -> Floats:
    """Williams %R: %K − 100; −50 where no price moved. Williams 1973, TA-Lib WILLR."""
    return stochastic_k(bars, period) - 100


@indicator("cci", (20,), parameters=PERIOD, units="1", warm_up=period_bars, minimum=2)
def cci(bars: BarArrays, period: int) -> Floats:
    """Commodity channel index of typical prices: distance from their mean over 0.015 mean absolute distances.

    0 where no price moved. Lambert 1980, TA-Lib CCI.
    """
    typical = typical_price(bars)
    mean = window_mean(typical, period)
    total = np.zeros_like(mean)
    for place, distance in distances(typical, mean, period):
        total[place] += np.abs(distance, out=distance)
    total[total <= FLAT * period * mean] = 0.0
    return ratio(typical - mean, (0.015 / period) * total, when_flat=0.0)


@indicator("mfi", (14,), parameters=PERIOD, units="0 to 100", warm_up=period_changes)
def mfi(bars: BarArrays, period: int) -> Floats:
    """Money flow index: the RSI's idea on typical price × volume; 50 where nothing flowed. TA-Lib MFI."""
    typical = typical_price(bars)
    direction, flow = change(typical), typical * bars.volume
    rising, falling = window_sum(flow * (direction > 0), period), window_sum(flow * (direction < 0), period)
    return 100 * ratio(rising, rising + falling, when_flat=0.5)


@indicator("plus_di", (14,), parameters=PERIOD, units="0 to 100", warm_up=wilder_bars, minimum=2)
def plus_di(bars: BarArrays, period: int) -> Floats:
    """Positive directional indicator (+DI); 0 where no price moved. Wilder 1978, TA-Lib PLUS_DI, cut off."""
    return _directional(bars, period)[0]


@indicator("minus_di", (14,), parameters=PERIOD, units="0 to 100", warm_up=wilder_bars, minimum=2)
def minus_di(bars: BarArrays, period: int) -> Floats:
    """Negative directional indicator (−DI); 0 where no price moved. Wilder 1978, TA-Lib MINUS_DI, cut off."""
    return _directional(bars, period)[1]


@indicator("adx", (14,), parameters=PERIOD, units="0 to 100", warm_up=adx_bars, minimum=2)
def adx(bars: BarArrays, period: int) -> Floats:
    """Average directional index: Wilder's average of 100 × abs(+DI − −DI) / (+DI + −DI). TA-Lib ADX, cut off."""
    plus, minus = _directional(bars, period)
    strength = 100 * ratio(np.abs(plus - minus), plus + minus, when_flat=0.0)
    return wilder(bars, strength, period, skip=wilder_bars(period) - 1)


@indicator("aroon_oscillator", (25,), parameters=PERIOD, units="−100 to 100", warm_up=period_changes, minimum=2)
def aroon_oscillator(bars: BarArrays, period: int) -> Floats:
    """Whether the highest high or the lowest low of `period` changes is the younger. Chande 1995, TA-Lib AROONOSC."""
    import talib

    return np.asarray(talib.AROONOSC(bars.high, bars.low, timeperiod=period))


def _directional(bars: BarArrays, period: int) -> tuple[Floats, Floats]:
    def make() -> tuple[Floats, Floats]:
        up, down = change(bars.high), -change(bars.low)
        true_range = average_true_range(bars, period)
        plus = wilder(bars, np.maximum(up, 0.0) * (up > down), period)
        minus = wilder(bars, np.maximum(down, 0.0) * (down > up), period)
        return _share(plus, true_range, bars.close, when_flat=0.0), _share(minus, true_range, bars.close, when_flat=0.0)

    return bars.once(("directional", period), make)


def _share(part: Floats, whole: Floats, close: Floats, *, when_flat: float) -> Floats:
    """``part`` in percent of ``whole``, which is an average move."""
    is_flat = whole <= NO_MOVE * close
    share = 100 * ratio(part, np.where(is_flat, 0.0, whole) if is_flat.any() else whole, when_flat=when_flat / 100)
    np.maximum(share, 0.0, out=share)
    return np.minimum(share, 100.0, out=share)
