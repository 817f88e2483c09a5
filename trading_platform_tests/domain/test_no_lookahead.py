"""Nothing from the future: what is said at a time is the same whatever comes after it.

Covers every indicator of the registry, its comparisons across symbols, every strategy and every shipped spec;
adding one adds its test.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.features import compute, registry
from trading_platform.domain.features.arrays import BarArrays
from trading_platform.domain.features.compute import compute_features, warm_up
from trading_platform.domain.features.registry import CROSS_SECTIONS, EXAMPLE_REFERENCE, Indicator, indicators
from trading_platform.domain.signals.loading import build_strategy, known_strategies, strategy_class
from trading_platform.domain.signals.model import Signal, Strategy
from trading_platform.domain.signals.strategies.cross_sectional_momentum import CrossSectionalMomentum
from trading_platform.specs.loader import load_strategy_specs
from trading_platform_tests.domain.bars import random_bars

SYMBOLS = ("AAPL", "FB", EXAMPLE_REFERENCE)
FUTURES = st.sampled_from(["cut off", "changed", "shuffled", "flat", "doubled"])
FEATURES = [entry.example_name for entry in indicators().values()]
COMPARED = [f"{prefix}{name}" for prefix in CROSS_SECTIONS for name in FEATURES]
STRATEGIES = [pytest.param(strategy_class(name)(), id=name) for name in known_strategies()]
SHIPPED = [pytest.param(build_strategy(spec), id=f"spec-{spec.name}") for spec in load_strategy_specs()]


def with_other_future(bars: pd.DataFrame, now: datetime, future: str, seed: int) -> pd.DataFrame:
    """``bars`` up to and including ``now``, and after it something else."""
    past, later = bars[bars["ts_utc"] <= now], bars[bars["ts_utc"] > now]
    rng = np.random.default_rng(seed)
    prices = ["open", "high", "low", "close"]
    if future == "cut off":
        return past
    if future == "changed":
        factor = rng.uniform(0.1, 10, len(later))
        later = later.assign(**{name: later[name] * factor for name in prices}, volume=factor * 1000)
    elif future == "shuffled":
        values = [*prices, "volume"]
        later = later.assign(**dict(zip(values, later[values].to_numpy()[rng.permutation(len(later))].T, strict=True)))
    elif future == "flat":
        later = later.assign(**dict.fromkeys(prices, 1.0), volume=0.0)
    else:
        more = later.assign(symbol=later["symbol"] + "2")
        later = pd.concat([later, more])
    return pd.concat([past, later]).sample(frac=1, random_state=seed)


def check_features(names: list[str], seed: int, extra: int, future: str) -> None:
    """Values up to a moment are the same with another future, to the last bit."""
    warm = warm_up(names)
    bars = random_bars(SYMBOLS, warm + 50, seed, bar_size="15 mins")
    now = sorted(bars["ts_utc"].unique())[warm - 1 + extra]
    whole = compute_features(bars, names)
    other = compute_features(with_other_future(bars, now, future, seed), names)
    expected = whole[whole["ts_utc"] <= now].reset_index(drop=True)
    assert expected[names].notna().any().all()
    pd.testing.assert_frame_equal(other[other["ts_utc"] <= now].reset_index(drop=True), expected, check_exact=True)


def check_strategy(strategy: Strategy, seed: int, extra: int, future: str) -> None:
    """Signals at a moment are the same with another future."""
    warm = warm_up(strategy.features)
    bars = random_bars(SYMBOLS, warm + 30, seed, bar_size="15 mins")
    moments = sorted(bars["ts_utc"].unique())
    now, as_of = moments[warm - 1 + extra], moments[warm + extra].to_pydatetime()
    past = compute_features(bars[bars["ts_utc"] <= now], strategy.features)
    expected = strategy.signals(past, as_of=as_of)
    assert [signal.symbol for signal in expected] == list(SYMBOLS)
    other = compute_features(with_other_future(bars, now, future, seed), strategy.features)
    assert strategy.signals(other, as_of=as_of) == expected
    assert strategy.signals(other.sample(frac=1, random_state=seed), as_of=as_of) == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), extra=st.integers(0, 40), future=FUTURES)
def test_no_feature_changes_with_what_comes_after(seed: int, extra: int, future: str) -> None:
    check_features(FEATURES, seed, extra, future)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), extra=st.integers(0, 40), future=FUTURES)
def test_no_comparison_across_symbols_changes_with_what_comes_after(seed: int, extra: int, future: str) -> None:
    check_features(COMPARED, seed, extra, future)


@pytest.mark.parametrize("strategy", STRATEGIES + SHIPPED)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), extra=st.integers(0, 20), future=FUTURES)
def test_a_strategy_does_not_change_its_mind_with_what_comes_after(
    strategy: Strategy, seed: int, extra: int, future: str
) -> None:
    check_strategy(strategy, seed, extra, future)


@pytest.mark.parametrize("future", ["cut off", "changed", "shuffled", "flat"])
def test_a_feature_that_looks_ahead_is_convicted(future: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def tomorrow(bars: BarArrays) -> np.ndarray:
        return np.append(bars.close[1:], bars.close[-1])

    peek = Indicator("peek", tomorrow, (), (), 1, "price", lambda: 1)
    monkeypatch.setitem(registry._INDICATORS, "peek", peek)
    try:
        with pytest.raises(AssertionError):
            check_features([*FEATURES, "peek"], seed=1, extra=5, future=future)
    finally:
        registry.parse.cache_clear()


@pytest.mark.parametrize("future", ["changed", "flat"])
def test_a_strategy_that_looks_ahead_is_convicted(future: str) -> None:
    class Peeking(CrossSectionalMomentum):
        def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
            return super().signals(features, as_of=as_of + timedelta(hours=1))

    with pytest.raises(AssertionError):
        check_strategy(Peeking(), seed=1, extra=3, future=future)


@pytest.mark.parametrize("rows", [1_000, compute.PART_ROWS])
def test_long_histories_are_cut_off_without_a_trace(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "PART_ROWS", rows)
    bars = random_bars(("AAPL", EXAMPLE_REFERENCE), 9_000, seed=2, bar_size="5 mins", calendar="24/7")
    now = bars["ts_utc"].iloc[4_321]
    whole = compute_features(bars, FEATURES)
    cut = compute_features(bars[bars["ts_utc"] <= now], FEATURES)
    pd.testing.assert_frame_equal(whole[whole["ts_utc"] <= now].reset_index(drop=True), cut, check_exact=True)
