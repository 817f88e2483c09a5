"""Indicators agree with their formulas, written out naively, and with TA-Lib where it has them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import talib

from trading_platform.domain.features.arrays import FORGOTTEN
from trading_platform.domain.features.compute import compute_features, warm_up
from trading_platform.domain.features.registry import EXAMPLE_REFERENCE, Indicator, indicators, parse
from trading_platform_tests.domain.bars import random_bars

BOTH = random_bars(("AAPL", EXAMPLE_REFERENCE), 400, seed=3, bar_size="15 mins")
BARS = BOTH[BOTH["symbol"] == "AAPL"].reset_index(drop=True)
OPEN, HIGH, LOW, CLOSE, VOLUME = (BARS[name].tolist() for name in ("open", "high", "low", "close", "volume"))
INDEX = BOTH.loc[BOTH["symbol"] == EXAMPLE_REFERENCE, "close"].tolist()
SESSIONS = BARS["session"].tolist()
TYPICAL = [(high + low + close) / 3 for high, low, close in zip(HIGH, LOW, CLOSE, strict=True)]
LAST = len(BARS) - 1


def window(values: list[float], t: int, period: int) -> list[float]:
    return values[t - period + 1 : t + 1]


def changes(values: list[float]) -> list[float]:
    return [math.nan, *(new - old for old, new in pairwise(values))]


def log_returns(values: list[float]) -> list[float]:
    return changes([math.log(value) for value in values])


def smoothed(values: list[float], t: int, alpha: float) -> float:
    """Exponentially weighted mean of the values up to ``t``, cut off where a hundred-thousandth is left."""
    reach = math.ceil(math.log(FORGOTTEN) / math.log(1 - alpha))
    weights = [(1 - alpha) ** age for age in range(reach)]
    return sum(weight * values[t - age] for age, weight in enumerate(weights)) / sum(weights)


def ema(t: int, period: int) -> float:
    return smoothed(CLOSE, t, 2 / (period + 1))


def ema_of_ema(t: int, times: int) -> float:
    values = CLOSE
    for level in range(1, times + 1):
        values = [smoothed(values, i, 2 / 21) if i >= level * 115 else math.nan for i in range(t + 1)]
    return values[t]


def ranges() -> list[float]:
    return [
        math.nan,
        *(
            max(HIGH[i], CLOSE[i - 1]) - min(LOW[i], CLOSE[i - 1])  # the close before included
            for i in range(1, len(CLOSE))
        ),
    ]


def rsi(t: int) -> float:
    moves = changes(CLOSE)
    gain = smoothed([max(move, 0.0) for move in moves], t, 1 / 14)
    loss = smoothed([max(-move, 0.0) for move in moves], t, 1 / 14)
    return 100 - 100 / (1 + gain / loss)


def directional(t: int) -> tuple[float, float]:
    up, down = changes(HIGH), [-move for move in changes(LOW)]
    plus = [u if u > d and u > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    minus = [d if d > u and d > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    atr = smoothed(ranges(), t, 1 / 14)
    return 100 * smoothed(plus, t, 1 / 14) / atr, 100 * smoothed(minus, t, 1 / 14) / atr


def adx(t: int) -> float:
    strength = [math.nan] * len(CLOSE)
    for i in range(t - 160, t + 1):
        plus, minus = directional(i)
        strength[i] = 100 * abs(plus - minus) / (plus + minus)
    return smoothed(strength, t, 1 / 14)


def macd(t: int) -> tuple[float, float]:
    lines = [ema(i, 12) - ema(i, 26) if i >= 160 else math.nan for i in range(t + 1)]
    return lines[t], smoothed(lines, t, 2 / 10)


def percent_k(t: int) -> float:
    low = min(window(LOW, t, 14))
    return 100 * (CLOSE[t] - low) / (max(window(HIGH, t, 14)) - low)


def money_flow(t: int) -> float:
    moves = changes(TYPICAL)
    rising = sum(TYPICAL[i] * VOLUME[i] for i in range(t - 13, t + 1) if moves[i] > 0)
    return 100 * rising / sum(TYPICAL[i] * VOLUME[i] for i in range(t - 13, t + 1))


def standardized_moment(t: int, power: int) -> float:
    values = window(log_returns(CLOSE), t, 20)
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return statistics.fmean(((value - mean) / deviation) ** power for value in values)


def session_rows(t: int) -> list[int]:
    return [i for i in range(t + 1) if SESSIONS[i] == SESSIONS[t]]


def vwap(t: int) -> float:
    rows = session_rows(t)
    return sum(TYPICAL[i] * VOLUME[i] for i in rows) / sum(VOLUME[i] for i in rows)


def in_session_range(t: int) -> float:
    low, high = min(LOW[i] for i in session_rows(t)), max(HIGH[i] for i in session_rows(t))
    return (CLOSE[t] - low) / (high - low)


def aroon(t: int) -> float:
    high, low = window(HIGH, t, 26), window(LOW, t, 26)
    return 100 * (high.index(max(high)) - low.index(min(low))) / 25


def co_moment(t: int) -> tuple[float, float]:
    own, other = window(log_returns(CLOSE), t, 60), window(log_returns(INDEX), t, 60)
    return statistics.linear_regression(other, own).slope, statistics.correlation(own, other)


def garman_klass(t: int) -> float:
    terms = [
        0.5 * math.log(HIGH[i] / LOW[i]) ** 2 - (2 * math.log(2) - 1) * math.log(CLOSE[i] / OPEN[i]) ** 2
        for i in range(t - 19, t + 1)
    ]
    return math.sqrt(statistics.fmean(terms))


def mean(t: int, period: int = 20) -> float:
    return statistics.fmean(window(CLOSE, t, period))


def deviation(t: int) -> float:
    return statistics.pstdev(window(CLOSE, t, 20))


NAIVE: dict[str, Callable[[int], float]] = {
    "return": lambda t: CLOSE[t] / CLOSE[t - 63] - 1,
    "log_return": lambda t: math.log(CLOSE[t] / CLOSE[t - 1]),
    "roc": lambda t: 100 * (CLOSE[t] / CLOSE[t - 10] - 1),
    "momentum": lambda t: CLOSE[t] - CLOSE[t - 10],
    "drawdown": lambda t: CLOSE[t] / max(window(CLOSE, t, 63)) - 1,
    "gap": lambda t: OPEN[t] / CLOSE[t - 1] - 1,
    "session_gap": lambda t: OPEN[session_rows(t)[0]] / CLOSE[session_rows(t)[0] - 1] - 1,
    "session_return": lambda t: CLOSE[t] / OPEN[session_rows(t)[0]] - 1,
    "sma": mean,
    "ema": lambda t: ema(t, 12),
    "wma": lambda t: sum((20 - age) * CLOSE[t - age] for age in range(20)) / 210,
    "dema": lambda t: 2 * ema(t, 20) - ema_of_ema(t, 2),
    "tema": lambda t: 3 * ema(t, 20) - 3 * ema_of_ema(t, 2) + ema_of_ema(t, 3),
    "sma_distance": lambda t: CLOSE[t] / mean(t, 50) - 1,
    "ema_distance": lambda t: CLOSE[t] / ema(t, 50) - 1,
    "macd": lambda t: macd(t)[0],
    "macd_signal": lambda t: macd(t)[1],
    "macd_histogram": lambda t: macd(t)[0] - macd(t)[1],
    "rsi": rsi,
    "stochastic_k": percent_k,
    "stochastic_d": lambda t: statistics.fmean(percent_k(i) for i in range(t - 2, t + 1)),
    "williams_r": lambda t: (
        -100 * (max(window(HIGH, t, 14)) - CLOSE[t]) / (max(window(HIGH, t, 14)) - min(window(LOW, t, 14)))
    ),
    "cci": lambda t: (
        (TYPICAL[t] - statistics.fmean(window(TYPICAL, t, 20)))
        / (0.015 * statistics.fmean(abs(x - statistics.fmean(window(TYPICAL, t, 20))) for x in window(TYPICAL, t, 20)))
    ),
    "mfi": money_flow,
    "plus_di": lambda t: directional(t)[0],
    "minus_di": lambda t: directional(t)[1],
    "adx": adx,
    "aroon_oscillator": aroon,
    "atr": lambda t: smoothed(ranges(), t, 1 / 14),
    "natr": lambda t: 100 * smoothed(ranges(), t, 1 / 14) / CLOSE[t],
    "volatility": lambda t: statistics.stdev(window(log_returns(CLOSE), t, 20)),
    "parkinson_volatility": lambda t: math.sqrt(
        statistics.fmean(math.log(HIGH[i] / LOW[i]) ** 2 for i in range(t - 19, t + 1)) / (4 * math.log(2))
    ),
    "garman_klass_volatility": garman_klass,
    "zscore": lambda t: (CLOSE[t] - mean(t)) / statistics.stdev(window(CLOSE, t, 20)),
    "bollinger_upper": lambda t: mean(t) + 2 * deviation(t),
    "bollinger_lower": lambda t: mean(t) - 2 * deviation(t),
    "bollinger_position": lambda t: 0.5 + (CLOSE[t] - mean(t)) / (4 * deviation(t)),
    "bollinger_width": lambda t: 4 * deviation(t) / mean(t),
    "skewness": lambda t: standardized_moment(t, 3),
    "kurtosis": lambda t: standardized_moment(t, 4) - 3,
    "channel_high": lambda t: max(window(HIGH, t, 20)),
    "channel_low": lambda t: min(window(LOW, t, 20)),
    "channel_position": lambda t: (
        (CLOSE[t] - min(window(LOW, t, 48))) / (max(window(HIGH, t, 48)) - min(window(LOW, t, 48)))
    ),
    "session_range_position": in_session_range,
    "volume_ratio": lambda t: VOLUME[t] / statistics.fmean(window(VOLUME, t, 20)),
    "obv": lambda t: sum(math.copysign(VOLUME[i], CLOSE[i] - CLOSE[i - 1]) for i in range(t - 19, t + 1)),
    "vwap_distance": lambda t: CLOSE[t] / vwap(t) - 1,
    "beta": lambda t: co_moment(t)[0],
    "correlation": lambda t: co_moment(t)[1],
}
EVERY = pytest.mark.parametrize("entry", indicators().values(), ids=lambda entry: entry.name)


def column(bars: pd.DataFrame, name: str) -> np.ndarray:
    """The feature of AAPL."""
    features = compute_features(bars, [name])
    return features.loc[features["symbol"] == "AAPL", name].to_numpy()


@EVERY
def test_an_indicator_agrees_with_its_formula(entry: Indicator) -> None:
    values = column(BOTH, entry.example_name)
    for t in (LAST, LAST - 1, LAST - 40):
        assert values[t] == pytest.approx(NAIVE[entry.name](t), rel=1e-9, abs=1e-9)


@EVERY
def test_values_begin_exactly_where_the_warm_up_ends(entry: Indicator) -> None:
    warm = parse(entry.example_name).warm_up
    if entry.is_session_anchored:
        warm = SESSIONS.index(SESSIONS[warm * 27 - 27]) + 1
    values = column(BOTH, entry.example_name)
    assert np.isnan(values[: warm - 1]).all()
    assert np.isfinite(values[warm - 1 :]).all()


@EVERY
@pytest.mark.parametrize("volume", [0.0, 500.0])
@pytest.mark.parametrize("price", [20.1, 1e-5, 123456.7])
def test_prices_that_never_move_give_finite_values_of_their_kind(entry: Indicator, volume: float, price: float) -> None:
    flat = BOTH.assign(open=price, high=price, low=price, close=price, volume=volume)
    values = column(flat, entry.example_name)
    values = values[~np.isnan(values)]
    if entry.units == "price":
        expected = 0.0 if entry.name in ("atr", "momentum") or entry.name.startswith("macd") else price
    else:
        middles = {"0 to 100": 50.0, "−100 to 0": -50.0, "multiple": 1.0}
        expected = middles.get(entry.units, 0.5 if entry.units.startswith("0 at") else 0.0)
        expected = {"plus_di": 0.0, "minus_di": 0.0, "adx": 0.0, "kurtosis": -3.0}.get(entry.name, expected)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12 * (price if entry.units == "price" else 1.0))


H, L, C, V = (BARS[name].to_numpy() for name in ("high", "low", "close", "volume"))
TALIB: dict[str, Callable[[], np.ndarray]] = {
    "sma_20": lambda: talib.SMA(C, 20),
    "ema_12": lambda: talib.EMA(C, 12),
    "wma_20": lambda: talib.WMA(C, 20),
    "dema_20": lambda: talib.DEMA(C, 20),
    "tema_20": lambda: talib.TEMA(C, 20),
    "macd_12_26_9": lambda: talib.MACD(C, 12, 26, 9)[0],
    "macd_signal_12_26_9": lambda: talib.MACD(C, 12, 26, 9)[1],
    "macd_histogram_12_26_9": lambda: talib.MACD(C, 12, 26, 9)[2],
    "rsi_14": lambda: talib.RSI(C, 14),
    "stochastic_k_14": lambda: talib.STOCHF(H, L, C, 14, 3)[0],
    "stochastic_d_14_3": lambda: talib.STOCHF(H, L, C, 14, 3)[1],
    "williams_r_14": lambda: talib.WILLR(H, L, C, 14),
    "cci_20": lambda: talib.CCI(H, L, C, 20),
    "mfi_14": lambda: talib.MFI(H, L, C, V, 14),
    "plus_di_14": lambda: talib.PLUS_DI(H, L, C, 14),
    "minus_di_14": lambda: talib.MINUS_DI(H, L, C, 14),
    "adx_14": lambda: talib.ADX(H, L, C, 14),
    "atr_14": lambda: talib.ATR(H, L, C, 14),
    "natr_14": lambda: talib.NATR(H, L, C, 14),
    "bollinger_upper_20_2": lambda: talib.BBANDS(C, 20, 2, 2)[0],
    "bollinger_lower_20_2": lambda: talib.BBANDS(C, 20, 2, 2)[2],
    "roc_10": lambda: talib.ROC(C, 10),
    "momentum_10": lambda: talib.MOM(C, 10),
    "obv_20": lambda: talib.OBV(C, V) - np.append(np.full(20, np.nan), talib.OBV(C, V)[:-20]),
}


@pytest.mark.parametrize("name", TALIB)
def test_an_indicator_agrees_with_talib(name: str) -> None:
    """Exponential averages within a hundred-thousandth of their prices' range; TA-Lib's have no end."""
    ours, theirs = column(BARS, name)[-30:], TALIB[name]()[-30:]
    if "cut off" in parse(name).indicator.summary:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.ptp(C))
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_bars_out_of_the_window_do_not_matter_whatever_they_were() -> None:
    wild = BARS.copy()
    old = wild.index < len(wild) - 200
    wild.loc[old, ["open", "high", "low", "close"]] *= 1000.0
    names = [name for name in TALIB if warm_up([name]) <= 150]
    for name in names:
        np.testing.assert_allclose(column(wild, name)[-50:], column(BARS, name)[-50:], rtol=1e-9, atol=1e-11)


def test_quiet_prices_keep_their_digits() -> None:
    """A price of 1000 that moves by hundred-thousandths has a deviation, and not that of rounding."""
    rng = np.random.default_rng(1)
    moves = rng.normal(0, 1e-5, len(BARS))
    quiet = BARS.assign(close=1000 + moves, open=1000.0, high=1000.001, low=999.999)
    expected = pd.Series(quiet["close"] - 1000).rolling(20)
    scores = (quiet["close"] - 1000 - expected.mean()) / expected.std()
    np.testing.assert_allclose(column(quiet, "zscore_20")[19:], scores[19:], atol=1e-6)
