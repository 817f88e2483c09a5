"""The whole order path with real parts: PostgreSQL, the real client library, the paper gateway's socket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.reconcile import reconcile
from trading_platform.paper_gateway.faults import DropConnection
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform_tests.execution.end_to_end import (
    INSTRUMENTS,
    NAMES,
    TICK,
    broker,
    clock,
    gateway,
    submit,
    wait,
)
from trading_platform_tests.storage.ledger.builders import ACCOUNT, STRATEGY, approve, make_intent, make_tick, record

__all__ = ["broker", "clock", "gateway"]


def test_a_tick_becomes_fills_and_positions_once(ledger, broker, clock):
    record(ledger, tuple(INSTRUMENTS), make_tick(TICK))
    report = submit(ledger, broker, clock)
    assert [outcome.outcome for outcome in report.outcomes] == ["placed", "placed"]
    assert wait(ledger, broker, report, clock) == [OrderStatus.FILLED, OrderStatus.FILLED]
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10), "IBM": Decimal(10)}
    assert all(fill.execution.commission is not None for fill in ledger.fills(ACCOUNT))
    assert reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run").problems == ()
    again = submit(ledger, broker, clock)
    assert again.new_orders == 0
    assert len(broker.completed_orders()) == 2


def test_an_order_whose_acknowledgement_is_lost_with_the_connection_is_found_again(ledger, broker, gateway, clock):
    record(ledger, tuple(INSTRUMENTS), make_tick(TICK))
    gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when="after"))
    report = submit(ledger, broker, clock)
    assert [outcome.outcome for outcome in report.outcomes] == ["unknown", "not_sent"]
    second = submit(ledger, broker, clock)
    assert [outcome.outcome for outcome in second.outcomes] == ["already_placed", "placed"]
    assert wait(ledger, broker, second, clock) == [OrderStatus.FILLED, OrderStatus.FILLED]
    assert reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run").problems == ()
    assert ledger.positions_from_fills(ACCOUNT) == {"AAPL": Decimal(10), "IBM": Decimal(10)}


def test_an_order_that_was_lost_on_the_way_is_unknown_and_stays_unsent(ledger, broker, gateway, clock):
    record(ledger, ("AAPL",), make_tick(TICK))
    gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when="before"))
    submit(ledger, broker, clock)
    submit(ledger, broker, clock)
    report = reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run")
    assert report.unresolved == (NAMES[0],)
    assert list(broker.open_orders()) == list(broker.completed_orders()) == []


def test_fills_that_came_while_the_platform_was_away_are_reconciled(ledger, gateway, clock):
    intent = make_intent("AAPL", tick=make_tick(TICK))
    limit = replace(intent, request=replace(intent.request, order_type="LMT", limit_price=Decimal("1000000")))
    ledger.record_tick(make_tick(TICK), [(limit, approve(limit))])
    with IBKRBroker(IBKRConfig(port=gateway.port)) as broker:
        submit(ledger, broker, clock)
    clock.advance(timedelta(minutes=1))
    with IBKRBroker(IBKRConfig(port=gateway.port)) as broker:
        report = reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run")
    assert report.problems == ()
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}
