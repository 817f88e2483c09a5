"""Indicators agree with their formulas, written out naively, on random bars."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.features.compute import compute_features, warm_up
from trading_platform.domain.features.registry import Indicator, indicators, parse
from trading_platform_tests.domain.bars import random_bars

BARS = random_bars(("AAPL",), 260, seed=3, bar_size="15 mins")
OPEN, HIGH, LOW, CLOSE, VOLUME = (BARS[name].tolist() for name in ("open", "high", "low", "close", "volume"))
LAST = len(BARS) - 1


def smoothed(values: list[float], period: int, alpha: float) -> float:
    """Exponential smoothing of ``values``, seeded with the mean of the first ``period``; the last value."""
    current = statistics.fmean(values[:period])
    for value in values[period:]:
        current += alpha * (value - current)
    return current


def naive_rsi(t: int, period: int) -> float:
    moves = [CLOSE[i] - CLOSE[i - 1] for i in range(1, t + 1)]
    gain = smoothed([max(move, 0.0) for move in moves], period, 1 / period)
    loss = smoothed([max(-move, 0.0) for move in moves], period, 1 / period)
    return 100 * gain / (gain + loss)


def naive_atr(t: int, period: int) -> float:
    ranges = [max(HIGH[i] - LOW[i], abs(HIGH[i] - CLOSE[i - 1]), abs(LOW[i] - CLOSE[i - 1])) for i in range(1, t + 1)]
    return smoothed(ranges, period, 1 / period)


def naive_macd(t: int) -> tuple[float, float]:
    lines = [smoothed(CLOSE[: i + 1], 12, 2 / 13) - smoothed(CLOSE[: i + 1], 26, 2 / 27) for i in range(26, t + 1)]
    return lines[-1], smoothed(lines, 9, 2 / 10)


def window(values: list[float], t: int, period: int) -> list[float]:
    return values[t - period + 1 : t + 1]


def naive_vwap(t: int) -> float:
    session = BARS["session"].iloc[t]
    rows = [i for i in range(t + 1) if BARS["session"].iloc[i] == session]
    turnover = sum((HIGH[i] + LOW[i] + CLOSE[i]) / 3 * VOLUME[i] for i in rows)
    return turnover / sum(VOLUME[i] for i in rows)


NAIVE: dict[str, Callable[[int], float]] = {
    "return": lambda t: CLOSE[t] / CLOSE[t - 63] - 1,
    "log_return": lambda t: math.log(CLOSE[t] / CLOSE[t - 1]),
    "gap": lambda t: OPEN[t] / CLOSE[t - 1] - 1,
    "sma": lambda t: statistics.fmean(window(CLOSE, t, 20)),
    "ema": lambda t: smoothed(CLOSE[: t + 1], 12, 2 / 13),
    "sma_distance": lambda t: CLOSE[t] / statistics.fmean(window(CLOSE, t, 50)) - 1,
    "rsi": lambda t: naive_rsi(t, 14),
    "atr": lambda t: naive_atr(t, 14),
    "natr": lambda t: 100 * naive_atr(t, 14) / CLOSE[t],
    "volatility": lambda t: statistics.stdev(math.log(CLOSE[i] / CLOSE[i - 1]) for i in range(t - 19, t + 1)),
    "zscore": lambda t: (CLOSE[t] - statistics.fmean(window(CLOSE, t, 20))) / statistics.stdev(window(CLOSE, t, 20)),
    "macd": lambda t: naive_macd(t)[0],
    "macd_signal": lambda t: naive_macd(t)[1],
    "macd_histogram": lambda t: naive_macd(t)[0] - naive_macd(t)[1],
    "bollinger_upper": lambda t: statistics.fmean(window(CLOSE, t, 20)) + 2 * statistics.pstdev(window(CLOSE, t, 20)),
    "bollinger_lower": lambda t: statistics.fmean(window(CLOSE, t, 20)) - 2 * statistics.pstdev(window(CLOSE, t, 20)),
    "bollinger_position": lambda t: (
        0.5 + (CLOSE[t] - statistics.fmean(window(CLOSE, t, 20))) / (4 * statistics.pstdev(window(CLOSE, t, 20)))
    ),
    "channel_position": lambda t: (
        (CLOSE[t] - min(window(LOW, t, 48))) / (max(window(HIGH, t, 48)) - min(window(LOW, t, 48)))
    ),
    "drawdown": lambda t: CLOSE[t] / max(window(CLOSE, t, 63)) - 1,
    "volume_ratio": lambda t: VOLUME[t] / statistics.fmean(window(VOLUME, t, 20)),
    "vwap_distance": lambda t: CLOSE[t] / naive_vwap(t) - 1,
}
EVERY = pytest.mark.parametrize("entry", indicators().values(), ids=lambda entry: entry.name)


def column(bars: pd.DataFrame, name: str) -> np.ndarray:
    return compute_features(bars, [name])[name].to_numpy()


@EVERY
def test_an_indicator_agrees_with_its_formula(entry: Indicator) -> None:
    values = column(BARS, entry.example_name)
    # the MACD of TA-Lib starts its fast average later, which is forgotten to a thousandth after the warm-up
    tolerance = 1e-3 if entry.name.startswith("macd") else 1e-9
    for t in (LAST, LAST - 1, LAST - 40):
        assert values[t] == pytest.approx(NAIVE[entry.name](t), rel=tolerance, abs=tolerance)


@EVERY
def test_values_begin_exactly_where_the_warm_up_ends(entry: Indicator) -> None:
    warm = parse(entry.example_name).warm_up
    values = column(BARS, entry.example_name)
    assert np.isnan(values[: warm - 1]).all()
    assert np.isfinite(values[warm - 1 :]).all()


@EVERY
def test_the_tail_with_its_warm_up_gives_what_the_whole_history_gives(entry: Indicator) -> None:
    """Exact but for rounding; recursive indicators within a thousandth of what their seed was off."""
    name = entry.example_name
    bars = random_bars(("AAPL",), 600, seed=9)
    warm = warm_up([name])
    whole = column(bars, name)[-5:]
    tail = column(bars.tail(warm + 4), name)[-5:]
    if entry.is_recursive:
        scale = np.nanmax(np.abs(column(bars, name)))
        np.testing.assert_allclose(tail, whole, atol=2e-3 * scale)
    else:
        np.testing.assert_allclose(tail, whole, rtol=1e-9, atol=1e-9)


@EVERY
@pytest.mark.parametrize("volume", [0.0, 500.0])
def test_prices_that_never_move_give_finite_values(entry: Indicator, volume: float) -> None:
    flat = BARS.assign(open=20.1, high=20.1, low=20.1, close=20.1, volume=volume)
    values = column(flat, entry.example_name)
    assert np.isfinite(values[warm_up([entry.example_name]) - 1 :]).all()


def test_what_has_no_direction_is_in_the_middle() -> None:
    flat = BARS.assign(open=20.1, high=20.1, low=20.1, close=20.1, volume=0.0)
    middle = {"zscore_20": 0.0, "bollinger_position_20_2": 0.5, "channel_position_48": 0.5, "volume_ratio_20": 1.0}
    last = compute_features(flat, [*middle, "vwap_distance"]).iloc[-1]
    assert {name: last[name] for name in middle} == middle
    assert last["vwap_distance"] == 0.0


def test_the_vwap_begins_anew_with_each_session() -> None:
    first_of_session = ~BARS["session"].duplicated()
    values = column(BARS, "vwap_distance")[first_of_session]
    typical = (BARS["high"] + BARS["low"] + BARS["close"]) / 3
    np.testing.assert_allclose(values, (BARS["close"] / typical - 1)[first_of_session], rtol=1e-9, atol=1e-12)
