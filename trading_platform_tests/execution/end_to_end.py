"""The order path with real parts: a ledger, the real client library, and the paper gateway's socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, OrderStatus
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.reconcile import ReconcileReport, reconcile
from trading_platform.execution.report import SubmissionReport
from trading_platform.execution.submit import submit_tick
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.storage.ledger.builders import ACCOUNT, STRATEGY, approve, make_intent, make_tick

TICK = datetime(2013, 2, 27, 15, 0, tzinfo=timezone.utc)
SESSION = "2013-02-27"
INSTRUMENTS = {"AAPL": Instrument("AAPL"), "IBM": Instrument("IBM")}
NAMES = [make_intent(symbol, tick=make_tick(TICK)).client_order_id for symbol in INSTRUMENTS]
QUICK = {"request_timeout_seconds": 3.0, "retry_wait_seconds": 0.05, "commission_wait_seconds": 0.2}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(TICK + timedelta(seconds=30))


@pytest.fixture
def gateway(clock: ManualClock) -> Iterator[PaperGateway]:
    running = PaperGateway(GatewayConfig(port=0, account=ACCOUNT), clock.now).start_in_thread()
    yield running
    running.stop_in_thread()


def connect(gateway: PaperGateway, client_id: int = 10, **changes: Any) -> IBKRBroker:
    return IBKRBroker(IBKRConfig(port=gateway.port, client_id=client_id, **(QUICK | changes)))


@pytest.fixture
def broker(gateway: PaperGateway) -> Iterator[IBKRBroker]:
    with connect(gateway) as connected:
        yield connected


def record_orders(ledger: Ledger, tick_utc: datetime = TICK, *symbols: str, **request: Any) -> list[OrderIntent]:
    """Record a tick with one approved order per symbol (AAPL, if none is named). ``request`` changes its fields."""
    tick = replace(make_tick(tick_utc), session=SESSION)
    made = [make_intent(symbol, tick=tick) for symbol in symbols or ("AAPL",)]
    intents = [replace(intent, request=replace(intent.request, **request)) for intent in made]
    ledger.record_tick(tick, [(intent, approve(intent)) for intent in intents])
    return intents


def limit(price: str, **request: Any) -> dict[str, Any]:
    """A limit order's fields; 1 dollar never fills a buy of AAPL, a million always does."""
    return {"order_type": "LMT", "limit_price": Decimal(price), **request}


def submit(
    ledger: Ledger, broker: IBKRBroker, clock: ManualClock, tick_utc: datetime = TICK, **options: Any
) -> SubmissionReport:
    return submit_tick(
        ledger,
        broker,
        INSTRUMENTS,
        account=ACCOUNT,
        strategy=STRATEGY,
        tick_utc=tick_utc,
        guard=approve,
        clock=clock,
        run_id="run",
        **({"settle_seconds": 0.2, "in_flight_seconds": 0} | options),
    )


def wait(ledger: Ledger, broker: IBKRBroker, report: SubmissionReport, clock: ManualClock) -> list[OrderStatus]:
    orders = await_fills(ledger, broker, report, clock=clock, run_id="run", wait_seconds=10, poll_seconds=0.05)
    return [order.status for order in orders]


def reconciled(ledger: Ledger, broker: IBKRBroker, clock: ManualClock) -> ReconcileReport:
    return reconcile(
        ledger, broker, account=ACCOUNT, clock=clock, run_id="reconcile", settle_seconds=0.1, in_flight_seconds=0
    )


def status_of(ledger: Ledger, name: str) -> OrderStatus:
    (order,) = ledger.orders(ACCOUNT, client_order_ids=[name])
    return order.status


def references(gateway: PaperGateway) -> list[str]:
    """Names of all orders that the gateway ever took, in the order in which it took them."""

    def read() -> list[str]:
        venue = gateway.hub.venue
        orders = [*venue.open_orders(), *venue.completed_orders()]
        return [order.ticket.order_ref for order in sorted(orders, key=lambda order: order.perm_id)]

    return gateway.call(read)
