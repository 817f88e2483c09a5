"""A frame of bars becomes a frame of features: sorted, symbol by symbol."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.registry import UnknownFeatureError
from trading_platform.schemas.base import validate
from trading_platform.schemas.features import Features
from trading_platform_tests.domain.bars import random_bars, real_daily_bars

NAMES = ["return_5", "sma_20", "rsi_14", "vwap_distance", "rank_return_5"]
BARS = random_bars(("AAPL", "FB", "IBM"), 160, seed=5)


def test_the_frame_has_keys_close_and_the_features_in_order_and_keeps_its_contract() -> None:
    features = compute_features(BARS, NAMES)
    assert list(features.columns) == ["symbol", "session", "ts_utc", "close", *NAMES]
    assert len(features) == len(BARS)
    assert len(validate(Features, features)) == len(BARS)


def test_the_order_of_rows_and_columns_does_not_matter() -> None:
    shuffled = BARS.sample(frac=1, random_state=1)[BARS.columns[::-1]].assign(source="test")
    pd.testing.assert_frame_equal(compute_features(shuffled, NAMES), compute_features(BARS, NAMES))


def test_symbols_do_not_see_each_other_except_in_ranks() -> None:
    names = NAMES[:-1]
    together = compute_features(BARS, names)
    for symbol, own in BARS.groupby("symbol"):
        alone = compute_features(own, names)
        pd.testing.assert_frame_equal(together[together["symbol"] == symbol].reset_index(drop=True), alone)


def test_ranks_are_taken_among_the_symbols_that_have_a_value_at_the_time() -> None:
    young = BARS[(BARS["symbol"] != "FB") | (BARS["ts_utc"] >= BARS["ts_utc"].iloc[100])]
    features = compute_features(young, ["return_5", "rank_return_5"])
    by_symbol = features.pivot(index="ts_utc", columns="symbol", values="rank_return_5")
    assert by_symbol["FB"].first_valid_index() == by_symbol.index[105]
    assert set(by_symbol.iloc[50].dropna()) == {0.5, 1.0}
    assert set(np.round(by_symbol.iloc[-1], 3)) == {0.333, 0.667, 1.0}


def test_a_symbol_with_too_little_history_has_no_value_and_harms_no_other() -> None:
    features = compute_features(real_daily_bars(), ["return_252", "ema_12"])
    last = features.groupby("symbol").tail(1).set_index("symbol")
    assert np.isnan(last.loc["FB", "return_252"])
    assert last.drop("FB")["return_252"].notna().all()
    assert last["ema_12"].notna().all()


def test_an_empty_frame_gives_an_empty_frame_with_the_columns() -> None:
    features = compute_features(BARS.iloc[:0], NAMES)
    assert features.empty
    assert list(features.columns)[-1] == "rank_return_5"


def test_a_name_given_twice_gives_one_column() -> None:
    assert list(compute_features(BARS, ["sma_20", "sma_20"]).columns).count("sma_20") == 1


def test_what_is_not_validated_is_refused() -> None:
    with pytest.raises(ValueError, match="AAPL has two bars at"):
        compute_features(pd.concat([BARS, BARS.head(1)]), NAMES)
    with pytest.raises(ValueError, match="AAPL has a price or volume that is not finite at"):
        compute_features(BARS.assign(close=BARS["close"].where(BARS.index != 7)), NAMES)
    with pytest.raises(UnknownFeatureError, match="did you mean sma_20"):
        compute_features(BARS, ["smma_20"])
