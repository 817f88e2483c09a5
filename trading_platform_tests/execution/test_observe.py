"""What sizing and risk get to see: nothing guessed, nothing counted as free that may be under way."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.domain.orders.risk.context import RiskContext
from trading_platform.execution.observe import equity_of, observe
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.domain.orders.builders import context, spec
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    make_broker_order,
    make_execution,
    make_intent,
    record,
    start,
)

SPEC = spec(name="momentum", universe=("AAPL", "IBM"))
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("AAPL", "IBM", "MSFT")}


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl")


def look(ledger: Ledger, broker: QuotingBroker) -> RiskContext:
    return observe(ledger, broker, SPEC, INSTRUMENTS, now=NOW, quarantined={"IBM"}, signal_time_utc=NOW)


def test_everything_that_risk_needs_is_there(ledger, broker):
    seen = look(ledger, broker)
    assert set(seen.quotes) == set(seen.instruments) == {"AAPL", "IBM"}
    assert seen.is_market_open is True
    assert seen.halts == ()
    assert seen.quarantined == {"IBM"}
    assert equity_of(seen) == 1_000_000


def test_a_symbol_without_a_quote_costs_the_others_nothing(ledger, broker):
    broker.mute.add("AAPL")
    broker.unknown.add("IBM")
    seen = look(ledger, broker)
    assert set(seen.quotes) == {"IBM"}
    assert set(seen.instruments) == {"AAPL"}


def test_a_lost_connection_is_no_missing_quote(ledger, broker):
    broker.is_lost = True
    with pytest.raises(BrokerConnectionError):
        look(ledger, broker)


def test_positions_that_can_not_be_read_are_not_flat(ledger, broker):
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        look(ledger, broker)


def test_an_order_being_sent_counts_as_working(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    (order,) = look(ledger, broker).working
    assert (order.symbol, order.remaining_quantity) == ("AAPL", 10)


def test_an_order_reported_filled_before_its_execution_arrived_counts_as_working(ledger, broker):
    """Killed between the acknowledgement and the executions: the next tick must not buy again."""
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_broker_order(
        ACCOUNT, make_broker_order(intent, OrderStatus.FILLED, filled="10"), at=NOW, run_id=RUN
    )
    seen = look(ledger, broker)
    assert seen.strategy_positions == {}
    assert [(order.symbol, order.signed_quantity) for order in seen.working] == [("AAPL", 10)]
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)
    seen = look(ledger, broker)
    assert seen.strategy_positions == {"AAPL": Decimal(10)}
    assert seen.working == ()


def test_orders_placed_by_hand_count_for_the_account_and_need_a_price(ledger, broker):
    broker.place_by_hand(OrderRequest("", "MSFT", "BUY", Decimal(3)))
    seen = look(ledger, broker)
    assert [(order.symbol, order.strategy) for order in seen.working] == [("MSFT", "")]
    assert "MSFT" in seen.quotes


def test_an_order_that_ledger_and_broker_both_know_counts_once(ledger, broker):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    broker.place_by_hand(intent.request)
    assert len(look(ledger, broker).working) == 1


def test_halts_of_the_account_and_of_all_accounts_are_seen(ledger, broker):
    ledger.halt(ACCOUNT, reason="one", who="me", at=NOW)
    ledger.halt("*", reason="two", who="me", at=NOW)
    ledger.halt("DU9", reason="another account's", who="me", at=NOW)
    assert [halt.reason for halt in look(ledger, broker).halts or ()] == ["one", "two"]


def test_no_equity_is_no_number():
    with pytest.raises(ValueError, match="no account summary"):
        equity_of(context(account=None))
