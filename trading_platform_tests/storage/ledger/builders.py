"""Ticks, intents, decisions and executions for tests, with everything that does not matter filled in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from trading_platform.domain.orders.ids import client_order_id
from trading_platform.domain.orders.model import (
    BrokerOrder,
    ControlResult,
    Execution,
    OrderIntent,
    OrderRequest,
    OrderStatus,
    RiskDecision,
    Side,
)
from trading_platform.storage.ledger import Ledger, Tick, TickRecord
from trading_platform.storage.ledger.model import SubmissionStart

ACCOUNT = "DU1000000"
STRATEGY = "momentum"
TICK = datetime(2024, 3, 5, 15, 30, tzinfo=timezone.utc)
NOW = TICK + timedelta(seconds=7)
RUN = "run-1"


def make_tick(tick_utc: datetime = TICK, strategy: str = STRATEGY, account: str = ACCOUNT, run_id: str = RUN) -> Tick:
    return Tick(account, strategy, tick_utc, "2024-03-05", tick_utc + timedelta(seconds=7), run_id, "abc123", "now")


def make_intent(
    symbol: str = "AAPL",
    *,
    side: Side = "BUY",
    quantity: str = "10",
    tick: Tick | None = None,
) -> OrderIntent:
    tick = tick or make_tick()
    name = client_order_id(tick.strategy, symbol, tick.tick_utc)
    return OrderIntent(
        OrderRequest(name, symbol, side, Decimal(quantity)),
        tick.strategy,
        tick.account,
        tick.session,
        tick.tick_utc,
        tick.tick_utc,
        Decimal("170.25"),
        0.5,
        0.75,
        "test",
    )


def approve(intent: OrderIntent) -> RiskDecision:
    return RiskDecision(intent.client_order_id, (ControlResult("max_notional", True, "", {"limit": "50000"}),))


def reject(intent: OrderIntent, reason: str = "1702.5 is above 1000") -> RiskDecision:
    return RiskDecision(intent.client_order_id, (ControlResult("max_notional", False, reason, {"limit": "1000"}),))


def record(ledger: Ledger, symbols: Sequence[str] = ("AAPL",), tick: Tick | None = None) -> TickRecord:
    """Record a tick with one approved BUY of 10 per symbol."""
    tick = tick or make_tick()
    intents = [make_intent(symbol, tick=tick) for symbol in symbols]
    return ledger.record_tick(tick, [(intent, approve(intent)) for intent in intents])


def start(ledger: Ledger, intent: OrderIntent) -> None:
    """Take the order to ``submitting`` under a lease of its own."""
    with ledger.submission_lease(intent.account, holder="test", now=lambda: NOW, wait_seconds=1) as lease:
        started = ledger.begin_submission(
            intent.account,
            intent.client_order_id,
            decision=approve(intent),
            token=lease.token,
            holder="test",
            at=NOW,
            run_id=RUN,
        )
        assert started is SubmissionStart.STARTED


def make_execution(
    number: int,
    intent: OrderIntent | None = None,
    *,
    quantity: str = "10",
    price: str = "170.5",
    commission: str | None = "1",
    side: Side = "BUY",
    symbol: str = "AAPL",
    revision: int = 1,
) -> Execution:
    """Execution ``number``; without an intent it is a manual trade."""
    return Execution(
        execution_id=f"0000e0d5.{number:08x}.01.{revision:02d}",
        client_order_id=intent.client_order_id if intent else "",
        perm_id=7000 + number,
        account=intent.account if intent else ACCOUNT,
        symbol=intent.request.symbol if intent else symbol,
        side=intent.request.side if intent else side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        commission=None if commission is None else Decimal(commission),
        realized_pnl=None,
        ts_utc=NOW + timedelta(seconds=number),
    )


def make_broker_order(
    intent: OrderIntent, status: OrderStatus = OrderStatus.SUBMITTED, *, perm_id: int = 7001, filled: str = "0"
) -> BrokerOrder:
    request = intent.request
    return BrokerOrder(
        client_order_id=request.client_order_id,
        perm_id=perm_id,
        order_id=1,
        client_id=10,
        account=intent.account,
        symbol=request.symbol,
        side=request.side,
        quantity=request.quantity,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=None,
        stop_price=None,
        status=status,
        raw_status=status.value.title(),
        filled_quantity=Decimal(filled),
        average_fill_price=Decimal("170.5") if filled != "0" else None,
    )
