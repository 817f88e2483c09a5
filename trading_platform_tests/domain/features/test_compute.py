"""A frame of bars becomes a frame of features: sorted, of many symbols at once, the same from any history."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trading_platform.domain.features import compute
from trading_platform.domain.features.compute import compute_features, reference_symbols, warm_up
from trading_platform.domain.features.registry import (
    CROSS_SECTIONS,
    EXAMPLE_REFERENCE,
    UnknownFeatureError,
    indicators,
    parse,
)
from trading_platform.domain.signals.spec import BarSize
from trading_platform.schemas.base import validate
from trading_platform.schemas.features import Features
from trading_platform_tests.domain.bars import random_bars, real_daily_bars

NAMES = ["return_5", "sma_20", "rsi_14", "vwap_distance", "rank_return_5"]
EVERY = [entry.example_name for entry in indicators().values()]
COMPARED = [f"{prefix}{name}" for prefix in CROSS_SECTIONS for name in EVERY]
BARS = random_bars(("AAPL", "FB", "IBM"), 190, seed=5)
ROUNDING = 1e-12
"""What a value may differ by, relative to its size, when it is computed from another history."""


def newest(bars: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The newest ``rows`` bars of each symbol, from the session before them on, as a tick reads them."""
    first = bars.groupby("symbol").tail(rows)["session"].min()
    return bars[bars["session"] >= bars.loc[bars["session"] < first, "session"].max()]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, names: list[str]) -> None:
    """Equal but for rounding; what is not exponential is equal to the last bit."""
    for name in names:
        ours, theirs = found[name].to_numpy(), expected[name].to_numpy()
        if "cut off" in parse(name).indicator.summary:
            size = np.maximum(np.abs(theirs), expected["close"] if parse(name).units == "price" else 1.0)
            np.testing.assert_array_less(np.abs(ours - theirs), ROUNDING * size, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_the_frame_has_keys_close_and_the_features_in_order_and_keeps_its_contract() -> None:
    features = compute_features(BARS, NAMES)
    assert list(features.columns) == ["symbol", "session", "ts_utc", "close", *NAMES]
    assert len(features) == len(BARS)
    assert len(validate(Features, features)) == len(BARS)


@pytest.mark.parametrize("key", [["ts_utc", "symbol"], ["volume"]])
def test_the_order_of_rows_and_columns_does_not_matter(key: list[str]) -> None:
    shuffled = BARS.sort_values(key)[BARS.columns[::-1]].assign(source="test")
    pd.testing.assert_frame_equal(compute_features(shuffled, NAMES), compute_features(BARS, NAMES), check_exact=True)


def test_the_bars_given_are_left_as_they_were() -> None:
    bars = BARS.copy()
    features = compute_features(bars, EVERY)
    features.iloc[:, 3:] = 0.0
    pd.testing.assert_frame_equal(bars, BARS)


@pytest.mark.parametrize("rows", [100, compute.PART_ROWS])
def test_symbols_do_not_see_each_other_except_in_comparisons(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in EVERY if parse(name).reference is None]
    dear = random_bars(("AMZN", "GOOG"), 130, seed=8)
    dear[["open", "high", "low", "close"]] *= 1e6
    bars = pd.concat([BARS, dear])
    monkeypatch.setattr(compute, "PART_ROWS", rows)
    together = compute_features(bars, names)
    for symbol, own in bars.groupby("symbol"):
        alone = compute_features(own, names)
        own_part = together[together["symbol"] == symbol].reset_index(drop=True)
        pd.testing.assert_frame_equal(own_part, alone, check_exact=True)


@pytest.mark.parametrize("name", [*EVERY, *COMPARED])
@pytest.mark.parametrize(("bar_size", "calendar"), [("1 day", "XNYS"), ("15 mins", "XNYS"), ("1 hour", "24/7")])
def test_a_tick_that_reads_the_warm_up_gives_what_the_whole_history_gives(
    name: str, bar_size: BarSize, calendar: str
) -> None:
    symbols = ("AAPL", "IBM", EXAMPLE_REFERENCE)
    bars = random_bars(symbols, warm_up([name]) + 130, seed=9, bar_size=bar_size, calendar=calendar)
    expected = compute_features(bars, [name]).groupby("symbol").tail(30)
    found = compute_features(newest(bars, warm_up([name]) + 29), [name]).groupby("symbol").tail(30)
    assert expected[name].notna().all()
    if name in COMPARED and "cut off" in parse(name).indicator.summary:
        # a mean of three and its deviation carry the rounding on
        np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-9)
    else:
        assert_same(found, expected, [name])


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    seed=st.integers(0, 2**31),
    halts=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 200)), max_size=3),
    jumps=st.lists(st.tuples(st.integers(1, 900), st.sampled_from([0.01, 0.5, 20.0])), max_size=2),
    sessions=st.integers(0, 1),
)
def test_halts_and_jumps_do_not_make_the_history_matter(
    seed: int, halts: list[tuple[int, int]], jumps: list[tuple[int, float]], sessions: int
) -> None:
    symbols, count = ("AAPL", EXAMPLE_REFERENCE), 900
    bars = random_bars(symbols, count, seed, bar_size="5 mins", calendar="24/7")
    prices = bars[["open", "high", "low", "close"]].to_numpy().reshape(2, count, 4)
    volume = bars["volume"].to_numpy().reshape(2, count)
    for at, factor in jumps:
        prices[:, at:] *= factor
    for at, length in halts:
        prices[:, at : at + length] = prices[:, at - 1, 3][:, None, None]
        volume[:, at : at + length] = 0.0
    bars[["open", "high", "low", "close"]] = prices.reshape(-1, 4)
    bars["volume"] = volume.ravel()
    whole = compute_features(bars, EVERY)
    part = compute_features(bars[bars["session"] > sorted(set(bars["session"]))[sessions]], EVERY)
    rows = len(part) // 2
    expected = whole.groupby("symbol").tail(rows).reset_index(drop=True)
    for name in EVERY:
        is_known = part[name].notna()
        least = rows - warm_up([name]) + 1 if not parse(name).indicator.is_session_anchored else rows - 288
        assert is_known.sum() >= 2 * least, name
        assert_same(part[is_known], expected[is_known], [name])


def test_pieces_of_a_long_history_are_computed_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = random_bars(("AAPL", EXAMPLE_REFERENCE), 5_000, seed=4, bar_size="1 min")
    whole = compute_features(bars, EVERY)
    monkeypatch.setattr(compute, "PART_ROWS", 700)
    pieces = compute_features(bars, EVERY)
    pd.testing.assert_frame_equal(whole.isna(), pieces.isna())
    assert_same(pieces.fillna(0.0), whole.fillna(0.0), EVERY)


def test_ranks_are_taken_among_the_symbols_that_have_a_value_at_the_time() -> None:
    young = BARS[(BARS["symbol"] != "FB") | (BARS["ts_utc"] >= BARS["ts_utc"].iloc[100])]
    features = compute_features(young, ["return_5", "rank_return_5"])
    by_symbol = features.pivot(index="ts_utc", columns="symbol", values="rank_return_5")
    assert by_symbol["FB"].first_valid_index() == by_symbol.index[105]
    assert set(by_symbol.iloc[50].dropna()) == {0.5, 1.0}
    assert set(np.round(by_symbol.iloc[-1], 3)) == {0.333, 0.667, 1.0}


def test_a_score_across_symbols_is_the_distance_from_their_mean_in_their_standard_deviations() -> None:
    features = compute_features(BARS, ["return_5", "cs_zscore_return_5"])
    last = features[features["ts_utc"] == features["ts_utc"].max()]
    values = last["return_5"].to_numpy()
    np.testing.assert_allclose(last["cs_zscore_return_5"], (values - values.mean()) / values.std(), rtol=1e-12)
    alone = compute_features(BARS[BARS["symbol"] == "FB"], ["cs_zscore_return_5"])["cs_zscore_return_5"]
    assert set(alone.dropna()) == {0.0}
    assert alone.isna().sum() == 5


def test_what_is_held_against_a_symbol_without_bars_has_no_value() -> None:
    features = compute_features(BARS, ["beta_60_QQQ", "beta_60_IBM"])
    assert features["beta_60_QQQ"].isna().all()
    own = features.loc[features["symbol"] == "IBM", "beta_60_IBM"].dropna()
    assert len(own) == 130
    np.testing.assert_allclose(own, 1.0, rtol=1e-12)
    assert reference_symbols(["beta_60_QQQ", "sma_20", "rank_beta_5_IBM"]) == {"QQQ", "IBM"}


def test_a_bar_that_the_reference_lacks_leaves_no_value_until_it_is_out_of_the_window() -> None:
    hole = BARS["ts_utc"].iloc[100]
    gapped = BARS[(BARS["symbol"] != "IBM") | (BARS["ts_utc"] != hole)]
    features = compute_features(gapped, ["correlation_20_IBM"])
    values = features.loc[features["symbol"] == "FB", "correlation_20_IBM"].to_numpy()
    assert np.flatnonzero(np.isnan(values)).tolist() == [*range(20), *range(100, 121)]


def test_a_symbol_with_too_little_history_has_no_value_and_harms_no_other() -> None:
    features = compute_features(real_daily_bars(), ["return_252", "ema_12"])
    last = features.groupby("symbol").tail(1).set_index("symbol")
    assert np.isnan(last.loc["FB", "return_252"])
    assert last.drop("FB")["return_252"].notna().all()
    assert last["ema_12"].notna().all()


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21])
def test_histories_of_any_length_are_taken(count: int) -> None:
    features = compute_features(random_bars(("AAPL", EXAMPLE_REFERENCE), count, seed=1), EVERY)
    for name in EVERY:
        assert features[name].notna().sum() == 2 * max(0, count - warm_up([name]) + 1), name


def test_an_empty_frame_gives_an_empty_frame_with_the_columns() -> None:
    features = compute_features(BARS.iloc[:0], [*EVERY, "rank_return_5"])
    assert features.empty
    assert list(features.columns)[-1] == "rank_return_5"
    assert compute_features(BARS, []).columns.tolist() == ["symbol", "session", "ts_utc", "close"]


def test_a_name_given_twice_gives_one_column() -> None:
    assert list(compute_features(BARS, ["sma_20", "sma_20"]).columns).count("sma_20") == 1


def test_what_is_not_validated_is_refused() -> None:
    with pytest.raises(ValueError, match="AAPL has two bars at"):
        compute_features(pd.concat([BARS, BARS.head(1)]), NAMES)
    with pytest.raises(ValueError, match="AAPL has a price or volume that is not finite at"):
        compute_features(BARS.assign(close=BARS["close"].where(BARS.index != 7)), NAMES)
    with pytest.raises(ValueError, match="names no symbol"):
        compute_features(BARS.assign(symbol=BARS["symbol"].where(BARS.index != 7)), NAMES)
    with pytest.raises(UnknownFeatureError, match="did you mean sma_20"):
        compute_features(BARS, ["smma_20"])
