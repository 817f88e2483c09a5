"""The whole chain of a strategy under Dagster, at a moment that stands still: from raw bars to filled orders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.defs.orders.assets import newest_ended_bars
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.domain.signals.ticks import Decision, decision_at
from trading_platform.specs.configured import configured_specs
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.storage.ledger.builders import make_intent
from trading_platform_tests.world import (
    ACCOUNT,
    SESSION,
    World,
    checks_of,
    copy_of,
    failure_of,
    metadata_of,
    world_at,
)

TICK = datetime(2013, 2, 28, 14, 30, tzinfo=timezone.utc)
ORDERS = ("orders", "momentum_orders")
INTENTS = ("orders", "momentum_order_intents")
BARS = [("market_data", "daily_raw_bars"), ("market_data", "daily_validated_bars")]
Traded = tuple[World, dg.ExecuteInProcessResult]


def outcome(result: dg.ExecuteInProcessResult, *key: str) -> str:
    return str(metadata_of(result, *key)["outcome"])


def test_an_agents_tick_leads_from_raw_bars_to_filled_orders(traded: Traded) -> None:
    world, result = traded
    assert metadata_of(result, *ORDERS)["new_orders"] == 2
    orders = world.table(*ORDERS)
    assert list(orders["status"]) == ["filled", "filled"]
    assert (orders["filled_quantity"] == orders["quantity"]).all()
    executions = world.lake.read_table(("orders", "executions"))
    assert set(executions["client_order_id"]) == set(orders["client_order_id"])
    positions = world.lake.read_table(("portfolio", "positions"))
    assert dict(zip(positions["symbol"], positions["quantity"], strict=True)) == dict(
        zip(orders["symbol"], orders["filled_quantity"], strict=True)
    )
    assert world.lake.read_table(("portfolio", "performance"))["equity_usd"].iloc[-1] == pytest.approx(1e6, rel=0.01)


def test_every_check_of_the_chain_passes(traded: Traded) -> None:
    _, result = traded
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) > 12
    assert [(e.asset_key.to_user_string(), e.check_name) for e in evaluations if not e.passed] == []


def test_a_fill_can_be_traced_back_to_its_raw_bars(traded: Traded) -> None:
    world, _ = traded
    fill = world.lake.read_table(("orders", "executions")).iloc[0]
    order = world.table(*ORDERS).set_index("client_order_id").loc[fill["client_order_id"]]
    intent = world.table(*INTENTS).set_index("client_order_id").loc[fill["client_order_id"]]
    signals = world.table("signals", "momentum_signals").set_index("symbol")
    features = world.table("features", "daily_features").set_index("symbol")
    bars = world.table("market_data", "daily_validated_bars").set_index("symbol")
    raw = world.table("market_data", "daily_raw_bars").set_index("symbol")
    symbol = fill["symbol"]
    assert intent["is_approved"]
    assert intent["tick_utc"] == order["tick_utc"] == signals.loc[symbol, "tick_utc"] == pd.Timestamp(TICK)
    assert signals.loc[symbol, "side"] == "LONG"
    assert signals.loc[symbol, "price"] == features.loc[symbol, "close"] == bars.loc[symbol, "close"]
    assert raw.loc[symbol, "close"] == bars.loc[symbol, "close"]
    assert intent["decision_price_usd"] == signals.loc[symbol, "price"]


def test_materializations_tell_rows_symbols_and_time_span(traded: Traded) -> None:
    _, result = traded
    bars = metadata_of(result, "market_data", "daily_validated_bars")
    assert (bars["rows"], bars["symbols"], bars["quarantined"]) == (5, 5, 0)
    assert bars["first_ts_utc"].startswith(SESSION)
    assert metadata_of(result, "market_data", "daily_raw_bars")["sources"]
    signals = metadata_of(result, "signals", "momentum_signals")
    assert (signals["long"], signals["flat"]) == (2, 3)
    assert len([name for name in signals if name.startswith("candles ")]) == 2
    assert metadata_of(result, "portfolio", "positions")["gross_exposure_usd"] > 0
    assert metadata_of(result, "portfolio", "performance")["equity_usd"] > 0


def test_the_same_tick_executed_again_places_nothing_and_says_why(own_world: MakeWorld) -> None:
    world = own_world()
    assert metadata_of(world.run("momentum_agent"), *ORDERS)["new_orders"] == 2
    world.clock.advance(timedelta(minutes=3))
    again = world.run("momentum_agent")
    assert again.success
    assert metadata_of(again, *ORDERS)["new_orders"] == 0
    assert "2 already placed" in outcome(again, *ORDERS)
    assert "an earlier run of the same tick placed it" in outcome(again, *ORDERS)
    assert "was decided at 20:45:00 UTC already" in outcome(again, *INTENTS)
    assert metadata_of(again, *INTENTS)["approved"] == 2
    assert world.orders_at_broker() == 2


def test_two_runs_of_the_same_tick_at_once_place_one_set_of_orders(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("daily_bars")
    runs: list[dg.ExecuteInProcessResult] = []
    gate = threading.Barrier(2)

    def execute() -> None:
        mine = World(world.home, world.clock, world.gateway, world.settings, world.ledger_url)
        gate.wait()
        runs.append(mine.run("momentum_agent"))
        mine.ledger.close()

    threads = [threading.Thread(target=execute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [failure_of(run) for run in runs if not run.success] == []
    assert sum(metadata_of(run, *ORDERS)["new_orders"] for run in runs) == 2
    assert world.orders_at_broker() == 2
    held = {position.symbol: position.quantity for position in world.ledger.latest_positions(ACCOUNT)}
    assert held == world.ledger.strategy_position(ACCOUNT, "momentum")


def test_intraday_agents_decide_every_tick_anew(own_world: MakeWorld) -> None:
    world = own_world()
    first = world.run("tsla_agent")
    assert outcome(first, "orders", "tsla_order_intents").startswith("tick 2013-02-28 20:45 UTC decided")
    world.clock.advance(timedelta(minutes=5))
    second = world.run("tsla_agent")
    assert outcome(second, "orders", "tsla_order_intents").startswith("tick 2013-02-28 20:50 UTC decided")
    ticks = world.table("signals", "tsla_signals")["tick_utc"]
    assert [tick.strftime("%H:%M") for tick in ticks] == ["20:45", "20:50"] or len(set(ticks)) == 2


def test_the_market_that_never_closes_trades_on_its_own_calendar(own_world: MakeWorld) -> None:
    result = own_world().run("btc_agent")
    assert result.success
    assert outcome(result, "orders", "btc_order_intents").startswith("tick 2013-02-28 20:00 UTC decided")


class TestRefusals:
    """Runs that may not trade: nothing is sent, the reason is shown, the run succeeds."""

    @pytest.fixture(scope="class")
    def world(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        postgres_url_factory: Callable[..., str],
        migrated_url: str,
        world: World,
    ) -> Iterator[World]:
        home = tmp_path_factory.mktemp("refusals")
        with copy_of(world, home, postgres_url_factory(template=migrated_url)) as made:
            yield made

    def assert_nothing_sent(self, world: World, result: dg.ExecuteInProcessResult, *reasons: str) -> None:
        assert result.success, failure_of(result)
        said = metadata_of(result, *ORDERS)
        assert said["new_orders"] == 0
        for reason in reasons:
            assert any(reason in refusal for refusal in said["refusals"]), said["refusals"]
            assert reason in said["outcome"]
            assert reason in outcome(result, *INTENTS)
        assert world.orders_at_broker() == 0
        assert world.ledger.orders(ACCOUNT) == []

    def test_a_backfill_of_today(self, world: World) -> None:
        result = world.run("momentum_agent", tags={"dagster/backfill": "abcdefgh"})
        self.assert_nothing_sent(world, result, "belongs to backfill abcdefgh: backfills place no orders")

    def test_a_backfill_of_a_range_with_everything_selected(self, world: World) -> None:
        result = world.run("momentum_agent", sessions=("2013-02-20", SESSION), tags={"dagster/backfill": "abcdefgh"})
        self.assert_nothing_sent(world, result, "belongs to backfill abcdefgh", "the run covers 7 sessions")
        assert metadata_of(result, "orders", "executions")["rows"] == 0

    def test_a_past_session(self, world: World) -> None:
        result = world.run("momentum_agent", "2013-02-27")
        self.assert_nothing_sent(world, result, "session 2013-02-27 is not the current one, 2013-02-28")

    def test_a_range_of_sessions_that_ends_today(self, world: World) -> None:
        result = world.run("momentum_agent", sessions=("2013-02-27", SESSION))
        self.assert_nothing_sent(world, result, "the run covers 2 sessions")

    def test_read_only(self, world: World) -> None:
        result = world.with_settings(read_only=True).run("momentum_agent")
        self.assert_nothing_sent(world, result, "TRADING_PLATFORM_READ_ONLY")

    def test_an_account_that_the_settings_do_not_name(self, world: World) -> None:
        result = world.with_settings(ibkr_account="DU7").run("momentum_agent")
        assert not result.success
        assert "DU7" in failure_of(result)
        assert world.orders_at_broker() == 0

    def test_orders_alone_without_a_decision(self, world: World) -> None:
        result = world.run("momentum_agent", assets=[ORDERS])
        assert result.success
        assert metadata_of(result, *ORDERS)["refusals"] == ["the tick 2013-02-28 14:30 UTC has not been decided"]
        assert world.orders_at_broker() == 0


def test_a_closed_market_is_sent_nothing(own_world: MakeWorld) -> None:
    world = own_world()
    world.clock.advance(timedelta(minutes=20))
    result = world.run("momentum_agent")
    assert result.success
    assert metadata_of(result, *ORDERS)["refusals"] == ["the market is closed at 2013-02-28 21:05 UTC"]
    assert "the market is closed" in outcome(result, *INTENTS)
    assert world.orders_at_broker() == 0


def test_a_session_that_has_not_opened_yet_is_empty_and_green(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("tsla_agent", "2013-03-01")
    assert result.success, failure_of(result)
    assert metadata_of(result, "market_data", "tsla_raw_bars")["rows"] == 0
    assert metadata_of(result, "signals", "tsla_signals")["skipped_sessions"] == 1
    assert metadata_of(result, "orders", "tsla_orders")["new_orders"] == 0


def test_stale_prices_are_not_traded_on(own_world: MakeWorld) -> None:
    """The platform's clock runs ahead of the gateway's: quotes look old to it."""
    world = own_world()
    world.clock = ManualClock(world.clock.now() + timedelta(minutes=5))
    result = world.run("momentum_agent")
    assert result.success, failure_of(result)
    assert metadata_of(result, *INTENTS)["approved"] == 0
    assert world.table(*INTENTS)["reasons"].str.contains("s old, limit 120 s").all()
    assert metadata_of(result, *ORDERS)["new_orders"] == 0
    assert world.orders_at_broker() == 0


def test_a_halt_rejects_every_new_order_and_is_named(own_world: MakeWorld) -> None:
    world = own_world()
    world.ledger.halt(ACCOUNT, reason="losses look odd", who="me", at=world.clock.now())
    result = world.run("momentum_agent")
    assert result.success
    assert metadata_of(result, *INTENTS)["approved"] == 0
    assert world.table(*INTENTS)["reasons"].str.contains("losses look odd").all()
    assert world.orders_at_broker() == 0


def test_a_halt_after_the_decision_stops_the_orders_at_the_door(own_world: MakeWorld) -> None:
    world = own_world()
    chain = [*BARS, ("features", "daily_features"), ("signals", "momentum_signals"), INTENTS]
    decided = world.run("momentum_agent", assets=chain)
    assert metadata_of(decided, *INTENTS)["approved"] == 2
    halt = world.ledger.halt(ACCOUNT, reason="stop", who="me", at=world.clock.now())
    sent = world.run("momentum_agent", assets=[ORDERS])
    assert sent.success
    assert metadata_of(sent, *ORDERS)["new_orders"] == 0
    assert "2 refused" in outcome(sent, *ORDERS)
    assert "stop" in outcome(sent, *ORDERS)
    assert world.orders_at_broker() == 0
    world.ledger.clear_halt(halt.halt_id, reason="all clear", who="me", at=world.clock.now())
    assert metadata_of(world.run("momentum_agent", assets=[ORDERS]), *ORDERS)["new_orders"] == 2


class TestBackfill:
    """A year of sessions in one ranged run, as the UI's backfill starts it."""

    @pytest.fixture(scope="class")
    def backfilled(
        self, tmp_path_factory: pytest.TempPathFactory, postgres_url_factory: Callable[..., str], migrated_url: str
    ) -> Iterator[tuple[World, dg.ExecuteInProcessResult]]:
        home = tmp_path_factory.mktemp("backfill")
        with world_at(home, postgres_url_factory(template=migrated_url)) as world:
            bars_and_features = [*BARS, ("features", "daily_features")]
            tags = {"dagster/backfill": "year"}
            yield world, world.run("daily_bars", sessions=("2012-03-01", SESSION), assets=bars_and_features, tags=tags)

    def test_validated_bars_and_features_are_green_in_one_run(self, backfilled: Traded) -> None:
        world, result = backfilled
        assert result.success, failure_of(result)
        checks = result.get_asset_check_evaluations()
        assert all(check.passed for check in checks)
        (complete,) = [check for check in checks if check.check_name == "no_bars_missing"]
        (unlisted,) = complete.metadata["not_listed"].records
        assert unlisted.data == {"symbol": "FB", "count": 55, "min": "2012-03-01", "max": "2012-05-17"}
        for table in (("market_data", "daily_validated_bars"), ("features", "daily_features")):
            sessions = world.lake.stored_sessions(table)
            assert (len(sessions), sessions[0], sessions[-1]) == (250, "2012-03-01", SESSION)

    def test_every_session_is_materialized_with_its_own_rows(self, backfilled: Traded) -> None:
        _, result = backfilled
        key = dg.AssetKey(["market_data", "daily_validated_bars"])
        events = [event for event in result.all_events if event.is_step_materialization and event.asset_key == key]
        rows = {
            event.partition: event.step_materialization_data.materialization.metadata["rows"].value for event in events
        }
        assert len(rows) == 250
        assert rows["2012-03-01"] == 4  # FB was not listed yet
        assert rows[SESSION] == 5

    def test_a_single_session_reads_the_sessions_before_it(self, backfilled: Traded) -> None:
        world, _ = backfilled
        alone = world.run("daily_bars", "2013-02-27", assets=[("features", "daily_features")])
        assert alone.success
        assert metadata_of(alone, "features", "daily_features")["warm_rows"] == 5

    def test_signals_of_past_sessions_are_those_of_their_close(self, backfilled: Traded) -> None:
        world, _ = backfilled
        signals = ("signals", "momentum_signals")
        assert world.run("momentum_agent", sessions=("2013-02-26", SESSION), assets=[signals]).success
        past = world.table(*signals, session="2013-02-27")
        assert set(past["as_of_utc"]) == {pd.Timestamp("2013-02-27T21:00:00Z")}
        assert len(past) == 5
        today = world.table(*signals)
        assert set(today["as_of_utc"]) == {pd.Timestamp("2013-02-28T20:45:00Z")}


def test_features_without_their_bars_fail_and_say_what_to_do(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("daily_bars", "2012-06-01", assets=[("features", "daily_features")])
    assert not result.success
    assert "market_data/daily_validated_bars holds nothing for 1 of the run's sessions (2012-06-01)" in failure_of(
        result
    )
    assert "2012-06-01" not in world.lake.stored_sessions(("features", "daily_features"))


def test_fills_placed_by_hand_are_in_the_tables_without_a_strategy(own_world: MakeWorld) -> None:
    world = own_world()
    _buy_by_hand(world)
    result = world.run("account", None)
    assert checks_of(result, "orders", "executions")["broker_and_ledger_agree"].passed
    assert checks_of(result, "portfolio", "positions")["ledger_agrees_with_broker"].passed
    assert list(world.lake.read_table(("orders", "executions"))["strategy"]) == [""]


def test_checks_turn_red_when_ledger_and_broker_differ(own_world: MakeWorld) -> None:
    """Fills of yesterday that the ledger never heard of: the broker lists today's only."""
    world = own_world()
    _buy_by_hand(world)
    world.clock.set(datetime(2013, 3, 1, 15, 0, tzinfo=timezone.utc))
    result = world.run("account", None)
    assert result.success
    reconciled = checks_of(result, "orders", "executions")["broker_and_ledger_agree"]
    assert not reconciled.passed
    assert reconciled.metadata["problems"].value == ["position IBM: 0 by the ledger's fills, 10 at the broker"]
    differing = checks_of(result, "portfolio", "positions")["ledger_agrees_with_broker"]
    assert not differing.passed
    (row,) = differing.metadata["differences"].records
    assert (row.data["symbol"], row.data["quantity"], row.data["ledger_quantity"]) == ("IBM", 10.0, 0.0)


def _buy_by_hand(world: World) -> None:
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=77)) as stranger:
        request = replace(make_intent("IBM").request, client_order_id="by hand")
        stranger.place_order(Instrument("IBM"), request)
        world.gateway.step_now()
        assert [position.symbol for position in stranger.positions()] == ["IBM"]


SIZED = """
name: momentum
strategy: cross_sectional_momentum
description: Momentum that is held the less the more it moves.
universe: [AAPL, FB, GOOG, IBM, MSFT]
bar_size: 1 day
history_sessions: 70
parameters: {lookback: 63, skip: 5, top_n: 2}
sizing: {method: volatility_target, target_volatility: 0.05, volatility_feature: volatility_60}
"""


def test_sizing_reads_a_feature_that_is_computed_for_it_and_the_order_is_cut_to_the_limit(
    own_world: MakeWorld, tmp_path: Path
) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "momentum.yaml").write_text(SIZED)
    (specs / "risk.yaml").write_text("account: {max_order_quantity: 20}\n")
    world = own_world(strategies=specs)
    result = world.run("momentum_agent")
    assert result.success
    features = world.table("features", "daily_features").set_index("symbol")["volatility_60"]
    signals = world.table("signals", "momentum_signals").set_index("symbol")
    assert signals["volatility"].notna().all()
    assert dict(signals["volatility"]) == dict(features.loc[signals.index])
    intents = world.table(*INTENTS).set_index("symbol")
    assert len(intents) == 2
    for symbol, intent in intents.iterrows():
        signal = signals.loc[symbol]
        invested = min(1e6 * 0.05 / (signal["volatility"] * 252**0.5), 1e6 * 0.10)
        assert intent["wanted_quantity"] == int(signal["target_weight"] * invested / signal["price"])
        assert intent["quantity"] == min(intent["wanted_quantity"], 20)
    assert set(intents.loc[intents["wanted_quantity"] > 20, "cut_by"]) == {"MaxOrderQuantity"}
    assert list(world.table(*ORDERS)["status"]) == ["filled", "filled"]


@pytest.mark.parametrize("name", ["tsla", "btc"])
def test_after_a_tick_s_bars_were_fetched_the_bar_that_is_due_is_there(own_world: MakeWorld, name: str) -> None:
    world = own_world()
    assert world.run(f"{name}_agent").success
    (spec,) = [spec for spec in configured_specs(world.settings) if spec.name == name]
    decision = decision_at(spec, get_calendar(spec.calendar), world.clock.now())
    assert isinstance(decision, Decision)
    newest = newest_ended_bars(world.lake_resource, spec, [decision.session])
    due = due_bars(spec, newest, tick_utc=decision.tick_utc, as_of_utc=decision.as_of_utc)
    assert due is not None
    assert set(newest) == set(spec.universe)
    assert all(start >= due.due_utc for start in newest.values())
    codes = {code for stored in world.ledger.risk_decisions(ACCOUNT) for code in stored.decision.reason_codes}
    assert "FreshBars" not in codes
