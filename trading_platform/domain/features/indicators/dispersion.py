"""How far prices spread: true range, volatility, Bollinger bands, z-score, skewness, kurtosis."""

from __future__ import annotations

from math import log

import numpy as np

from trading_platform.domain.features.arrays import BarArrays, Floats, distances, ratio, window_mean, window_variance
from trading_platform.domain.features.indicators.shared import (
    PERIOD,
    average_true_range,
    close_moments,
    log_change,
    period_bars,
    period_changes,
    wilder_bars,
)
from trading_platform.domain.features.registry import indicator

BANDS = ("period", "deviations")
ROUNDING = 1e-14
"""A deviation of log returns below this is what two prices' last digits leave."""


def band_bars(period: int, deviations: int) -> int:
    """Warm-up of the Bollinger bands."""
    return period


@indicator("atr", (14,), parameters=PERIOD, units="price", warm_up=wilder_bars, minimum=2)
def atr(bars: BarArrays, period: int) -> Floats:
    """Average true range with Wilder's smoothing. Wilder 1978, TA-Lib ATR, cut off."""
    return average_true_range(bars, period)


@indicator("natr", (14,), parameters=PERIOD, units="percent", warm_up=wilder_bars, minimum=2)
def natr(bars: BarArrays, period: int) -> Floats:
    """Average true range as a percentage of the close. TA-Lib NATR, cut off."""
    return 100 * average_true_range(bars, period) / bars.close


@indicator("volatility", (20,), parameters=PERIOD, units="fraction per bar", warm_up=period_changes, minimum=2)
def volatility(bars: BarArrays, period: int) -> Floats:
    """Realized volatility: sample standard deviation of the last `period` one-bar log returns, not annualised."""
    return np.sqrt(window_variance(log_change(bars), period))


@indicator("parkinson_volatility", (20,), parameters=PERIOD, units="fraction per bar", warm_up=period_bars)
def parkinson_volatility(bars: BarArrays, period: int) -> Floats:
    """Volatility from the bars' ranges: √(mean of ln(high / low)² / (4 ln 2)). Parkinson 1980."""
    return np.sqrt(window_mean(_squared_log(bars.high, bars.low), period) / (4 * log(2)))


@indicator("garman_klass_volatility", (20,), parameters=PERIOD, units="fraction per bar", warm_up=period_bars)
def garman_klass_volatility(bars: BarArrays, period: int) -> Floats:
    """Volatility: √(mean of ½ ln(high / low)² − (2 ln 2 − 1) ln(close / open)²). Garman and Klass 1980."""
    variance = 0.5 * _squared_log(bars.high, bars.low) - (2 * log(2) - 1) * _squared_log(bars.close, bars.open)
    return np.sqrt(window_mean(variance, period))


@indicator("zscore", (20,), parameters=PERIOD, units="standard deviations", warm_up=period_bars, minimum=2)
def zscore(bars: BarArrays, period: int) -> Floats:
    """Close less its mean over `period` bars, in sample standard deviations; 0 where no price moved."""
    mean, squares = close_moments(bars, period)
    return ratio(bars.close - mean, np.sqrt(squares * (1 / (period - 1))), when_flat=0.0)


@indicator("bollinger_upper", (20, 2), parameters=BANDS, units="price", warm_up=band_bars, minimum=2)
def bollinger_upper(bars: BarArrays, period: int, deviations: int) -> Floats:
    """Upper Bollinger band: SMA plus `deviations` population standard deviations. Bollinger 1983, TA-Lib BBANDS."""
    return close_moments(bars, period)[0] + _half_band(bars, period, deviations)


@indicator("bollinger_lower", (20, 2), parameters=BANDS, units="price", warm_up=band_bars, minimum=2)
def bollinger_lower(bars: BarArrays, period: int, deviations: int) -> Floats:
    """Lower Bollinger band: SMA less `deviations` population standard deviations. Bollinger 1983, TA-Lib BBANDS."""
    return close_moments(bars, period)[0] - _half_band(bars, period, deviations)


@indicator(
    "bollinger_position",
    (20, 2),
    parameters=BANDS,
    units="0 at the lower band, 1 at the upper",
    warm_up=band_bars,
    minimum=2,
)
def bollinger_position(bars: BarArrays, period: int, deviations: int) -> Floats:
    """Where the close is between the Bollinger bands (%b); 0.5 where no price moved. Bollinger 1983."""
    mean = close_moments(bars, period)[0]
    return 0.5 + ratio(bars.close - mean, 2 * _half_band(bars, period, deviations), when_flat=0.0)


@indicator("bollinger_width", (20, 2), parameters=BANDS, units="fraction", warm_up=band_bars, minimum=2)
def bollinger_width(bars: BarArrays, period: int, deviations: int) -> Floats:
    """Distance of the Bollinger bands from each other as a fraction of the SMA. Bollinger 1983."""
    return 2 * _half_band(bars, period, deviations) / close_moments(bars, period)[0]


@indicator("skewness", (20,), parameters=PERIOD, units="1", warm_up=period_changes, minimum=3)
def skewness(bars: BarArrays, period: int) -> Floats:
    """Skewness of the last `period` one-bar log returns, the population's: m₃ / m₂^1.5; 0 where no price moved."""
    second, third = _central_moment(bars, period, 2), _central_moment(bars, period, 3)
    return ratio(third, second * np.sqrt(second), when_flat=0.0)


@indicator("kurtosis", (20,), parameters=PERIOD, units="1", warm_up=period_changes, minimum=4)
def kurtosis(bars: BarArrays, period: int) -> Floats:
    """Excess kurtosis of the last `period` one-bar log returns: m₄ / m₂² − 3, −3 where no price moved."""
    second, fourth = _central_moment(bars, period, 2), _central_moment(bars, period, 4)
    return ratio(fourth, second * second, when_flat=0.0) - 3


def _half_band(bars: BarArrays, period: int, deviations: int) -> Floats:
    return bars.once(
        ("band", period, deviations), lambda: deviations * np.sqrt(close_moments(bars, period)[1] * (1 / period))
    )


def _squared_log(above: Floats, below: Floats) -> Floats:
    logarithm = np.log(above / below)
    logarithm *= logarithm
    return logarithm


def _central_moment(bars: BarArrays, period: int, power: int) -> Floats:
    """Mean of the ``power``-th (2 to 4) powers of the returns' distances from their mean."""

    def make() -> Floats:
        returns, total = log_change(bars), np.zeros_like(bars.close)
        for place, distance in distances(returns, window_mean(returns, period), period):
            term = distance * distance
            if power > 2:
                term *= distance if power == 3 else term
            total[place] += term
        total[: period - 1] = np.nan
        total /= period
        if power == 2:
            total[total <= ROUNDING * ROUNDING] = 0.0
        return total

    return bars.once(("moment", period, power), make)
