"""Moving averages, distances from them, and the MACD."""

from __future__ import annotations

from trading_platform.domain.features.arrays import BarArrays, Floats, smoothed, weighted_mean
from trading_platform.domain.features.indicators.shared import PERIOD, close_ema, close_mean, ema_bars, period_bars
from trading_platform.domain.features.registry import indicator

MACD = ("fast", "slow", "signal")


def double_ema_bars(period: int) -> int:
    """Warm-up of an exponential average of an exponential average."""
    return 2 * ema_bars(period) - 1


def triple_ema_bars(period: int) -> int:
    """Warm-up of an exponential average taken three times."""
    return 3 * ema_bars(period) - 2


def macd_line_bars(fast: int, slow: int, signal: int) -> int:
    """Warm-up of the MACD line, which does not depend on ``signal``."""
    return ema_bars(max(fast, slow))


def macd_bars(fast: int, slow: int, signal: int) -> int:
    """Warm-up of the MACD's signal line: that of the line, and of its average."""
    return ema_bars(max(fast, slow)) + ema_bars(signal) - 1


@indicator("sma", (20,), parameters=PERIOD, units="price", warm_up=period_bars)
def sma(bars: BarArrays, period: int) -> Floats:
    """Simple moving average of the close. TA-Lib SMA."""
    return close_mean(bars, period)


@indicator("ema", (12,), parameters=PERIOD, units="price", warm_up=ema_bars, minimum=2)
def ema(bars: BarArrays, period: int) -> Floats:
    """Exponential moving average of the close, α = 2 / (period + 1). TA-Lib EMA, cut off."""
    return close_ema(bars, period)


@indicator("wma", (20,), parameters=PERIOD, units="price", warm_up=period_bars)
def wma(bars: BarArrays, period: int) -> Floats:
    """Linearly weighted moving average of the close; the newest bar weighs `period`, the oldest 1. TA-Lib WMA."""
    return weighted_mean(bars.close, period)


@indicator("dema", (20,), parameters=PERIOD, units="price", warm_up=double_ema_bars, minimum=2)
def dema(bars: BarArrays, period: int) -> Floats:
    """Double exponential moving average: 2 EMA − EMA(EMA). Mulloy 1994, TA-Lib DEMA, cut off."""
    return 2 * close_ema(bars, period) - _ema_of_ema(bars, period)


@indicator("tema", (20,), parameters=PERIOD, units="price", warm_up=triple_ema_bars, minimum=2)
def tema(bars: BarArrays, period: int) -> Floats:
    """Triple exponential moving average: 3 EMA − 3 EMA(EMA) + EMA(EMA(EMA)). Mulloy 1994, TA-Lib TEMA, cut off."""
    twice = _ema_of_ema(bars, period)
    thrice = smoothed(bars, twice, period, skip=double_ema_bars(period) - 1)
    return 3 * (close_ema(bars, period) - twice) + thrice


@indicator("sma_distance", (50,), parameters=PERIOD, units="fraction", warm_up=period_bars)
def sma_distance(bars: BarArrays, period: int) -> Floats:
    """How far the close is above its simple moving average: close / SMA − 1."""
    return bars.close / close_mean(bars, period) - 1


@indicator("ema_distance", (50,), parameters=PERIOD, units="fraction", warm_up=ema_bars, minimum=2)
def ema_distance(bars: BarArrays, period: int) -> Floats:
    """How far the close is above its exponential moving average: close / EMA − 1. TA-Lib EMA, cut off."""
    return bars.close / close_ema(bars, period) - 1


@indicator("macd", (12, 26, 9), parameters=MACD, units="price", warm_up=macd_line_bars, minimum=2)
def macd(bars: BarArrays, fast: int, slow: int, signal: int) -> Floats:
    """MACD line: fast EMA less slow EMA of the close. Appel 1979, TA-Lib MACD, cut off."""
    return bars.once(("macd", fast, slow), lambda: close_ema(bars, fast) - close_ema(bars, slow))


@indicator("macd_signal", (12, 26, 9), parameters=MACD, units="price", warm_up=macd_bars, minimum=2)
def macd_signal(bars: BarArrays, fast: int, slow: int, signal: int) -> Floats:
    """Signal line of the MACD: its EMA over `signal` bars. Appel 1979, TA-Lib MACD, cut off."""
    skip = macd_line_bars(fast, slow, signal) - 1
    return bars.once(
        ("macd_signal", fast, slow, signal),
        lambda: smoothed(bars, macd(bars, fast, slow, signal), signal, skip=skip),
    )


@indicator("macd_histogram", (12, 26, 9), parameters=MACD, units="price", warm_up=macd_bars, minimum=2)
def macd_histogram(bars: BarArrays, fast: int, slow: int, signal: int) -> Floats:
    """MACD line less its signal line. Appel 1979, TA-Lib MACD, cut off."""
    return macd(bars, fast, slow, signal) - macd_signal(bars, fast, slow, signal)


def _ema_of_ema(bars: BarArrays, period: int) -> Floats:
    return bars.once(
        ("ema_of_ema", period), lambda: smoothed(bars, close_ema(bars, period), period, skip=ema_bars(period) - 1)
    )
