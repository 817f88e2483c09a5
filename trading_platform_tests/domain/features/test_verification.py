"""A sample of the features is computed again from the past only, and one that saw more is convicted."""

from __future__ import annotations

import pandas as pd
import pytest

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.registry import EXAMPLE_REFERENCE, indicators
from trading_platform.domain.features.verification import verify_sample
from trading_platform_tests.domain.bars import random_bars

SYMBOLS = ("AAPL", "FB", "IBM", EXAMPLE_REFERENCE)
NAMES = [entry.example_name for entry in indicators().values()]
COMPARED = ["rank_return_5", "cs_zscore_rsi_14"]
DAILY = random_bars(SYMBOLS, 600, seed=5)
INTRADAY = random_bars(SYMBOLS, 600, seed=6, bar_size="15 mins")


@pytest.mark.parametrize("bars", [DAILY, INTRADAY], ids=["daily", "15 mins"])
def test_every_feature_passes(bars: pd.DataFrame) -> None:
    mixed = bars.sample(frac=1, random_state=1)
    sample = verify_sample(mixed, compute_features(mixed, [*NAMES, *COMPARED]), [*NAMES, *COMPARED])
    assert sample.differing == []
    assert sample.skipped == ()
    assert sample.checked >= len(NAMES) + len(SYMBOLS) * len(COMPARED)


def test_the_session_that_a_run_is_about_is_enough() -> None:
    features = compute_features(DAILY, ["sma_20", "rank_return_5"])
    own = features[features["session"] == features["session"].max()]
    sample = verify_sample(DAILY, own, ["sma_20", "rank_return_5"])
    assert (sample.differing, sample.checked) == ([], 3 + 4)


@pytest.mark.parametrize(("name", "symbols"), [("sma_20", 3), ("rank_return_5", 4)])
def test_a_value_that_knows_the_next_bar_is_convicted(name: str, symbols: int) -> None:
    features = compute_features(DAILY, [name])
    peeking = features.assign(**{name: features.groupby("symbol")[name].shift(-1)}).dropna()
    sample = verify_sample(DAILY, peeking, [name])
    assert {row["feature"] for row in sample.differing} == {name}
    assert len({row["symbol"] for row in sample.differing}) >= symbols - 2
    assert sample.differing[0]["value"] != sample.differing[0]["from_the_past_only"]


def test_a_value_where_there_can_be_none_is_convicted() -> None:
    young = DAILY.groupby("symbol").tail(10)
    features = compute_features(young, ["sma_20"]).assign(sma_20=1.0)
    assert len(verify_sample(young, features, ["sma_20"]).differing) == 9


def test_a_symbol_that_has_ended_or_has_just_begun_does_no_harm() -> None:
    ended = DAILY[(DAILY["symbol"] != "FB") | (DAILY["ts_utc"] < DAILY["ts_utc"].iloc[300])]
    begun = ended[(ended["symbol"] != "AAPL") | (ended["ts_utc"] > DAILY["ts_utc"].iloc[580])]
    names = ["sma_20", "return_63", "rank_return_5", "beta_60_SPY"]
    assert verify_sample(begun, compute_features(begun, names), names).differing == []


def test_what_would_cost_too_much_is_named_and_not_looked_at() -> None:
    many = random_bars(tuple(f"S{number:02d}" for number in range(60)), 70, seed=1)
    sample = verify_sample(many, compute_features(many, ["rank_return_63", "sma_5"]), ["rank_return_63", "sma_5"])
    assert sample.skipped == ("rank_return_63",)
    assert (sample.checked, sample.differing) == (9, [])


def test_nothing_is_fine() -> None:
    assert verify_sample(DAILY, compute_features(DAILY.iloc[:0], NAMES), NAMES).differing == []
    assert verify_sample(DAILY, compute_features(DAILY, []), []).checked == 0
