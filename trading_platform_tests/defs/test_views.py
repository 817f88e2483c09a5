"""What a person sees of orders and portfolio: tables, pictures, and links that lead from a fill back to its bars."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import dagster as dg
import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.execution.versions import SignalVersion, signal_version
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import ACCOUNT, SESSION, World, checks_of, metadata_of

ORDERS = ("orders", "momentum_orders")
DECISIONS = ("orders", "momentum_risk_decisions")
EXECUTIONS = ("orders", "executions")
PERFORMANCE = ("portfolio", "performance")
Traded = tuple[World, dg.ExecuteInProcessResult]
EVENT_LIMIT = 100_000
"""Characters of one event: it is stored twice."""


def records(value: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in value.records]


def test_the_ledger_names_the_signals_by_their_run_and_their_values(traded: Traded) -> None:
    world, result = traded
    signals = world.table("signals", "momentum_signals")
    expected = signal_version(result.run_id, signals)
    orders = world.ledger.orders(ACCOUNT)
    assert orders
    assert {order.signal_version for order in orders} == {str(expected)}
    assert {order.model_version for order in orders} == {None}  # a rule decided
    assert {order.dagster_run_id for order in orders} == {result.run_id}
    assert {fill.dagster_run_id for fill in world.ledger.fills(ACCOUNT)} == {result.run_id}


def test_signals_of_an_earlier_run_are_named_by_that_run(own_world: MakeWorld) -> None:
    world = own_world()
    made = world.run(
        "momentum_agent",
        assets=[
            ("market_data", "daily_raw_bars"),
            ("market_data", "daily_validated_bars"),
            ("features", "daily_features"),
            ("signals", "momentum_signals"),
        ],
    )
    decided = world.run("momentum_agent", assets=[("orders", "momentum_order_intents")])
    assert decided.success
    (version,) = {order.signal_version for order in world.ledger.orders(ACCOUNT)}
    assert SignalVersion.parse(str(version)).run_id == made.run_id != decided.run_id


def test_orders_at_a_glance_and_the_blotter_tell_what_a_trader_asks(traded: Traded) -> None:
    world, result = traded
    said = metadata_of(result, *ORDERS)
    rows = records(said["orders"])
    orders = world.table(*ORDERS).sort_values("symbol")
    assert [row["order"] for row in rows] == [f"BUY {o.quantity:g} {o.symbol}" for o in orders.itertuples()]
    for row in rows:
        assert row["time_utc"].startswith("20:45")
        assert (row["type"], row["status"]) == ("MKT", "filled")
        assert row["fee"] > 0
    assert said["mode"] == f"paper account {ACCOUNT}"
    assert said["refusals"] == "none"
    assert said["filled_orders"] == 2
    assert said["commission_usd"] == pytest.approx(sum(row["fee"] for row in rows), abs=0.01)
    head, _, *lines = said["blotter"].rstrip().splitlines()
    assert "| decision price | slippage, bps | commission | why |" in head
    assert len(lines) == 2
    assert all("| filled |" in line and "momentum" in line for line in lines)


def test_fills_are_drawn_on_candles(traded: Traded) -> None:
    world, result = traded
    pictures = [name for name in metadata_of(result, *ORDERS) if name.startswith("fills ")]
    assert sorted(pictures) == [f"fills {symbol}" for symbol in sorted(world.table(*ORDERS)["symbol"])]


@pytest.mark.parametrize("key", [ORDERS, EXECUTIONS], ids="/".join)
def test_every_link_of_the_way_back_leads_to_something_that_exists(traded: Traded, key: tuple[str, str]) -> None:
    world, result = traded
    trace = metadata_of(result, *key)["trace"]
    graph = world.definitions().resolve_asset_graph()
    pages, runs = set(), set()
    for path in re.findall(r"\]\((/[^)]+)\)", trace):
        parts = urlsplit(path)
        if parts.path.startswith("/runs/"):
            runs.add(parts.path.removeprefix("/runs/"))
            continue
        asset = dg.AssetKey([unquote(part) for part in parts.path.removeprefix("/assets/").split("/")])
        (session,) = parse_qs(parts.query)["partition"]
        assert graph.get(asset).partitions_def.has_partition_key(session)
        pages.add(asset.to_user_string())
    assert runs == {result.run_id}
    assert pages == {
        "orders/momentum_orders",
        "orders/momentum_risk_decisions",
        "signals/momentum_signals",
        "features/daily_features",
        "market_data/daily_validated_bars",
        "market_data/daily_raw_bars",
        "research/momentum_session_run",
    }


def test_risk_decisions_of_both_stages_are_a_table(traded: Traded) -> None:
    world, result = traded
    frame = world.table(*DECISIONS)
    assert list(frame["stage"].value_counts().sort_index().items()) == [("decision", 2), ("submission", 2)]
    assert set(frame["reason_code"]) == {"approved"}
    assert frame["controls_asked"].min() > 25
    said = metadata_of(result, *DECISIONS)
    assert (said["approved_at_decision"], said["approved_at_submission"]) == (2, 2)
    assert (said["refused_at_decision"], said["reasons"], said["refusals"]) == (0, "none refused", "none refused")
    assert checks_of(result, *DECISIONS)["contract"].passed


def test_refusals_are_told_by_reason_with_their_numbers(own_world: MakeWorld) -> None:
    world = own_world()
    world.ledger.halt(ACCOUNT, reason="losses look odd", who="me", at=world.clock.now())
    result = world.run("momentum_agent")
    said = metadata_of(result, *DECISIONS)
    assert (said["approved_at_decision"], said["refused_at_decision"]) == (0, 2)
    assert records(said["reasons"]) == [{"reason_code": "NoHalt", "refusals": 2}]
    assert {row["reason_code"] for row in records(said["refused"])} == {"NoHalt"}
    assert said["refused_in_full"].count("losses look odd") == 2
    assert said["refusals"].startswith("![momentum: refused by risk: NoHalt 2]")
    assert metadata_of(result, *EXECUTIONS)["refusals"].startswith("![All strategies: refused by risk: NoHalt 2]")


def test_performance_has_figures_curves_and_each_strategys_part(traded: Traded) -> None:
    _, result = traded
    said = metadata_of(result, *PERFORMANCE)
    figures = {row["figure"]: row["value"] for row in records(said["figures"])}
    assert figures["Sharpe ratio"] == "not yet"  # one day only
    assert float(figures["commissions, USD"]) > 0
    (strategy,) = records(said["by_strategy"])
    assert strategy["strategy"] == "momentum"
    assert "| momentum | 2 |" in said["by_strategy_in_full"]
    assert strategy["net_pnl"] == pytest.approx(
        strategy["realized"] + strategy["unrealized"] - strategy["commissions"], abs=0.02
    )
    for picture in ("equity", "exposure"):
        assert said[picture].startswith("![")


def test_cash_and_equity_follow_from_fills_to_what_the_broker_says(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("account", None)
    world.clock.advance(timedelta(minutes=5))
    result = world.run("momentum_agent")
    frame = world.lake.read_table(PERFORMANCE)
    assert len(frame) == 2
    assert list(frame["external_flow_usd"]) == [0, 0]
    assert (frame["cash_usd"] - frame["cash_from_fills_usd"]).abs().max() <= 0.01
    assert frame["cash_usd"].iloc[-1] < frame["cash_usd"].iloc[0] - 90_000
    checks = checks_of(result, *PERFORMANCE)
    assert checks["cash_explained_by_fills"].passed
    agreement = checks["equity_agrees_with_fills"]
    assert agreement.passed, agreement.metadata
    assert abs(agreement.metadata["difference_usd"].value) <= agreement.metadata["quotes_explain_usd"].value


def test_a_deposit_warns_and_is_no_gain(own_world: MakeWorld) -> None:
    """The account's first reading had 5,000 USD less, and no fill explains them."""
    world = own_world()
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=77)) as broker:
        summary = broker.account_summary()
    before = replace(
        summary,
        net_liquidation=summary.net_liquidation - Decimal(5000),
        total_cash=summary.total_cash - Decimal(5000),
        ts_utc=summary.ts_utc - timedelta(hours=1),
    )
    world.ledger.record_equity(before, run_id="earlier")
    result = world.run("account", None)
    assert result.success
    check = checks_of(result, *PERFORMANCE)["cash_explained_by_fills"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["unexplained_cash_usd"].value == 5000.0
    assert records(check.metadata["came_or_went_lately"])[0]["external_flow_usd"] == 5000.0
    said = metadata_of(result, *PERFORMANCE)
    assert (said["return_pct"], said["drawdown_pct"]) == (0, 0)


def test_no_event_is_larger_than_it_should_be(traded: Traded) -> None:
    _, result = traded
    sizes = {
        event.asset_key.to_user_string(): sum(
            len(str(value.value)) for value in event.step_materialization_data.materialization.metadata.values()
        )
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }
    assert {key: size for key, size in sizes.items() if size > EVENT_LIMIT} == {}


def test_a_past_session_shows_its_orders_without_the_present_ones(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("momentum_agent")
    past = world.run("momentum_agent", "2013-02-27")
    said = metadata_of(past, *ORDERS)
    assert (said["rows"], said["filled_orders"], said["trace"]) == (0, 0, "none")
    assert not any(name.startswith("fills ") for name in said)
    assert said["commission_usd"] == 0
    assert len(world.table(*ORDERS, session=SESSION)) == 2
