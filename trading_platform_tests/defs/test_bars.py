"""Bars under Dagster: what is wrong is set aside with its reason, shown, and never traded on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading_platform.domain.market_data.validation import BarDecision
from trading_platform.storage.bar_decisions import BarDecisions
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import SESSION, World, checks_of, copy_of, failure_of, metadata_of

RAW = ("market_data", "daily_raw_bars")
VALID = ("market_data", "daily_validated_bars")
BAD = ("market_data", "daily_quarantined_bars")
FEATURES = ("features", "daily_features")
SIGNALS = ("signals", "momentum_signals")
INTENTS = ("orders", "momentum_order_intents")
ORDERS = ("orders", "momentum_orders")
SPEC = """
name: momentum
strategy: cross_sectional_momentum
description: Holds the strongest.
universe: [AAPL, IBM, NOPE]
bar_size: 1 day
history_sessions: 21
parameters: {lookback: 2, skip: 0, top_n: 1}
"""
UNIVERSE = """
instruments: {AAPL: {}, IBM: {}, NOPE: {}}
feeds: {minute: {bar_size: 1 min, symbols: [AAPL]}}
"""


@pytest.fixture(scope="module")
def collected(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url_factory: Callable[..., str],
    migrated_url: str,
) -> Iterator[World]:
    """A world whose session has raw bars and nothing else. For reading only."""
    with copy_of(world, tmp_path_factory.mktemp("collected"), postgres_url_factory(template=migrated_url)) as made:
        assert made.run("daily_bars", assets=[RAW]).success
        yield made


@pytest.fixture
def with_raw_bars(
    collected: World, tmp_path: Path, postgres_url_factory: Callable[..., str], migrated_url: str
) -> Iterator[World]:
    """A world of one's own whose session has raw bars and nothing else."""
    with copy_of(collected, tmp_path, postgres_url_factory(template=migrated_url)) as own:
        yield own


def spoil(world: World, **changes: Any) -> None:
    """Add a copy of IBM's raw bar of the session with these values."""
    raw = world.table(*RAW)
    bad = raw[raw["symbol"] == changes.get("symbol", "IBM")].assign(**changes)
    world.lake.write_sessions(RAW, pd.concat([raw, bad], ignore_index=True), [SESSION])


def test_a_bad_row_is_set_aside_with_its_reason_counted_and_shown(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, high=1.0)
    result = world.run("daily_bars", assets=[VALID, BAD])
    assert result.success
    (row,) = world.table(*BAD).to_dict("records")
    assert (row["symbol"], row["reason"], row["high"]) == ("IBM", "high_below_low", 1.0)
    assert len(world.table(*VALID)) == 5
    shown = metadata_of(result, *BAD)
    assert shown["rows"] == 1
    assert shown["reasons"].records[0].data == {"reason": "high_below_low", "action": "quarantined", "rows": 1}
    assert shown["bars"].records[0].data["symbol"] == "IBM"
    assert metadata_of(result, *VALID)["quarantined"] == 1
    warned = checks_of(result, *VALID)["nothing_quarantined"]
    assert (warned.passed, warned.severity.value) == (False, "WARN")
    assert warned.metadata["rows"].records[0].data["reason"] == "high_below_low"
    assert checks_of(result, *VALID)["contract"].passed
    assert checks_of(result, *BAD)["contract"].passed


def test_sessions_whose_raw_bars_were_never_fetched_are_green_but_warned_of(with_raw_bars: World) -> None:
    result = with_raw_bars.run("daily_bars", sessions=("2012-01-03", "2012-01-05"), assets=[VALID])
    assert result.success, failure_of(result)
    warned = checks_of(result, *VALID)["raw_bars_fetched"]
    assert (warned.passed, warned.severity.value) == (False, "WARN")
    assert warned.metadata["missing_sessions"].value == 3
    assert (warned.metadata["first"].value, warned.metadata["last"].value) == ("2012-01-03", "2012-01-05")


def test_no_row_is_lost_whichever_assets_are_selected(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, volume=-1.0)
    world.run("daily_bars", assets=[VALID])
    assert list(world.table(*BAD)["reason"]) == ["negative_volume"]
    assert len(world.table(*VALID)) + len(world.table(*BAD)) == len(world.table(*RAW))


def test_the_quarantine_is_empty_again_once_the_bars_are_clean(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, close=-1.0)
    world.run("daily_bars", assets=[VALID, BAD])
    assert len(world.table(*BAD)) == 1
    result = world.run("daily_bars", assets=[RAW, VALID, BAD])
    assert world.table(*BAD).empty
    assert metadata_of(result, *BAD)["rows"] == 0
    assert checks_of(result, *VALID)["nothing_quarantined"].passed


def test_a_range_counts_each_sessions_rows_and_keeps_its_quarantine_apart(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, high=1.0)
    result = world.run("daily_bars", sessions=("2013-02-26", SESSION), assets=[VALID, BAD])
    assert result.success, failure_of(result)
    rows = {
        event.partition: event.step_materialization_data.materialization.metadata["rows"].value
        for event in result.all_events
        if event.is_step_materialization and event.asset_key.path[1] == BAD[1]
    }
    assert rows == {"2013-02-26": 0, "2013-02-27": 0, SESSION: 1}


def test_a_materialization_names_the_versions_it_wrote_and_read(with_raw_bars: World) -> None:
    world = with_raw_bars
    result = world.run("daily_bars", assets=[VALID, BAD, FEATURES])
    assert result.success, failure_of(result)

    def version(table: tuple[str, str], session: str = SESSION) -> str:
        return world.lake.versions(table, session)[0].version

    for table in (VALID, BAD, FEATURES):
        assert metadata_of(result, *table)["lake_version"] == version(table)
    for table in (VALID, BAD):
        assert metadata_of(result, *table)["read market_data/daily_raw_bars"] == version(RAW)
    assert metadata_of(result, *FEATURES)["read market_data/daily_validated_bars"] == version(VALID)
    history = metadata_of(result, *FEATURES)["read before market_data/daily_validated_bars"]
    assert len(history) == world.feed("daily").history_sessions
    assert history == {session: version(VALID, session) for session in history}
    assert max(history) < SESSION


def test_a_symbol_with_quarantined_bars_gets_no_order_and_the_others_do(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, symbol="GOOG", ts_utc=pd.Timestamp("2013-02-28T07:00Z"))
    chain = [VALID, BAD, FEATURES, SIGNALS, INTENTS, ORDERS]
    result = world.run("momentum_agent", assets=chain)
    assert result.success, failure_of(result)
    intents = world.table(*INTENTS).set_index("symbol")
    assert intents["is_approved"].to_dict() == {"FB": True, "GOOG": False}
    assert "bars of GOOG are quarantined" in intents.loc["GOOG", "reasons"]
    assert metadata_of(result, *ORDERS)["new_orders"] == 1


def test_a_repeated_row_convicts_nobody(with_raw_bars: World) -> None:
    world = with_raw_bars
    spoil(world, symbol="GOOG")
    result = world.run("momentum_agent", assets=[VALID, BAD, FEATURES, SIGNALS, INTENTS, ORDERS])
    assert list(world.table(*BAD)["reason"]) == ["exact_duplicate"]
    assert metadata_of(result, *ORDERS)["new_orders"] == 2


def test_bars_quarantined_between_decision_and_order_stop_it(with_raw_bars: World) -> None:
    world = with_raw_bars
    world.run("momentum_agent", assets=[VALID, BAD, FEATURES, SIGNALS, INTENTS])
    spoil(world, symbol="GOOG", ts_utc=pd.Timestamp("2013-02-28T07:00Z"))
    world.run("daily_bars", assets=[VALID, BAD])
    sent = world.run("momentum_agent", assets=[ORDERS])
    assert metadata_of(sent, *ORDERS)["new_orders"] == 1
    assert "bars of GOOG are quarantined" in metadata_of(sent, *ORDERS)["outcome"]


CHAIN = [VALID, BAD, FEATURES, SIGNALS, INTENTS, ORDERS]


def rewrite(world: World, symbol: str, **changes: Any) -> None:
    """Give a symbol's raw bar of the session other values."""
    raw = world.table(*RAW)
    for name, value in changes.items():
        raw.loc[raw["symbol"] == symbol, name] = value
    world.lake.write_sessions(RAW, raw, [SESSION])


def decide(world: World, symbol: str, verdict: Any) -> None:
    """What `trading-platform quarantine` records about the symbol's first listed bar."""
    listed = world.table(*BAD).set_index("symbol").loc[[symbol]].iloc[0]
    decision = BarDecision(
        listed["bar_id"],
        symbol,
        listed["ts_utc"].to_pydatetime(),
        verdict,
        listed["reason"],
        "ann",
        world.clock.now(),
        "seen on the tape",
    )
    BarDecisions(world.lake).record("daily", SESSION, decision)


def test_a_wick_is_told_by_the_stored_bars_of_the_session_before_and_a_release_is_honoured(
    with_raw_bars: World,
) -> None:
    world = with_raw_bars
    high = float(world.table(*RAW).set_index("symbol").loc["GOOG", "high"])
    rewrite(world, "GOOG", high=3 * high)
    result = world.run("momentum_agent", assets=CHAIN)
    assert result.success, failure_of(result)
    assert list(world.table(*BAD)["reason"]) == ["bad_print"]
    assert metadata_of(result, *BAD)["blocked_symbols"] == "GOOG"
    assert "GOOG" not in set(world.table(*INTENTS).query("is_approved")["symbol"])
    decide(world, "GOOG", "released")
    assert metadata_of(world.run("daily_bars", assets=[VALID, BAD]), *BAD)["rows"] == 0
    assert "GOOG" in set(world.table(*VALID)["symbol"])


def test_a_held_bar_stays_valid_and_stops_its_symbol_until_somebody_confirms_it_is_wrong(with_raw_bars: World) -> None:
    world = with_raw_bars
    bar = world.table(*RAW).set_index("symbol").loc["GOOG"]
    rewrite(world, "GOOG", **{name: float(bar[name]) * 1.8 for name in ("open", "high", "low", "close")})
    result = world.run("momentum_agent", assets=CHAIN)
    (row,) = world.table(*BAD).to_dict("records")
    assert (row["reason"], row["action"], row["is_blocking"]) == ("unexplained_jump", "held", True)
    assert "GOOG" in set(world.table(*VALID)["symbol"])
    doubtful = checks_of(result, *VALID)["nothing_doubtful"]
    assert (doubtful.passed, doubtful.metadata["blocked_symbols"].value) == (False, "GOOG")
    assert checks_of(result, *VALID)["nothing_quarantined"].passed
    assert "bars of GOOG are quarantined" in world.table(*INTENTS).set_index("symbol").loc["GOOG", "reasons"]
    decide(world, "GOOG", "confirmed")
    world.run("daily_bars", assets=[VALID, BAD])
    (row,) = world.table(*BAD).to_dict("records")
    assert (row["action"], row["is_blocking"]) == ("quarantined", False)
    assert "GOOG" not in set(world.table(*VALID)["symbol"])


def test_a_warning_stops_nobody(with_raw_bars: World) -> None:
    world = with_raw_bars
    rewrite(world, "GOOG", volume=0.0)
    result = world.run("momentum_agent", assets=CHAIN)
    assert list(world.table(*BAD)["action"]) == ["warned"]
    assert not checks_of(result, *VALID)["nothing_doubtful"].passed
    assert metadata_of(result, *ORDERS)["new_orders"] == 2


def test_missing_bars_are_listed_by_symbol(with_raw_bars: World) -> None:
    world = with_raw_bars
    raw = world.table(*RAW, session="2013-02-27")
    world.lake.write_sessions(RAW, raw[raw["symbol"] != "IBM"], ["2013-02-27"])
    result = world.run("daily_bars", "2013-02-27", assets=[VALID])
    warned = checks_of(result, *VALID)["no_bars_missing"]
    assert (warned.passed, warned.severity.value, warned.metadata["missing_bars"].value) == (False, "WARN", 1)
    assert warned.metadata["by_symbol"].records[0].data == {"symbol": "IBM", "expected": 1, "present": 0, "missing": 1}
    assert warned.metadata["by_session"].records[0].data["session"] == "2013-02-27"
    complete = checks_of(world.run("daily_bars", assets=[VALID]), *VALID)["no_bars_missing"]
    assert complete.passed


def test_what_the_vendor_changed_in_a_finished_session_is_reported(with_raw_bars: World) -> None:
    world = with_raw_bars
    raw = world.table(*RAW, session="2013-02-27")
    raw.loc[raw["symbol"] == "IBM", "volume"] *= 2
    world.lake.write_sessions(RAW, raw, ["2013-02-27"])
    result = world.run("daily_bars", "2013-02-27", assets=[VALID, BAD])
    assert list(world.table(*BAD, session="2013-02-27")["reason"]) == ["vendor_revision"]
    assert checks_of(result, *VALID)["nothing_doubtful"].metadata["doubtful"].value == 1


def test_raw_bars_that_are_no_table_stop_the_chain_with_the_rows_shown(with_raw_bars: World) -> None:
    world = with_raw_bars
    raw = world.table(*RAW)
    broken = raw.assign(close=[-5.0, *raw["close"][1:]], low=[-6.0, *raw["low"][1:]])
    world.lake.write_sessions(VALID, broken, [SESSION])
    result = world.run("momentum_agent", assets=[FEATURES, SIGNALS, INTENTS, ORDERS])
    assert not result.success
    red = checks_of(result, *FEATURES)["contract"]
    assert (red.passed, red.severity.value, red.blocking) == (False, "ERROR", True)
    assert red.metadata["failures"].value == 1
    (row,) = red.metadata["failing_rows"].records
    assert row.data["column"] == "close"
    assert row.data["value"] == "-5.0"
    assert row.data["row"].startswith("AAPL 2013-02-28")
    assert "Features: 1 value(s) break the contract" in failure_of(result)
    assert SESSION not in world.lake.stored_sessions(FEATURES)
    materialized = {event.asset_key.path[1] for event in result.all_events if event.is_step_materialization}
    assert materialized == set()
    assert world.orders_at_broker() == 0


def test_a_frame_that_kept_its_contract_before_is_not_overwritten_by_one_that_does_not(with_raw_bars: World) -> None:
    world = with_raw_bars
    world.run("daily_bars", assets=[VALID, FEATURES])
    before = world.table(*FEATURES)
    world.lake.write_sessions(VALID, world.table(*VALID).assign(close=-5.0), [SESSION])
    assert not world.run("daily_bars", assets=[FEATURES]).success
    pd.testing.assert_frame_equal(world.table(*FEATURES), before)


class TestABadSymbol:
    """One that the broker does not know."""

    @pytest.fixture
    def world(self, own_world: MakeWorld, tmp_path: Path) -> World:
        specs = tmp_path / "specs"
        specs.mkdir()
        (specs / "momentum.yaml").write_text(SPEC)
        (specs / "universe.yaml").write_text(UNIVERSE)
        return own_world(strategies=specs)

    def test_it_costs_the_others_nothing(self, world: World) -> None:
        world.fetch_history("daily")
        result = world.run("momentum_agent")
        assert result.success, failure_of(result)
        assert set(world.table(*RAW)["symbol"]) == {"AAPL", "IBM"}
        warned = checks_of(result, *RAW)["every_symbol_answered"]
        assert (warned.passed, warned.severity.value) == (False, "WARN")
        assert warned.metadata["failures"].records[0].data["symbol"] == "NOPE"
        assert metadata_of(result, *ORDERS)["new_orders"] == 1

    def test_it_is_named_among_the_instruments(self, world: World) -> None:
        result = world.run("instruments", None)
        assert result.success, failure_of(result)
        assert set(world.lake.read_table(("market_data", "instruments"))["symbol"]) == {"AAPL", "IBM"}
        warned = checks_of(result, "market_data", "instruments")["every_symbol_known"]
        assert (warned.passed, warned.severity.value) == (False, "WARN")
        assert warned.metadata["unknown"].records[0].data["symbol"] == "NOPE"
        assert metadata_of(result, "market_data", "instruments")["data_origins"].records


def test_the_instruments_table_says_where_prices_come_from(own_world: MakeWorld) -> None:
    world = own_world()
    result = world.run("instruments", None)
    table = world.lake.read_table(("market_data", "instruments")).set_index("symbol")
    assert table.loc["IBM", "data_origin"].startswith("real daily bars")
    assert "synthetic" in table.loc["TSLA", "data_origin"]
    assert table.loc["BTC", "calendar"] == "24/7"
    assert len(metadata_of(result, "market_data", "instruments")["data_origins"].records) >= 2


def test_a_broker_that_answers_nothing_fails_the_run_and_keeps_what_is_stored(with_raw_bars: World) -> None:
    world = with_raw_bars
    before = world.table(*RAW)
    world.gateway.stop_in_thread()
    result = world.run("daily_bars", assets=[RAW])
    assert not result.success
    assert "127.0.0.1" in failure_of(result)
    pd.testing.assert_frame_equal(world.table(*RAW), before)


def test_an_intraday_feed_collects_what_has_come_since(own_world: MakeWorld) -> None:
    world = own_world()
    key = ("market_data", "tsla_raw_bars")
    world.run("tsla_bars")
    first = world.table(*key)
    world.clock.advance(timedelta(minutes=5))
    world.run("tsla_bars")
    second = world.table(*key)
    assert len(second) == len(first) + 1
    assert set(first["ts_utc"]) <= set(second["ts_utc"])
    assert not second.duplicated(["symbol", "ts_utc"]).any()
