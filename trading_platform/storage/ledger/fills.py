"""Executions and what follows from them, within a transaction that the caller opens.

Positions are derived from fills alone. IBKR corrects an execution by sending it again with the last part of
its id raised (…01.02 after …01.01); the view ``effective_fills`` holds the newest of each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from trading_platform.domain.orders.model import Execution
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.storage.ledger.errors import FillConflictError
from trading_platform.storage.ledger.model import WORKING, Fill
from trading_platform.storage.ledger.tables import effective_fills, fills, order_intents

_CORRECTABLE = re.compile(r"^([0-9a-f]+\.[0-9a-f]+\.\d{2})\.(\d{2})$")
_FACTS = ("symbol", "side", "quantity", "price", "client_order_id")


def split_execution_id(execution_id: str) -> tuple[str, int]:
    """An execution's series and revision: IBKR's ``0000e0d5.6582a1b2.01.02`` is revision 2 of ``….01``.

    An id of any other form is a series of its own, revision 1.
    """
    match = _CORRECTABLE.match(execution_id)
    return (match[1], int(match[2])) if match else (execution_id, 1)


def insert_executions(
    connection: sa.Connection, executions: Sequence[Execution], *, at: datetime, run_id: str
) -> list[Execution]:
    """Store executions and commissions that are new. Returns the executions that were not known.

    Raises:
        FillConflictError: an execution id is known with other numbers.
    """
    if not executions:
        return []
    unique = {(e.account, e.execution_id): e for e in executions}
    known = _known(connection, unique.values())
    inserted = _insert(connection, [unique[key] for key in sorted(unique.keys() - known)], at=at, run_id=run_id)
    repeated = [execution for key, execution in unique.items() if key not in inserted]
    if repeated:
        _compare(connection, repeated)
    return [execution for key, execution in unique.items() if key in inserted]


def _known(connection: sa.Connection, executions: Collection[Execution]) -> set[tuple[str, str]]:
    query = sa.select(fills.c.account, fills.c.execution_id).where(
        fills.c.account.in_({e.account for e in executions}),
        fills.c.execution_id.in_([e.execution_id for e in executions]),
    )
    return {(row.account, row.execution_id) for row in connection.execute(query)}


def _insert(
    connection: sa.Connection, executions: Sequence[Execution], *, at: datetime, run_id: str
) -> set[tuple[str, str]]:
    """Store executions. Returns the keys of those that another transaction has not stored meanwhile."""
    if not executions:
        return set()
    strategies = _strategies(connection, executions)
    rows = [_values(e, strategies.get((e.account, e.client_order_id)), at=at, run_id=run_id) for e in executions]
    statement = insert(fills).values(rows).on_conflict_do_nothing()
    return {tuple(row) for row in connection.execute(statement.returning(fills.c.account, fills.c.execution_id))}


def select_fills(
    connection: sa.Connection,
    account: str,
    *,
    strategy: str | None = None,
    since: datetime | None = None,
    client_order_ids: Collection[str] | None = None,
) -> list[Fill]:
    """Effective fills by time, then execution id."""
    columns = effective_fills.c
    query = sa.select(effective_fills).where(columns.account == account)
    if strategy is not None:
        query = query.where(columns.strategy == strategy)
    if since is not None:
        query = query.where(columns.ts_utc >= since)
    if client_order_ids is not None:
        query = query.where(columns.client_order_id.in_(list(client_order_ids)))
    return [_fill(row) for row in connection.execute(query.order_by(columns.ts_utc, columns.execution_id)).mappings()]


def totals(
    connection: sa.Connection, account: str, client_order_ids: Collection[str]
) -> dict[str, tuple[Decimal, Decimal | None, int | None]]:
    """Per order with fills: filled quantity, average price (``None`` if all was taken back), the fills' perm id."""
    columns = effective_fills.c
    query = (
        sa.select(
            columns.client_order_id,
            sa.func.sum(columns.quantity),
            sa.func.sum(columns.quantity * columns.price),
            sa.func.max(columns.perm_id),
        )
        .where(columns.account == account, columns.client_order_id.in_(list(client_order_ids)))
        .group_by(columns.client_order_id)
    )
    return {
        str(client_order_id): (quantity, notional / quantity if quantity > 0 else None, perm_id)
        for client_order_id, quantity, notional, perm_id in connection.execute(query)
    }


def taken_back(connection: sa.Connection, account: str, new: Sequence[Execution]) -> dict[str, Decimal]:
    """Per order, by how much the corrections among the ``new`` executions are smaller than what they correct."""
    corrections = {split_execution_id(e.execution_id)[0] for e in new if split_execution_id(e.execution_id)[1] > 1}
    if not corrections:
        return {}
    query = (
        sa.select(fills.c.series, fills.c.client_order_id, fills.c.execution_id, fills.c.quantity)
        .where(fills.c.account == account, fills.c.series.in_(corrections))
        .order_by(fills.c.series, fills.c.revision)
    )
    fresh = {execution.execution_id for execution in new}
    before: dict[str, Decimal] = {}
    after: dict[str, Decimal] = {}
    orders: dict[str, str] = {}
    for series, client_order_id, execution_id, quantity in connection.execute(query):
        orders[series] = client_order_id or ""
        after[series] = quantity
        if execution_id not in fresh:
            before[series] = quantity
    result: dict[str, Decimal] = defaultdict(Decimal)
    for series, quantity in before.items():
        result[orders[series]] += max(quantity - after[series], Decimal(0))
    return dict(result)


def positions(connection: sa.Connection, account: str, strategy: str | None = None) -> dict[str, Decimal]:
    """Signed quantity per symbol, summed over effective fills; flat symbols are left out."""
    columns = effective_fills.c
    query = (
        sa.select(columns.symbol, sa.func.sum(_signed(columns.side, columns.quantity)))
        .where(columns.account == account)
        .group_by(columns.symbol)
        .order_by(columns.symbol)
    )
    if strategy is not None:
        query = query.where(columns.strategy == strategy)
    return {str(symbol): quantity for symbol, quantity in connection.execute(query) if quantity}


def working_orders(connection: sa.Connection, account: str, strategy: str | None = None) -> list[WorkingOrder]:
    """Orders that may still add to the position, with the quantity they may add.

    Of a working or doubtful order that is all that is not yet a known fill; of a finished one what the broker
    says was filled and whose execution has not arrived yet (a status can be faster than its execution).
    """
    columns = order_intents.c
    is_working = columns.status.in_([status.value for status in WORKING])
    query = (
        sa.select(order_intents, is_working.label("is_working"))
        .where(columns.account == account, sa.or_(is_working, columns.filled_quantity > columns.arrived_quantity))
        .order_by(columns.tick_utc, columns.client_order_id)
    )
    if strategy is not None:
        query = query.where(columns.strategy == strategy)
    result = []
    for order in connection.execute(query).mappings():
        expected = order["quantity"] if order["is_working"] else order["filled_quantity"]
        arrived = order["arrived_quantity"]
        if expected > arrived:
            result.append(
                WorkingOrder(
                    client_order_id=order["client_order_id"],
                    strategy=order["strategy"],
                    symbol=order["symbol"],
                    side=order["side"],
                    remaining_quantity=expected - arrived,
                    limit_price=order["limit_price"],
                    stop_price=order["stop_price"],
                    oca_group=order["oca_group"] or "",
                )
            )
    return result


def open_quantities(connection: sa.Connection, account: str, strategy: str | None = None) -> dict[str, Decimal]:
    """Signed sum of :func:`working_orders` per symbol; zeros are left out."""
    result: dict[str, Decimal] = defaultdict(Decimal)
    for order in working_orders(connection, account, strategy):
        result[order.symbol] += order.signed_quantity
    return {symbol: quantity for symbol, quantity in sorted(result.items()) if quantity}


def _signed(side: sa.ColumnElement[str], quantity: sa.ColumnElement[Decimal]) -> sa.ColumnElement[Decimal]:
    return sa.case((side == "BUY", quantity), else_=-quantity)


def _strategies(connection: sa.Connection, executions: Collection[Execution]) -> dict[tuple[str, str], str]:
    columns = order_intents.c
    query = sa.select(columns.account, columns.client_order_id, columns.strategy).where(
        columns.account.in_({e.account for e in executions}),
        columns.client_order_id.in_({e.client_order_id for e in executions}),
    )
    return {(row.account, row.client_order_id): row.strategy for row in connection.execute(query)}


def _compare(connection: sa.Connection, executions: Sequence[Execution]) -> None:
    """Compare executions that the ledger holds with what is reported now, and add commissions that were missing."""
    query = sa.select(fills).where(
        fills.c.account.in_({e.account for e in executions}),
        fills.c.execution_id.in_([e.execution_id for e in executions]),
    )
    stored = {(row["account"], row["execution_id"]): row for row in connection.execute(query).mappings()}
    for execution in executions:
        row = stored[execution.account, execution.execution_id]
        theirs = {name: getattr(execution, name) or None for name in _FACTS}
        ours = {name: row[name] or None for name in _FACTS}
        if theirs != ours:
            msg = (
                f"execution {execution.execution_id} of account {execution.account} is in the ledger as {ours}, "
                f"the broker now reports {theirs}. Was the paper account reset while the ledger was kept? Then give "
                "the fresh account another id, or start with an empty ledger"
            )
            raise FillConflictError(msg)
    _add_commissions(connection, [e for e in executions if stored[e.account, e.execution_id]["commission"] is None])


def _add_commissions(connection: sa.Connection, executions: Sequence[Execution]) -> None:
    reported = [e for e in executions if e.commission is not None]
    if not reported:
        return
    connection.execute(
        sa.update(fills)
        .where(
            fills.c.account == sa.bindparam("in_account"),
            fills.c.execution_id == sa.bindparam("in_execution_id"),
            fills.c.commission.is_(None),
        )
        .values(
            commission=sa.bindparam("in_commission"),
            realized_pnl=sa.func.coalesce(fills.c.realized_pnl, sa.bindparam("in_realized_pnl", type_=sa.Numeric())),
        ),
        [
            {
                "in_account": e.account,
                "in_execution_id": e.execution_id,
                "in_commission": e.commission,
                "in_realized_pnl": e.realized_pnl,
            }
            for e in reported
        ],
    )


def _values(execution: Execution, strategy: str | None, *, at: datetime, run_id: str) -> dict[str, Any]:
    series, revision = split_execution_id(execution.execution_id)
    return {
        "account": execution.account,
        "execution_id": execution.execution_id,
        "series": series,
        "revision": revision,
        "client_order_id": execution.client_order_id or None,
        "strategy": strategy,
        "perm_id": execution.perm_id or None,
        "symbol": execution.symbol,
        "side": execution.side,
        "quantity": execution.quantity,
        "price": execution.price,
        "commission": execution.commission,
        "realized_pnl": execution.realized_pnl,
        "ts_utc": execution.ts_utc,
        "recorded_at": at,
        "dagster_run_id": run_id,
    }


def _fill(row: sa.RowMapping) -> Fill:
    execution = Execution(
        execution_id=row["execution_id"],
        client_order_id=row["client_order_id"] or "",
        perm_id=row["perm_id"] or 0,
        account=row["account"],
        symbol=row["symbol"],
        side=row["side"],
        quantity=row["quantity"],
        price=row["price"],
        commission=row["commission"],
        realized_pnl=row["realized_pnl"],
        ts_utc=row["ts_utc"],
    )
    return Fill(execution, row["strategy"], row["recorded_at"], row["dagster_run_id"])
