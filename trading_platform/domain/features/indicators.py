"""Indicators: one function each, registered with its units, warm-up and source.

Each takes the bars of one symbol and returns one value per bar. What stands before the warm-up is replaced by
NaN afterwards. Periods count bars, not time: a bar that is missing is not noticed here. Volatilities are per
bar; multiply by √(bars per year) to annualise, which is √252 for daily bars.

TA-Lib does the loops; it is imported inside the functions, for it costs time. Where the standard deviation is
taken, it is computed window by window, for TA-Lib's running sums lose digits on prices that hardly move.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from trading_platform.domain.features.registry import SymbolBars, decay_bars, indicator

Floats = npt.NDArray[np.float64]
PERIOD = ("period",)
FLAT_RANGE = 1e-12


def ema_warm_up(period: int) -> int:
    """Bars after which the seed of an EMA weighs less than a thousandth."""
    return period + decay_bars(2 / (period + 1))


def wilder_warm_up(period: int) -> int:
    """Bars after which the seed of Wilder's average weighs less than a thousandth."""
    return period + 1 + decay_bars(1 / period)


def macd_warm_up(fast: int, slow: int, signal: int) -> int:
    """Bars after which the seeds of all three averages weigh less than about a thousandth."""
    return ema_warm_up(max(fast, slow)) + ema_warm_up(signal)


@indicator("return", (63,), parameters=PERIOD, units="fraction", warm_up=lambda period: period + 1)
def simple_return(bars: SymbolBars, period: int) -> Floats:
    """Simple return over ``period`` bars: close[t] / close[t − period] − 1."""
    result = np.full(len(bars.close), np.nan)
    result[period:] = bars.close[period:] / bars.close[:-period] - 1
    return result


@indicator("log_return", (1,), parameters=PERIOD, units="log points", warm_up=lambda period: period + 1)
def log_return(bars: SymbolBars, period: int) -> Floats:
    """Logarithmic return over ``period`` bars: ln(close[t] / close[t − period])."""
    return np.log1p(simple_return(bars, period))


@indicator("gap", units="fraction", warm_up=lambda: 2)
def gap(bars: SymbolBars) -> Floats:
    """Open against the close of the bar before: open[t] / close[t − 1] − 1."""
    result = np.full(len(bars.close), np.nan)
    result[1:] = bars.open[1:] / bars.close[:-1] - 1
    return result


@indicator("sma", (20,), parameters=PERIOD, units="price", warm_up=lambda period: period)
def sma(bars: SymbolBars, period: int) -> Floats:
    """Simple moving average of the close. TA-Lib SMA."""
    return _mean(bars.close, period)


@indicator("ema", (12,), parameters=PERIOD, units="price", warm_up=ema_warm_up, minimum=2, is_recursive=True)
def ema(bars: SymbolBars, period: int) -> Floats:
    """Exponential moving average of the close, α = 2 / (period + 1), seeded with the first SMA. TA-Lib EMA."""
    import talib

    return np.asarray(talib.EMA(bars.close, timeperiod=period))


@indicator("sma_distance", (50,), parameters=PERIOD, units="fraction", warm_up=lambda period: period)
def sma_distance(bars: SymbolBars, period: int) -> Floats:
    """How far the close is above its simple moving average: close / SMA − 1."""
    return bars.close / _mean(bars.close, period) - 1


@indicator("rsi", (14,), parameters=PERIOD, units="0 to 100", warm_up=wilder_warm_up, minimum=2, is_recursive=True)
def rsi(bars: SymbolBars, period: int) -> Floats:
    """Relative strength index with Wilder's smoothing; 0 where no price moved. Wilder 1978, TA-Lib RSI."""
    import talib

    return np.asarray(talib.RSI(bars.close, timeperiod=period))


@indicator("atr", (14,), parameters=PERIOD, units="price", warm_up=wilder_warm_up, minimum=2, is_recursive=True)
def atr(bars: SymbolBars, period: int) -> Floats:
    """Average true range with Wilder's smoothing. Wilder 1978, TA-Lib ATR."""
    import talib

    return np.asarray(talib.ATR(bars.high, bars.low, bars.close, timeperiod=period))


@indicator("natr", (14,), parameters=PERIOD, units="percent", warm_up=wilder_warm_up, minimum=2, is_recursive=True)
def natr(bars: SymbolBars, period: int) -> Floats:
    """Average true range as a percentage of the close. TA-Lib NATR."""
    return 100 * atr(bars, period) / bars.close


@indicator(
    "volatility", (20,), parameters=PERIOD, units="fraction per bar", warm_up=lambda period: period + 1, minimum=2
)
def volatility(bars: SymbolBars, period: int) -> Floats:
    """Sample standard deviation of the last ``period`` one-bar log returns, per bar, not annualised."""
    result = np.full(len(bars.close), np.nan)
    returns = np.diff(np.log(bars.close))
    result[period:] = sliding_window_view(returns, period).std(axis=1, ddof=1)
    return result


@indicator("zscore", (20,), parameters=PERIOD, units="standard deviations", warm_up=lambda period: period, minimum=2)
def zscore(bars: SymbolBars, period: int) -> Floats:
    """Close less its mean over ``period`` bars, in sample standard deviations; 0 where no price moved."""
    mean, deviation = _moments(bars.close, period, ddof=1)
    return _ratio(bars.close - mean, deviation, when_flat=0.0)


@indicator(
    "macd",
    (12, 26, 9),
    parameters=("fast", "slow", "signal"),
    units="price",
    warm_up=macd_warm_up,
    minimum=2,
    is_recursive=True,
)
def macd(bars: SymbolBars, fast: int, slow: int, signal: int) -> Floats:
    """MACD line: fast EMA less slow EMA of the close. Appel 1979, TA-Lib MACD."""
    return _macd(bars, fast, slow, signal)[0]


@indicator(
    "macd_signal",
    (12, 26, 9),
    parameters=("fast", "slow", "signal"),
    units="price",
    warm_up=macd_warm_up,
    minimum=2,
    is_recursive=True,
)
def macd_signal(bars: SymbolBars, fast: int, slow: int, signal: int) -> Floats:
    """Signal line of the MACD: its EMA over ``signal`` bars. Appel 1979, TA-Lib MACD."""
    return _macd(bars, fast, slow, signal)[1]


@indicator(
    "macd_histogram",
    (12, 26, 9),
    parameters=("fast", "slow", "signal"),
    units="price",
    warm_up=macd_warm_up,
    minimum=2,
    is_recursive=True,
)
def macd_histogram(bars: SymbolBars, fast: int, slow: int, signal: int) -> Floats:
    """MACD line less its signal line. Appel 1979, TA-Lib MACD."""
    return _macd(bars, fast, slow, signal)[2]


@indicator(
    "bollinger_upper",
    (20, 2),
    parameters=("period", "deviations"),
    units="price",
    warm_up=lambda period, deviations: period,
    minimum=2,
)
def bollinger_upper(bars: SymbolBars, period: int, deviations: int) -> Floats:
    """Upper Bollinger band: SMA plus ``deviations`` population standard deviations. Bollinger 1983."""
    mean, deviation = _moments(bars.close, period, ddof=0)
    return mean + deviations * deviation


@indicator(
    "bollinger_lower",
    (20, 2),
    parameters=("period", "deviations"),
    units="price",
    warm_up=lambda period, deviations: period,
    minimum=2,
)
def bollinger_lower(bars: SymbolBars, period: int, deviations: int) -> Floats:
    """Lower Bollinger band: SMA less ``deviations`` population standard deviations. Bollinger 1983."""
    mean, deviation = _moments(bars.close, period, ddof=0)
    return mean - deviations * deviation


@indicator(
    "bollinger_position",
    (20, 2),
    parameters=("period", "deviations"),
    units="0 at the lower band, 1 at the upper",
    warm_up=lambda period, deviations: period,
    minimum=2,
)
def bollinger_position(bars: SymbolBars, period: int, deviations: int) -> Floats:
    """Where the close is between the Bollinger bands (%b); 0.5 where no price moved. Bollinger 1983."""
    mean, deviation = _moments(bars.close, period, ddof=0)
    return 0.5 + _ratio(bars.close - mean, 2 * deviations * deviation, when_flat=0.0)


@indicator(
    "channel_position",
    (48,),
    parameters=PERIOD,
    units="0 at the lowest low, 1 at the highest high",
    warm_up=lambda period: period,
    minimum=2,
)
def channel_position(bars: SymbolBars, period: int) -> Floats:
    """Where the close is in the range of the last ``period`` bars; 0.5 where no price moved. Donchian, Lane's %K."""
    import talib

    highest = np.asarray(talib.MAX(bars.high, timeperiod=period))
    lowest = np.asarray(talib.MIN(bars.low, timeperiod=period))
    return _ratio(bars.close - lowest, highest - lowest, when_flat=0.5)


@indicator("drawdown", (63,), parameters=PERIOD, units="fraction, 0 or less", warm_up=lambda period: period, minimum=2)
def drawdown(bars: SymbolBars, period: int) -> Floats:
    """Close against the highest close of the last ``period`` bars: close / max − 1."""
    import talib

    return bars.close / np.asarray(talib.MAX(bars.close, timeperiod=period)) - 1


@indicator("volume_ratio", (20,), parameters=PERIOD, units="multiple", warm_up=lambda period: period)
def volume_ratio(bars: SymbolBars, period: int) -> Floats:
    """Volume against its mean over the last ``period`` bars, this one included; 1 where nothing was traded."""
    # TA-Lib's running sum can leave a rest where all volumes are zero
    mean = np.full(len(bars.volume), np.nan)
    mean[period - 1 :] = sliding_window_view(bars.volume, period).mean(axis=1)
    return _ratio(bars.volume, mean, when_flat=1.0)


@indicator("vwap_distance", units="fraction", warm_up=lambda: 1)
def vwap_distance(bars: SymbolBars) -> Floats:
    """How far the close is above the session's volume-weighted average price so far: close / VWAP − 1.

    VWAP of typical prices (high + low + close) / 3; 0 until something is traded.
    """
    typical = (bars.high + bars.low + bars.close) / 3
    turnover = _since_session_start(typical * bars.volume, bars.session_start)
    volume = _since_session_start(bars.volume, bars.session_start)
    return bars.close / _ratio(turnover, volume, when_flat=bars.close) - 1


def _macd(bars: SymbolBars, fast: int, slow: int, signal: int) -> tuple[Floats, Floats, Floats]:
    import talib

    line, signal_line, histogram = talib.MACD(bars.close, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    return np.asarray(line), np.asarray(signal_line), np.asarray(histogram)


def _mean(values: Floats, period: int) -> Floats:
    import talib

    return np.asarray(talib.SMA(values, timeperiod=period))


def _moments(values: Floats, period: int, ddof: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the last ``period`` values."""
    mean, deviation = np.full(len(values), np.nan), np.full(len(values), np.nan)
    windows = sliding_window_view(values, period)
    mean[period - 1 :] = windows.mean(axis=1)
    deviation[period - 1 :] = windows.std(axis=1, ddof=ddof)
    # rounding alone makes a deviation of about 1e-16 of the price where no price moved
    deviation[deviation <= FLAT_RANGE * np.abs(mean)] = 0.0
    return mean, deviation


def _ratio(above: Floats, below: Floats, *, when_flat: float | Floats) -> Floats:
    """``above / below``, or ``when_flat`` where ``below`` is zero. NaN stays NaN."""
    result = np.broadcast_to(np.asarray(when_flat, dtype=np.float64), above.shape).copy()
    return np.divide(above, below, out=result, where=below != 0)


def _since_session_start(values: Floats, session_start: npt.NDArray[np.int64]) -> Floats:
    """Running total that begins anew with each session."""
    total = np.cumsum(values)
    return total - total[session_start] + values[session_start]
