"""The order's way to the broker, within a transaction that the caller opens: start, answer, executions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from trading_platform.domain.orders.model import BrokerOrder, Execution, OrderStatus, RiskDecision
from trading_platform.domain.orders.risk.context import Submission
from trading_platform.domain.orders.state import is_legal_transition
from trading_platform.storage.ledger import fills as fill_rows
from trading_platform.storage.ledger.errors import LedgerRefusedError
from trading_platform.storage.ledger.halts import freeze, select_active
from trading_platform.storage.ledger.history import insert_decisions
from trading_platform.storage.ledger.model import (
    BrokerOrderEffect,
    BrokerOrderResult,
    LedgerOrder,
    SubmissionStart,
)
from trading_platform.storage.ledger.orders import (
    change_order,
    has_newer_tick,
    lock_order,
    note_arrived,
    select_orders,
)
from trading_platform.storage.ledger.tables import order_intents, submission_leases

_DEAD = (OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.BROKER_REJECTED)
_NEVER_SENT = (OrderStatus.CREATED, OrderStatus.APPROVED)


def start(
    connection: sa.Connection,
    account: str,
    decisions: Sequence[RiskDecision],
    *,
    token: int,
    holder: str,
    at: datetime,
    run_id: str,
    is_reducing: bool,
) -> SubmissionStart:
    """Move approved → submitting, if everything that must hold for that holds in this very transaction.

    Several decisions are the orders of one bracket: all of them move, or none.

    A ``submitting`` order is taken over (its token and holder renewed) only by a caller that has proved that it
    was never sent; see ``trading_platform.execution.submit``.
    """
    insert_decisions(connection, account, decisions, stage="submission", at=at, run_id=run_id)
    current_token: int | None = connection.scalar(
        sa.select(submission_leases.c.fencing_token)
        .where(submission_leases.c.account == account)
        .with_for_update(read=True)
    )
    orders = [lock_order(connection, account, decision.client_order_id) for decision in decisions]
    for order, decision in zip(orders, decisions, strict=True):
        refusal = _refusal(connection, order, decision, current_token, token, is_reducing=is_reducing)
        if refusal is not None:
            return refusal
    for order in orders:
        is_repeated = order.status is OrderStatus.SUBMITTING
        change_order(
            connection,
            order,
            OrderStatus.SUBMITTING,
            at=at,
            run_id=run_id,
            message="taken over from a holder that never sent it" if is_repeated else "",
            submission_token=token,
            submission_holder=holder,
            submitting_at=at,
        )
    return SubmissionStart.STARTED


def _refusal(
    connection: sa.Connection,
    order: LedgerOrder,
    decision: RiskDecision,
    current_token: int | None,
    token: int,
    *,
    is_reducing: bool,
) -> SubmissionStart | None:
    """Why the order may not become submitting, if so."""
    account, refusal = order.intent.account, None
    if current_token != token:
        refusal = SubmissionStart.FENCED
    elif not decision.is_approved or order.status not in (OrderStatus.APPROVED, OrderStatus.SUBMITTING):
        refusal = SubmissionStart.NOT_APPROVED
    elif order.status is OrderStatus.SUBMITTING and (order.submission_token or 0) >= token:
        refusal = SubmissionStart.FENCED  # under one lease an order is started once
    elif has_newer_tick(connection, account, order.intent.strategy, order.intent.tick_utc):
        refusal = SubmissionStart.SUPERSEDED
    elif not is_reducing and _is_halted(connection, account):
        refusal = SubmissionStart.HALTED
    return refusal


def _is_halted(connection: sa.Connection, account: str) -> bool:
    freeze(connection)
    return bool(select_active(connection, account))


def select_submissions(connection: sa.Connection, account: str, since: datetime) -> list[Submission]:
    """Orders handed to the broker at or after ``since``, oldest first."""
    columns = order_intents.c
    query = (
        sa.select(order_intents)
        .where(columns.account == account, columns.submitting_at >= since)
        .order_by(columns.submitting_at, columns.client_order_id)
    )
    return [
        Submission(
            client_order_id=row["client_order_id"],
            strategy=row["strategy"],
            symbol=row["symbol"],
            side=row["side"],
            quantity=row["quantity"],
            sent_utc=row["submitting_at"],
        )
        for row in connection.execute(query).mappings()
    ]


def note_unsent(
    connection: sa.Connection, account: str, client_order_id: str, *, at: datetime, run_id: str, message: str
) -> None:
    """Take the holder's name off a submitting order that it did not send: nobody else will send it either.

    Raises:
        LedgerRefusedError: the order is not ``submitting``.
    """
    order = lock_order(connection, account, client_order_id)
    if order.status is not OrderStatus.SUBMITTING:
        msg = f"order {client_order_id} is {order.status.value}: only a submitting order can be unsent"
        raise LedgerRefusedError(msg)
    change_order(connection, order, order.status, at=at, run_id=run_id, message=message, submission_holder=None)


def apply_broker_order(
    connection: sa.Connection, account: str, broker_order: BrokerOrder, *, at: datetime, run_id: str
) -> BrokerOrderResult:
    """Take the broker's word about one order into the ledger, as far as the state machine permits.

    A repeated word changes nothing. Against a final status only an execution counts (``apply_fills``); a live
    status against a final one is a contradiction to be reported, not to be believed.
    """
    found = select_orders(connection, account, client_order_ids=[broker_order.client_order_id], is_locked=True)
    if not found:
        return BrokerOrderResult(broker_order, BrokerOrderEffect.UNKNOWN_ORDER, None)
    order = found[0]
    word = _judge(order, broker_order)
    if isinstance(word, BrokerOrderEffect):
        return BrokerOrderResult(broker_order, word, order.status)

    message = broker_order.message
    if order.perm_id and word.perm_id != order.perm_id:
        message = f"the broker's perm id changed from {order.perm_id} to {word.perm_id}. {message}".strip()
    order = _hand_over(connection, order, word.status, at=at, run_id=run_id)
    if word.status is not order.status and not is_legal_transition(order.status, word.status):
        return BrokerOrderResult(broker_order, BrokerOrderEffect.CONTRADICTION, order.status)
    change_order(
        connection,
        order,
        word.status,
        at=at,
        run_id=run_id,
        message=message,
        raw_status=broker_order.raw_status,
        perm_id=word.perm_id,
        filled_quantity=word.filled_quantity,
        average_fill_price=word.average_fill_price,
    )
    return BrokerOrderResult(broker_order, BrokerOrderEffect.UPDATED, word.status)


def select_without_news(
    connection: sa.Connection, account: str, broker_orders: Sequence[BrokerOrder]
) -> dict[int, BrokerOrderResult]:
    """By position, the words that would change nothing as things stand. One query for all, and no lock."""
    names = [broker_order.client_order_id for broker_order in broker_orders]
    orders = {order.client_order_id: order for order in select_orders(connection, account, client_order_ids=names)}
    found = {}
    for index, broker_order in enumerate(broker_orders):
        order = orders.get(broker_order.client_order_id)
        if order is not None and _judge(order, broker_order) is BrokerOrderEffect.UNCHANGED:
            found[index] = BrokerOrderResult(broker_order, BrokerOrderEffect.UNCHANGED, order.status)
    return found


@dataclass(frozen=True)
class _Word:
    """What an order becomes by the broker's word."""

    status: OrderStatus
    perm_id: int | None
    filled_quantity: Decimal
    average_fill_price: Decimal | None


def _judge(order: LedgerOrder, broker_order: BrokerOrder) -> _Word | BrokerOrderEffect:
    """What the broker's word makes of the order, or why it makes nothing of it."""
    target = broker_order.status
    if order.status in _DEAD and target in _DEAD:
        target = order.status  # brokers have several words for an order that ended without a fill
    if order.status.is_terminal and target is not order.status:
        return BrokerOrderEffect.CONTRADICTION
    says_nothing = target in (OrderStatus.UNKNOWN, OrderStatus.SUBMITTING, *_NEVER_SENT)
    if says_nothing or (order.status is OrderStatus.PARTIALLY_FILLED and target is OrderStatus.SUBMITTED):
        # An approved order is never left approved once the broker has it: it could be sent a second time.
        target = OrderStatus.UNKNOWN if order.status is OrderStatus.APPROVED else order.status

    perm_id = broker_order.perm_id or order.perm_id
    filled = max(order.filled_quantity, broker_order.filled_quantity)
    average = order.average_fill_price
    if broker_order.filled_quantity and broker_order.filled_quantity >= order.filled_quantity:
        average = broker_order.average_fill_price or average
    word = _Word(target, perm_id, filled, average)
    before = _Word(order.status, order.perm_id, order.filled_quantity, order.average_fill_price)
    return BrokerOrderEffect.UNCHANGED if word == before else word


def apply_fills(
    connection: sa.Connection, account: str, new: Sequence[Execution], *, at: datetime, run_id: str
) -> None:
    """Bring the orders' filled quantity and status up to what their recorded fills prove, ``new`` ones among them.

    The broker's word may be ahead of the fills, so the filled quantity only grows; a correction takes back what it
    corrects.
    """
    names = sorted({execution.client_order_id for execution in new})
    taken_back = fill_rows.taken_back(connection, account, new)
    # locked before the fills are summed: of two runs with a fill each, the second must see the first one's
    orders = select_orders(connection, account, client_order_ids=names, is_locked=True)
    totals = fill_rows.totals(connection, account, names)
    for order in orders:
        known = totals.get(order.client_order_id)
        if known is not None:
            note_arrived(connection, account, order.client_order_id, known[0])
            less = taken_back.get(order.client_order_id, Decimal(0))
            _apply_fills(connection, order, known, less, at=at, run_id=run_id)


def _apply_fills(
    connection: sa.Connection,
    order: LedgerOrder,
    known: tuple[Decimal, Decimal | None, int | None],
    taken_back: Decimal,
    *,
    at: datetime,
    run_id: str,
) -> None:
    quantity, average, perm_id = known
    filled = max(order.filled_quantity - taken_back, quantity)
    if quantity < filled and order.average_fill_price is not None:
        average = order.average_fill_price
    target = OrderStatus.FILLED if filled >= order.intent.request.quantity else OrderStatus.PARTIALLY_FILLED
    is_news = quantity > order.filled_quantity
    is_final = order.status in (OrderStatus.REJECTED, OrderStatus.FILLED)
    if is_final or filled == 0 or (order.status.is_terminal and not is_news):
        target = order.status
    perm_id = order.perm_id or perm_id
    before = (order.status, order.perm_id, order.filled_quantity, order.average_fill_price)
    if (target, perm_id, filled, average) == before:
        return
    order = _hand_over(connection, order, target, at=at, run_id=run_id)
    change_order(
        connection,
        order,
        target,
        at=at,
        run_id=run_id,
        message="proved by executions",
        perm_id=perm_id,
        filled_quantity=filled,
        average_fill_price=average,
    )


def _hand_over(
    connection: sa.Connection, order: LedgerOrder, target: OrderStatus, *, at: datetime, run_id: str
) -> LedgerOrder:
    """An approved order that the broker turns out to have: first record that it went out."""
    if order.status is not OrderStatus.APPROVED or target is OrderStatus.APPROVED:
        return order
    change_order(
        connection,
        order,
        OrderStatus.SUBMITTING,
        at=at,
        run_id=run_id,
        message="the broker has it already, though this ledger never sent it",
        submitting_at=at,
    )
    return lock_order(connection, order.intent.account, order.client_order_id)
