"""Splits and dividends under Dagster: learned from the broker, kept, shown, and taken out of the features."""

from __future__ import annotations

import pandas as pd
import pytest

from trading_platform.schemas.base import validate
from trading_platform.schemas.market_data import CorporateActions
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import SESSION, checks_of, failure_of, metadata_of

ACTIONS = ("market_data", "corporate_actions")
RAW = ("market_data", "daily_raw_bars")
VALID = ("market_data", "daily_validated_bars")
LOG = ("market_data", "daily_quarantined_bars")
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


def test_a_split_that_is_known_explains_its_jump_and_one_that_is_not_is_held(own_world: MakeWorld) -> None:
    world = own_world()
    assert world.run("daily_bars", assets=[RAW]).success
    raw = world.table(*RAW)
    prices = ["open", "high", "low", "close"]
    raw.loc[raw["symbol"] == "IBM", prices] /= 2
    world.lake.write_sessions(RAW, raw, [SESSION])
    assert world.run("daily_bars", assets=[VALID, LOG]).success
    held = world.table(*LOG)
    assert held[["symbol", "reason", "action"]].to_numpy().tolist() == [["IBM", "split_like_jump", "held"]]
    stamp = pd.Timestamp(world.clock.now())
    row = {"symbol": "IBM", "ex_session": SESSION, "kind": "split", "value": 2.0, "source": "test"}
    known = pd.DataFrame([{**row, "first_seen_utc": stamp, "last_confirmed_utc": stamp}])
    world.lake.write_table(ACTIONS, validate(CorporateActions, known))
    assert world.run("daily_bars", assets=[VALID, LOG]).success
    assert world.table(*LOG).empty
    assert "IBM" in set(world.table(*VALID)["symbol"])
