"""A new agent is one YAML file, and one class file if its logic is new. No other edit."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.signals import strategies
from trading_platform.domain.signals.loading import known_strategies, load_strategy
from trading_platform.specs.loader import SpecError, load_strategy_specs
from trading_platform_tests.domain.bars import random_bars

SPEC = """
name: spy_dip
strategy: {strategy}
description: Buys dips of the index.
universe: [SPY]
bar_size: 5 mins
cadence_minutes: 10
history_sessions: 3
parameters: {parameters}
"""

CLASS = """
from dataclasses import dataclass

from trading_platform.domain.signals.latest import latest_rows
from trading_platform.domain.signals.model import Signal


@dataclass(frozen=True)
class BuyTheDip:
    dip: float = 1.0

    @property
    def features(self):
        return ("zscore_20",)

    def signals(self, features, *, as_of):
        return [
            Signal(row["symbol"], "LONG", 1.0, 0.6, row["close"], "a dip")
            if row["zscore_20"] < -self.dip
            else Signal(row["symbol"], "FLAT", 0.0, 0.5, row["close"], "no dip")
            for row in latest_rows(features, self.features, as_of)
        ]


STRATEGY = BuyTheDip
"""


def test_one_file_with_known_logic_is_a_new_agent(tmp_path: Path) -> None:
    (tmp_path / "spy.yaml").write_text(SPEC.format(strategy="trend_momentum", parameters="{fast: 5}"))
    (spec,) = load_strategy_specs(tmp_path)
    assert "ema_5" in load_strategy(spec).features
    assert [feed.name for feed in feeds_of([spec], ())] == ["spy_dip"]


def test_one_spec_and_one_class_file_are_a_new_agent_with_new_logic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, specs = tmp_path / "classes", tmp_path / "specs"
    classes.mkdir()
    specs.mkdir()
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(classes)])
    (specs / "spy.yaml").write_text(SPEC.format(strategy="buy_the_dip", parameters="{dip: -10}"))
    with pytest.raises(SpecError, match="no strategy 'buy_the_dip'"):
        load_strategy_specs(specs)

    (classes / "buy_the_dip.py").write_text(CLASS)
    (spec,) = load_strategy_specs(specs)
    assert "buy_the_dip" in known_strategies()
    strategy = load_strategy(spec)
    bars = random_bars(("SPY",), 100, seed=1, bar_size="5 mins")
    features = compute_features(bars, strategy.features)
    (signal,) = strategy.signals(features, as_of=datetime(2020, 1, 1, tzinfo=timezone.utc))
    assert (signal.symbol, signal.side) == ("SPY", "LONG")


def test_a_class_file_that_exports_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    (tmp_path / "nothing_here.py").write_text("X = 1\n")
    (tmp_path / "spy.yaml").write_text(SPEC.format(strategy="nothing_here", parameters="{}"))
    with pytest.raises(SpecError, match="must export its dataclass as STRATEGY"):
        load_strategy_specs(tmp_path)
