"""A spec finds its class, and what does not fit is named."""

from __future__ import annotations

from typing import Any

import pytest

from trading_platform.domain.signals.loading import (
    StrategyError,
    build_strategy,
    features_of,
    known_strategies,
    load_strategy,
    required_bars,
    strategy_class,
)
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.strategies.cross_sectional_momentum import CrossSectionalMomentum


def spec(**changes: Any) -> StrategySpec:
    fields = {
        "name": "momentum",
        "strategy": "cross_sectional_momentum",
        "description": "test",
        "universe": ("AAPL", "IBM"),
        "bar_size": "1 day",
        "history_sessions": 70,
    }
    return StrategySpec.model_validate(fields | changes)


def test_the_parameters_of_the_spec_reach_the_class() -> None:
    strategy = load_strategy(spec(parameters={"lookback": 21, "skip": 0}))
    assert strategy == CrossSectionalMomentum(lookback=21, skip=0)
    assert list(strategy.features) == ["return_21", "volatility_20"]


def test_the_bars_a_strategy_needs_follow_from_its_features() -> None:
    assert required_bars(spec()) == 64
    assert required_bars(spec(parameters={"lookback": 10})) == 21


def test_the_shipped_strategies_are_known_and_can_be_constructed_without_parameters() -> None:
    assert set(known_strategies()) >= {"cross_sectional_momentum", "crypto_trend", "trend_momentum"}
    for name in known_strategies():
        strategy_class(name)()


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"strategy": "trend_momentun"}, "strategy", r"no strategy 'trend_momentun' \(did you mean trend_momentum\?\)"),
        ({"strategy": "zzz"}, "strategy", "known: .*cross_sectional_momentum.*trend_momentum"),
        ({"strategy": "../x"}, "strategy", "no strategy"),
        ({"parameters": {"lokback": 5}}, "parameters.lokback", r"no parameter 'lokback' \(did you mean lookback\?\)"),
        ({"parameters": {"zzz": 5}}, "parameters.zzz", "it has lookback, skip, top_n"),
        ({"parameters": {"lookback": 5.5}}, "parameters.lookback", "must be a whole number, not 5.5"),
        ({"parameters": {"lookback": True}}, "parameters.lookback", "must be a whole number, not True"),
        ({"parameters": {"min_momentum": "high"}}, "parameters.min_momentum", "must be a number, not 'high'"),
        ({"parameters": {"lookback": 3}}, "parameters", r"lookback \(3\) must be longer than skip \(5\)"),
        ({"history_sessions": 60}, "history_sessions", "needs 64 bars of 1 day .* set history_sessions to 64 or more"),
    ],
)
def test_a_spec_that_does_not_fit_is_told_what_would(changes: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(StrategyError, match=message) as caught:
        load_strategy(spec(**changes))
    assert caught.value.key == key


def test_a_whole_number_is_good_where_a_number_is_asked_for() -> None:
    assert build_strategy(spec(parameters={"min_momentum": 0})) == CrossSectionalMomentum(min_momentum=0)


def test_intraday_history_is_counted_in_bars() -> None:
    intraday = {"strategy": "trend_momentum", "bar_size": "15 mins", "cadence_minutes": 15}
    load_strategy(spec(**intraday, history_sessions=7))
    with pytest.raises(StrategyError, match="set history_sessions to 7 or more"):
        load_strategy(spec(**intraday, history_sessions=6))


def test_what_sizing_reads_is_computed_too_and_counts_for_the_history() -> None:
    sized = spec(
        sizing={"method": "volatility_target", "target_volatility": 0.1, "volatility_feature": "volatility_90"}
    )
    assert features_of(sized) == ("return_5", "return_63", "volatility_20", "volatility_90")
    assert required_bars(sized) == 91
    with pytest.raises(StrategyError, match=r"needs 91 bars of 1 day .* set history_sessions to 91 or more"):
        load_strategy(sized)
    assert features_of(spec(sizing={"method": "atr_risk", "risk_fraction": 0.01}))[0] == "atr_14"


def test_a_symbol_that_a_feature_is_held_against_must_be_in_the_universe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossSectionalMomentum, "features", ("return_63", "beta_20_SPY"))
    with pytest.raises(StrategyError, match="held against SPY: add it to the universe") as caught:
        load_strategy(spec())
    assert caught.value.key == "universe"
    assert load_strategy(spec(universe=["AAPL", "SPY"])).features == ("return_63", "beta_20_SPY")
