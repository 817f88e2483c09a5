"""Splits and dividends under Dagster: learned from the broker, kept, shown, and taken out of the features."""

from __future__ import annotations

import pytest

from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import checks_of, failure_of, metadata_of

ACTIONS = ("market_data", "corporate_actions")
FEATURES = ("features", "daily_features")


def test_the_years_dividends_are_learned_shown_and_stay_when_learned_again(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("splits_and_dividends", session=None)
    assert result.success, failure_of(result)
    table = world.lake.read_table(ACTIONS)
    apple = table[table["symbol"] == "AAPL"]
    assert "2013-02-07" in set(apple["ex_session"])
    assert apple["value"].tolist() == pytest.approx([2.65] * len(apple), abs=0.15)
    assert checks_of(result, *ACTIONS)["every_symbol_compared"].passed
    assert metadata_of(result, *ACTIONS)["new"] == len(table)
    again = world.run("splits_and_dividends", session=None)
    assert metadata_of(again, *ACTIONS)["new"] == 0
    assert world.lake.read_table(ACTIONS)["first_seen_utc"].equals(table["first_seen_utc"])


def test_a_dividend_among_the_history_changes_the_features_and_not_the_close(own_world: MakeWorld) -> None:
    world = own_world()
    assert world.run("daily_bars").success
    before = world.table(*FEATURES).set_index("symbol")
    world.run("splits_and_dividends", session=None)
    assert world.run("daily_bars", assets=[FEATURES]).success
    after = world.table(*FEATURES).set_index("symbol")
    assert after["close"].equals(before["close"])
    # 63 sessions before 2013-02-28 Apple had still to pay: without the payment its return was lower than its owners'
    assert after.loc["AAPL", "return_63"] > before.loc["AAPL", "return_63"]
    assert after.loc["FB", "return_63"] == before.loc["FB", "return_63"]
