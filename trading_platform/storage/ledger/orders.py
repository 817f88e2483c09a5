"""Ticks, intents, risk decisions and order events, within a transaction that the caller opens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from trading_platform.domain.orders.model import (
    OrderIntent,
    OrderRequest,
    OrderStatus,
    RiskDecision,
)
from trading_platform.domain.orders.state import ensure_transition
from trading_platform.storage.ledger.errors import UnknownOrderError
from trading_platform.storage.ledger.history import insert_decisions
from trading_platform.storage.ledger.model import (
    LedgerOrder,
    Tick,
)
from trading_platform.storage.ledger.tables import (
    order_events,
    order_intents,
    order_replacements,
    strategy_ticks,
)

Row = sa.RowMapping


def insert_tick(
    connection: sa.Connection,
    tick: Tick,
    intents: Sequence[tuple[OrderIntent, RiskDecision]],
    *,
    cancels: Sequence[str] = (),
    signal_version: str | None = None,
    model_version: str | None = None,
) -> bool:
    """Store a tick with its decided intents. Returns False, and stores nothing, if the tick is there already.

    Two transactions at once: the second waits at the primary key until the first has ended.
    """
    for intent, decision in intents:
        _require_same_tick(tick, intent, decision)
    values = {name: getattr(tick, name) for name in strategy_ticks.columns.keys()}  # noqa: SIM118  (not a dict)
    statement = insert(strategy_ticks).values(values).on_conflict_do_nothing().returning(strategy_ticks.c.account)
    if connection.execute(statement).first() is None:
        return False
    _expire_overtaken(connection, tick)
    if not intents:
        _insert_replacements(connection, tick, [], cancels)
        return True
    versions = {"signal_version": signal_version, "model_version": model_version}
    connection.execute(sa.insert(order_intents), [_intent_values(tick, intent) | versions for intent, _ in intents])
    connection.execute(
        sa.insert(order_events),
        [event_values(tick.account, intent.client_order_id, None, OrderStatus.CREATED, tick) for intent, _ in intents],
    )
    _insert_replacements(connection, tick, [intent for intent, _ in intents], cancels)
    insert_decisions(
        connection,
        tick.account,
        [decision for _, decision in intents],
        stage="decision",
        at=tick.decided_at,
        run_id=tick.dagster_run_id,
    )
    for status in (OrderStatus.APPROVED, OrderStatus.REJECTED):
        decided = [d for _, d in intents if d.is_approved == (status is OrderStatus.APPROVED)]
        if decided:
            _decide(connection, tick, status, decided)
    return True


def select_tick(connection: sa.Connection, account: str, strategy: str, tick_utc: datetime) -> Tick | None:
    """The stored tick, or None."""
    row = (
        connection.execute(
            sa.select(strategy_ticks).where(
                strategy_ticks.c.account == account,
                strategy_ticks.c.strategy == strategy,
                strategy_ticks.c.tick_utc == tick_utc,
            )
        )
        .mappings()
        .first()
    )
    return None if row is None else Tick(**row)


def select_cancels(connection: sa.Connection, account: str, strategy: str, tick_utc: datetime) -> list[str]:
    """Orders that the tick wants called off without another in their place, by name."""
    columns = order_replacements.c
    query = (
        sa.select(columns.client_order_id)
        .where(
            columns.account == account,
            columns.strategy == strategy,
            columns.tick_utc == tick_utc,
            columns.replaced_by.is_(None),
        )
        .order_by(columns.client_order_id)
    )
    return list(connection.scalars(query))


def has_newer_tick(connection: sa.Connection, account: str, strategy: str, tick_utc: datetime) -> bool:
    """Whether the strategy has decided again since ``tick_utc``."""
    newest = connection.scalar(
        sa.select(sa.func.max(strategy_ticks.c.tick_utc)).where(
            strategy_ticks.c.account == account, strategy_ticks.c.strategy == strategy
        )
    )
    return newest is not None and newest > tick_utc


def select_orders(
    connection: sa.Connection,
    account: str,
    *,
    strategy: str | None = None,
    session: str | None = None,
    first_session: str | None = None,
    tick_utc: datetime | None = None,
    statuses: Collection[OrderStatus] | None = None,
    client_order_ids: Collection[str] | None = None,
    is_locked: bool = False,
) -> list[LedgerOrder]:
    """Orders that satisfy every given condition, by tick and client order id; locked FOR UPDATE on request."""
    columns = order_intents.c
    query = _all_orders().where(columns.account == account)
    if strategy is not None:
        query = query.where(columns.strategy == strategy)
    if session is not None:
        query = query.where(columns.session == session)
    if first_session is not None:
        query = query.where(columns.session >= first_session)
    if tick_utc is not None:
        query = query.where(columns.tick_utc == tick_utc)
    if statuses is not None:
        query = query.where(columns.status.in_([status.value for status in statuses]))
    if client_order_ids is not None:
        query = query.where(columns.client_order_id.in_(list(client_order_ids)))
    if is_locked:
        query = query.with_for_update()
    return [_order(row) for row in connection.execute(query).mappings()]


def lock_order(connection: sa.Connection, account: str, client_order_id: str) -> LedgerOrder:
    """The order, locked until the transaction ends.

    Raises:
        UnknownOrderError: the ledger does not hold it.
    """
    found = select_orders(connection, account, client_order_ids=[client_order_id], is_locked=True)
    if not found:
        msg = f"the ledger has no order {client_order_id} of account {account}"
        raise UnknownOrderError(msg)
    return found[0]


def change_order(
    connection: sa.Connection,
    order: LedgerOrder,
    to: OrderStatus,
    *,
    at: datetime,
    run_id: str,
    message: str = "",
    raw_status: str = "",
    **changes: Any,
) -> None:
    """Move a locked order to ``to`` (or leave its status) with other column changes, and log the event.

    Raises:
        IllegalTransitionError: ``to`` may not follow the order's status.
    """
    if to is not order.status:
        ensure_transition(order.status, to)
    connection.execute(
        sa.update(order_intents)
        .where(
            order_intents.c.account == order.intent.account,
            order_intents.c.client_order_id == order.client_order_id,
        )
        .values(status=to.value, updated_at=at, **changes)
    )
    connection.execute(
        sa.insert(order_events).values(
            account=order.intent.account,
            client_order_id=order.client_order_id,
            from_status=order.status.value,
            to_status=to.value,
            raw_status=raw_status,
            perm_id=changes.get("perm_id", order.perm_id),
            filled_quantity=changes.get("filled_quantity", order.filled_quantity),
            message=message,
            ts_utc=at,
            dagster_run_id=run_id,
        )
    )


def note_arrived(connection: sa.Connection, account: str, client_order_id: str, quantity: Decimal) -> None:
    """Keep what a locked order's known fills sum up to."""
    columns = order_intents.c
    connection.execute(
        sa.update(order_intents)
        .where(columns.account == account, columns.client_order_id == client_order_id)
        .values(arrived_quantity=quantity)
    )


def event_values(
    account: str, client_order_id: str, from_: OrderStatus | None, to: OrderStatus, tick: Tick, *, message: str = ""
) -> dict[str, Any]:
    """The row of an event that happened when the tick was decided."""
    return {
        "account": account,
        "client_order_id": client_order_id,
        "from_status": None if from_ is None else from_.value,
        "to_status": to.value,
        "raw_status": "",
        "perm_id": None,
        "filled_quantity": Decimal(0),
        "message": message,
        "ts_utc": tick.decided_at,
        "dagster_run_id": tick.dagster_run_id,
    }


@lru_cache(maxsize=1)
def _all_orders() -> sa.Select[Any]:
    """All orders with what they replace, by tick and client order id. Built once: a tick asks for orders often."""
    query = sa.select(order_intents, _replaced().label("replaces"))
    return query.order_by(order_intents.c.tick_utc, order_intents.c.client_order_id)


def _replaced() -> sa.ScalarSelect[Any]:
    """What an order, or the entry of its bracket, replaces."""
    old, new = order_replacements.c, order_intents.c
    return (
        sa.select(sa.func.array_agg(aggregate_order_by(old.client_order_id, old.client_order_id)))
        .where(old.account == new.account, old.replaced_by == sa.func.coalesce(new.oca_group, new.client_order_id))
        .correlate(order_intents)
        .scalar_subquery()
    )


def _insert_replacements(
    connection: sa.Connection, tick: Tick, intents: Sequence[OrderIntent], cancels: Sequence[str]
) -> None:
    """Note what the tick wants gone. Of a bracket the entry's word counts."""
    pairs: dict[str, str | None] = dict.fromkeys(cancels)
    for intent in intents:
        if not intent.request.is_exit:
            pairs |= dict.fromkeys(intent.replaces, intent.client_order_id)
    if pairs:
        key = {"account": tick.account, "strategy": tick.strategy, "tick_utc": tick.tick_utc}
        rows = [{**key, "client_order_id": old, "replaced_by": new} for old, new in sorted(pairs.items())]
        connection.execute(sa.insert(order_replacements), rows)


def _expire_overtaken(connection: sa.Connection, tick: Tick) -> None:
    """Approved orders of earlier ticks that nobody has sent are out of date once the strategy decides anew."""
    waiting = select_orders(
        connection, tick.account, strategy=tick.strategy, statuses=[OrderStatus.APPROVED], is_locked=True
    )
    for order in waiting:
        if order.intent.tick_utc < tick.tick_utc:
            change_order(
                connection,
                order,
                OrderStatus.EXPIRED,
                at=tick.decided_at,
                run_id=tick.dagster_run_id,
                message=f"never sent; overtaken by the tick of {tick.tick_utc.isoformat()}",
            )


def _decide(connection: sa.Connection, tick: Tick, status: OrderStatus, decisions: list[RiskDecision]) -> None:
    connection.execute(
        sa.update(order_intents)
        .where(
            order_intents.c.account == tick.account,
            order_intents.c.client_order_id.in_([decision.client_order_id for decision in decisions]),
        )
        .values(status=status.value, updated_at=tick.decided_at)
    )
    connection.execute(
        sa.insert(order_events),
        [
            event_values(
                tick.account, d.client_order_id, OrderStatus.CREATED, status, tick, message="; ".join(d.reasons)
            )
            for d in decisions
        ],
    )


def _require_same_tick(tick: Tick, intent: OrderIntent, decision: RiskDecision) -> None:
    ours = (tick.account, tick.strategy, tick.tick_utc, tick.session)
    if (intent.account, intent.strategy, intent.tick_utc, intent.session) != ours:
        msg = f"intent {intent.client_order_id} belongs to another account, strategy, tick or session than {tick}"
        raise ValueError(msg)
    if decision.client_order_id != intent.client_order_id:
        msg = f"the decision of {decision.client_order_id} was handed in for {intent.client_order_id}"
        raise ValueError(msg)


def _intent_values(tick: Tick, intent: OrderIntent) -> dict[str, Any]:
    request = intent.request
    return {
        "account": intent.account,
        "client_order_id": request.client_order_id,
        "strategy": intent.strategy,
        "symbol": request.symbol,
        "side": request.side,
        "quantity": request.quantity,
        "order_type": request.order_type,
        "time_in_force": request.time_in_force,
        "limit_price": request.limit_price,
        "stop_price": request.stop_price,
        "decision_price": intent.decision_price,
        "target_weight": intent.target_weight,
        "confidence": intent.confidence,
        "reason": intent.reason,
        "session": intent.session,
        "tick_utc": intent.tick_utc,
        "as_of_utc": intent.as_of_utc,
        "status": OrderStatus.CREATED.value,
        "filled_quantity": Decimal(0),
        "dagster_run_id": tick.dagster_run_id,
        "code_version": tick.code_version,
        "created_at": tick.decided_at,
        "updated_at": tick.decided_at,
        "trail_amount": request.trail_amount,
        "trail_percent": request.trail_percent,
        "good_till_utc": request.good_till_utc,
        "parent_id": request.parent_id or None,
        "oca_group": request.oca_group or None,
        "position_quantity": intent.position_quantity,
    }


def _order(row: Row) -> LedgerOrder:
    request = OrderRequest(
        row["client_order_id"],
        row["symbol"],
        row["side"],
        row["quantity"],
        row["order_type"],
        row["time_in_force"],
        row["limit_price"],
        row["stop_price"],
        row["trail_amount"],
        row["trail_percent"],
        row["good_till_utc"],
        row["parent_id"] or "",
        row["oca_group"] or "",
    )
    intent = OrderIntent(
        request,
        row["strategy"],
        row["account"],
        row["session"],
        row["tick_utc"],
        row["as_of_utc"],
        row["decision_price"],
        row["target_weight"],
        row["confidence"],
        row["reason"],
        tuple(row["replaces"] or ()),
        row["position_quantity"],
    )
    return LedgerOrder(
        intent=intent,
        status=OrderStatus(row["status"]),
        perm_id=row["perm_id"],
        filled_quantity=row["filled_quantity"],
        arrived_quantity=row["arrived_quantity"],
        average_fill_price=row["average_fill_price"],
        dagster_run_id=row["dagster_run_id"],
        code_version=row["code_version"],
        signal_version=row["signal_version"],
        model_version=row["model_version"],
        submission_token=row["submission_token"],
        submission_holder=row["submission_holder"],
        submitting_at=row["submitting_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
