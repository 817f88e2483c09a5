"""Features, signals and the session's log under Dagster: ticks add up, nothing from the future, one MLflow run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pytest

from trading_platform.resources.mlflow_session import MlflowResource
from trading_platform.storage.mlflow_database import prepare_tracking_database
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import SESSION, World, failure_of, metadata_of

BARS = [("market_data", "tsla_raw_bars"), ("market_data", "tsla_validated_bars")]
FEATURES = ("features", "tsla_features")
SIGNALS = ("signals", "tsla_signals")
INTENTS = ("orders", "tsla_order_intents")
CHAIN = [*BARS, FEATURES, SIGNALS]


def ticks(world: World, session: str = SESSION) -> list[str]:
    return [tick.strftime("%H:%M") for tick in world.table(*SIGNALS, session=session)["tick_utc"].sort_values()]


def test_a_tick_adds_its_signals_to_the_session(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("tsla_agent", assets=CHAIN)
    first = world.table(*SIGNALS)
    world.clock.advance(timedelta(minutes=5))
    world.run("tsla_agent", assets=CHAIN)
    assert ticks(world) == ["20:45", "20:50"]
    kept = world.table(*SIGNALS).merge(first, how="inner")
    assert len(kept) == 1


def test_the_same_tick_again_replaces_its_signals(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("tsla_agent", assets=CHAIN)
    world.clock.advance(timedelta(minutes=2))
    world.run("tsla_agent", assets=CHAIN)
    assert ticks(world) == ["20:45"]
    assert set(world.table(*SIGNALS)["as_of_utc"]) == {pd.Timestamp("2013-02-28T20:47:00Z")}


def test_a_later_backfill_of_many_sessions_keeps_the_ticks_that_traded(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("tsla_agent", assets=CHAIN)
    world.clock.advance(timedelta(hours=1))
    result = world.run("tsla_agent", sessions=("2013-02-27", SESSION), assets=CHAIN, tags={"dagster/backfill": "x"})
    assert result.success, failure_of(result)
    assert ticks(world) == ["20:45", "20:55"]
    assert ticks(world, "2013-02-27") == ["20:55"]


def test_the_bar_in_progress_is_no_feature_of_an_intraday_strategy(own_world: MakeWorld) -> None:
    world = own_world()
    world.clock.advance(timedelta(minutes=3))
    world.run("tsla_agent", assets=CHAIN)
    assert world.table(*FEATURES)["ts_utc"].max() == pd.Timestamp("2013-02-28T20:40:00Z")
    signal = world.table(*SIGNALS).iloc[0]
    feature = world.table(*FEATURES).set_index("ts_utc").loc[pd.Timestamp("2013-02-28T20:40:00Z")]
    assert signal["price"] == feature["close"]


def test_signals_look_the_same_whatever_the_lake_knows_of_the_future(own_world: MakeWorld) -> None:
    """A past session decided now is decided by what was known at its close."""
    world = own_world()
    early = world.run("tsla_agent", "2013-02-27", assets=[FEATURES, SIGNALS])
    assert early.success, failure_of(early)
    known = world.table(*SIGNALS, session="2013-02-27")
    world.run("tsla_agent", assets=CHAIN)
    world.run("tsla_agent", sessions=("2013-02-27", SESSION), assets=[FEATURES, SIGNALS])
    pd.testing.assert_frame_equal(world.table(*SIGNALS, session="2013-02-27"), known)


def test_signals_without_their_features_fail_and_nothing_is_decided(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("tsla_agent", assets=[SIGNALS, INTENTS])
    assert not result.success
    assert "features/tsla_features holds nothing for 1 of the run's sessions (2013-02-28)" in failure_of(result)
    assert world.ledger.tick(world.settings.ibkr_account or "", "tsla", world.clock.now()) is None


def test_intents_on_the_signals_of_an_older_tick_decide_nothing(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("tsla_agent", assets=CHAIN)
    world.clock.advance(timedelta(minutes=5))
    result = world.run("tsla_agent", assets=[INTENTS])
    assert result.success
    assert metadata_of(result, *INTENTS)["outcome"] == "nothing decided: no signals of the tick 2013-02-28 20:50 UTC"
    whole = world.run("tsla_agent")
    assert str(metadata_of(whole, *INTENTS)["outcome"]).startswith("tick 2013-02-28 20:50 UTC decided")


def test_candles_show_the_decisions_and_where_the_prices_come_from(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("tsla_agent", assets=CHAIN)
    picture = str(metadata_of(result, *SIGNALS)["candles TSLA"])
    assert picture.startswith("![")
    assert "synthetic" in picture


class TestTheSessionsLog:
    LOG = ("research", "momentum_session_run")

    @pytest.fixture
    def mlflow(self, postgres_url_factory: Callable[..., str], own_world: MakeWorld) -> World:
        url = postgres_url_factory()
        prepare_tracking_database(url)
        world = own_world()
        place = str(world.home / "artifacts")
        world.mlflow = MlflowResource(tracking_uri=url, ui_url="http://localhost:5000", artifact_root=place)
        return world

    def test_a_session_is_one_mlflow_run_with_its_orders_and_a_link(self, mlflow: World) -> None:
        from mlflow import MlflowClient

        agent = mlflow.run("momentum_agent")
        result = mlflow.run("session_xnys_log", assets=[self.LOG])
        assert result.success, failure_of(result)
        said = metadata_of(result, *self.LOG)
        assert (said["signals"], said["orders"], said["filled_orders"]) == (5, 2, 2)
        assert said["mlflow_run"].startswith("http://localhost:5000/#/experiments/")
        again = metadata_of(mlflow.run("session_xnys_log", assets=[self.LOG]), *self.LOG)
        assert again["mlflow_run_id"] == said["mlflow_run_id"]
        run = MlflowClient(mlflow.mlflow.tracking_uri).get_run(said["mlflow_run_id"])
        assert run.data.params["lookback"] == "63"
        assert run.data.metrics["traded_notional_usd"] == pytest.approx(100_000, rel=0.01)
        assert run.data.tags["world"] == "as-of-2013-02-28"
        assert {name: run.data.metrics[name] for name in ("intents", "approved", "refused", "fills")} == {
            "intents": 2,
            "approved": 2,
            "refused": 0,
            "fills": 2,
        }
        assert run.data.metrics["commissions_usd"] > 0
        assert run.data.metrics["mean_slippage_bps"] == pytest.approx(
            run.data.metrics["slippage_usd"] / run.data.metrics["traded_notional_usd"] * 10_000
        )
        assert run.data.tags["decided_by_runs"] == run.data.tags["filled_by_runs"] == agent.run_id
        assert run.data.tags["signal_versions"].startswith(f"{agent.run_id}#")
        artifacts = {file.path for file in MlflowClient(mlflow.mlflow.tracking_uri).list_artifacts(run.info.run_id)}
        assert artifacts == {"signals.parquet", "orders.parquet", "fills.parquet", "risk_decisions.parquet"}
        assert said["orders_page"] == "/assets/orders/momentum_orders?view=partitions&partition=2013-02-28"

    def test_a_range_of_sessions_is_not_logged(self, own_world: MakeWorld) -> None:
        world = own_world()
        world.mlflow = MlflowResource(tracking_uri="http://127.0.0.1:9")  # nobody answers there, and nobody asks
        result = world.run("session_xnys_log", sessions=("2013-02-27", SESSION), assets=[self.LOG])
        assert metadata_of(result, *self.LOG)["outcome"] == "a ranged run is not logged"
