"""The trend strategies: long in an up-trend, flat otherwise, short only when allowed."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.features.compute import compute_features, warm_up
from trading_platform.domain.signals.model import Signal, Strategy
from trading_platform.domain.signals.strategies.crypto_trend import CryptoTrend
from trading_platform.domain.signals.strategies.trend_momentum import TrendMomentum
from trading_platform_tests.domain.bars import random_bars
from trading_platform_tests.shared_data import shared_data


def decide(strategy: Strategy, drift: float, wiggle: float = 0.002) -> Signal:
    """The signal after a path of constant drift per bar with a zigzag on it."""
    count = warm_up(strategy.features) + 10
    steps = np.arange(count)
    close = 100 * np.exp(drift * steps + wiggle * (steps % 2))
    bars = random_bars(("TSLA",), count, seed=1, bar_size="5 mins").assign(
        open=close, high=close * 1.001, low=close * 0.999, close=close, volume=1000.0
    )
    features = compute_features(bars, strategy.features)
    (signal,) = strategy.signals(features, as_of=bars["ts_utc"].iloc[-1].to_pydatetime() + timedelta(minutes=5))
    assert 0 <= signal.confidence <= 1
    assert signal.price == pytest.approx(close[-1])
    return signal


def test_an_up_trend_is_bought() -> None:
    signal = decide(TrendMomentum(weight=0.8), drift=0.0005)
    assert (signal.side, signal.target_weight) == ("LONG", 0.8)
    assert signal.confidence > 0.5
    assert signal.reason.startswith("up-trend: EMA 12 above EMA 26, RSI ")


def test_a_down_trend_is_sold_short_only_when_that_is_allowed() -> None:
    assert decide(TrendMomentum(), drift=-0.0005).side == "FLAT"
    signal = decide(TrendMomentum(allow_short=True), drift=-0.0005)
    assert (signal.side, signal.target_weight) == ("SHORT", -1.0)


def test_an_exhausted_trend_is_left_alone() -> None:
    assert decide(TrendMomentum(), drift=0.005).side == "FLAT"
    assert decide(TrendMomentum(rsi_ceiling=100.0), drift=0.005).side == "LONG"


def test_a_price_that_does_not_move_is_left_alone() -> None:
    assert decide(TrendMomentum(allow_short=True), drift=0.0, wiggle=0.0).side == "FLAT"
    assert decide(CryptoTrend(), drift=0.0, wiggle=0.0).side == "FLAT"


def test_a_crypto_up_trend_is_bought_with_less_weight_when_it_is_wild() -> None:
    calm = decide(CryptoTrend(), drift=0.001)
    assert (calm.side, calm.target_weight) == ("LONG", 1.0)
    wild = decide(CryptoTrend(max_volatility=0.001), drift=0.001)
    assert wild.side == "LONG"
    assert 0 < wild.target_weight < 1


def test_a_crypto_down_trend_is_not_held() -> None:
    signal = decide(CryptoTrend(), drift=-0.001)
    assert (signal.side, signal.target_weight) == ("FLAT", 0.0)
    assert signal.reason.startswith("no up-trend: ")


@pytest.mark.parametrize(
    "wrong",
    [{"fast": 1}, {"fast": 26}, {"rsi_period": 1}, {"rsi_floor": 40.0}, {"rsi_ceiling": 101.0}, {"weight": 0.0},
     {"atr_period": 1}],
)  # fmt: skip
def test_senseless_parameters_of_the_trend_strategy_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrendMomentum(**wrong)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    "wrong", [{"channel": 1}, {"slow": 1}, {"entry": 1.0}, {"volatility_period": 1}, {"max_volatility": 0.0}]
)
def test_senseless_parameters_of_the_crypto_strategy_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CryptoTrend(**wrong)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.real_data
def test_real_bitcoin_is_held_some_of_the_time_and_not_all_of_it() -> None:
    bars = pd.read_parquet(shared_data("crypto_hourly_daily/coinbase_btcusd_1h_2017_2019.parquet"))
    bars = bars.rename(columns={"ts": "ts_utc"}).drop_duplicates("ts_utc").sort_values("ts_utc").tail(1500)
    bars = bars.assign(symbol="BTC", session=bars["ts_utc"].dt.strftime("%Y-%m-%d"))
    strategy = CryptoTrend()
    features = compute_features(bars, strategy.features)
    moments = [moment.to_pydatetime() for moment in features["ts_utc"].iloc[300::25]]
    sides = {signal.side for moment in moments for signal in strategy.signals(features, as_of=moment)}
    assert sides == {"LONG", "FLAT"}
