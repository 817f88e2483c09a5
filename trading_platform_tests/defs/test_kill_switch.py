"""The kill switch as Dagit's launchpad has it, and as the reconciliation of executions turns it by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import dagster as dg

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform_tests.world import ACCOUNT, QUIET, World, checks_of, failure_of, metadata_of


def turn(world: World, job: str, op: str, **config: object) -> dg.ExecuteInProcessResult:
    return (
        world.definitions()
        .resolve_job_def(job)
        .execute_in_process(
            instance=world.instance, run_config={**QUIET, "ops": {op: {"config": config}}}, raise_on_error=False
        )
    )


def test_the_launchpad_stops_everything_and_lets_it_go_on(own_world):
    world = own_world()
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=90)) as broker:
        resting = OrderRequest("hand", "IBM", "BUY", Decimal(10), "LMT", "DAY", Decimal("1.00"))
        broker.place_order(Instrument("IBM"), resting)
        assert turn(world, "kill_switch_on", "stop_everything", reason="prices look wrong").success
        assert list(broker.open_orders()) == []
    (halt,) = world.ledger.active_halts(ACCOUNT)
    assert halt.reason == "prices look wrong"
    assert halt.who.startswith("Dagit, run ")
    assert turn(world, "kill_switch_off", "resume", reason="the feed is back").success
    assert world.ledger.active_halts(ACCOUNT) == []
    world.ledger.halt("*", reason="all of it", who="anna", at=world.clock.now())
    refused = turn(world, "kill_switch_off", "resume", reason="the feed is back")
    assert not refused.success
    assert "still halted (*: all of it)" in failure_of(refused)


def test_a_job_that_could_not_cancel_is_red_and_the_halt_stands(own_world):
    world = own_world(read_only=True)
    result = turn(world, "kill_switch_on", "stop_everything", reason="prices look wrong")
    assert not result.success
    assert "read-only" in failure_of(result)
    assert len(world.ledger.active_halts(ACCOUNT)) == 1


def test_executions_that_the_ledger_can_not_explain_turn_the_switch_on(own_world):
    world = own_world()
    world.run("momentum_agent")
    clean = world.run("account", None)
    assert metadata_of(clean, "orders", "executions")["kill_switch"] == "not touched"
    assert world.ledger.active_halts(ACCOUNT) == []
    again = world.ledger.orders(ACCOUNT, statuses=[OrderStatus.FILLED])[0].intent.request
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=90)) as broker:
        broker.place_order(Instrument(again.symbol), again)
    broken = world.run("account", None)
    assert not checks_of(broken, "orders", "executions")["broker_and_ledger_agree"].passed
    (halt,) = world.ledger.active_halts(ACCOUNT)
    assert halt.who == "platform"
    assert f"order {again.client_order_id} is at the broker 2 times" in halt.reason
    said = metadata_of(broken, "orders", "executions")
    assert said["mode"] == f"paper account {ACCOUNT}"
    assert said["kill_switch"] != "not touched"


def test_a_daily_loss_beyond_the_limit_turns_the_switch_on(own_world):
    world = own_world()
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=90)) as broker:
        now = broker.account_summary()
    assert metadata_of(world.run("account", None), "portfolio", "performance")["breached_limits"] == "none"
    assert world.ledger.active_halts(ACCOUNT) == []
    before_the_open = world.clock.now() - timedelta(hours=8)
    richer = replace(now, ts_utc=before_the_open, net_liquidation=now.net_liquidation * Decimal("1.10"))
    world.ledger.record_equity(richer, run_id="test")
    said = metadata_of(world.run("account", None), "portfolio", "performance")
    assert "the account lost 9.09 % since the session's open, limit 3 %" in said["breached_limits"][0]
    (halt,) = world.ledger.active_halts(ACCOUNT)
    assert halt.who == "platform"
    assert "lost 9.09 %" in halt.reason
