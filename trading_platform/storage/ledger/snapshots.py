"""What the account held and was worth at one instant, within a transaction that the caller opens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from trading_platform.domain.orders.model import AccountSummary, Position
from trading_platform.domain.orders.risk.context import EquityMarks
from trading_platform.storage.ledger.model import EquitySnapshot
from trading_platform.storage.ledger.tables import equity_snapshots, position_snapshots


def insert_positions(
    connection: sa.Connection, account: str, positions: Sequence[Position], *, at: datetime, run_id: str
) -> None:
    """Store the broker's holdings. A symbol that was held at the last snapshot and is gone is stored as zero."""
    held = {position.symbol: position for position in positions if position.quantity}
    gone = [p.symbol for p in latest_positions(connection, account) if p.symbol not in held]
    rows = [{"symbol": p.symbol, "quantity": p.quantity, "average_price": p.average_price} for p in held.values()] + [
        {"symbol": symbol, "quantity": Decimal(0), "average_price": Decimal(0)} for symbol in gone
    ]
    if rows:
        common = {"account": account, "ts_utc": at, "dagster_run_id": run_id}
        statement = insert(position_snapshots).values([{**common, **row} for row in rows])
        connection.execute(statement.on_conflict_do_nothing())


def latest_positions(connection: sa.Connection, account: str) -> list[Position]:
    """The holdings of the newest snapshot, by symbol."""
    columns = position_snapshots.c
    newest = (
        sa.select(columns.symbol, sa.func.max(columns.ts_utc).label("ts_utc"))
        .where(columns.account == account)
        .group_by(columns.symbol)
        .subquery()
    )
    query = (
        sa.select(position_snapshots)
        .join(newest, sa.and_(columns.symbol == newest.c.symbol, columns.ts_utc == newest.c.ts_utc))
        .where(columns.account == account)
        .order_by(columns.symbol)
    )
    return [
        Position(row["account"], row["symbol"], row["quantity"], row["average_price"])
        for row in connection.execute(query).mappings()
        if row["quantity"]
    ]


def insert_equity(connection: sa.Connection, summary: AccountSummary, *, run_id: str) -> None:
    """Store the account's money figures; a second report of the same instant changes nothing."""
    statement = insert(equity_snapshots).values(
        account=summary.account,
        ts_utc=summary.ts_utc,
        currency=summary.currency,
        net_liquidation=summary.net_liquidation,
        total_cash=summary.total_cash,
        gross_position_value=summary.gross_position_value,
        dagster_run_id=run_id,
    )
    connection.execute(statement.on_conflict_do_nothing())


def select_equity(connection: sa.Connection, account: str, *, since: datetime | None = None) -> list[EquitySnapshot]:
    """Equity snapshots, oldest first."""
    columns = equity_snapshots.c
    query = sa.select(equity_snapshots).where(columns.account == account).order_by(columns.ts_utc)
    if since is not None:
        query = query.where(columns.ts_utc >= since)
    return [
        EquitySnapshot(
            row["account"],
            row["ts_utc"],
            row["currency"],
            row["net_liquidation"],
            row["total_cash"],
            row["gross_position_value"],
        )
        for row in connection.execute(query).mappings()
    ]


def select_equity_marks(
    connection: sa.Connection, account: str, *, session_start: datetime, peak_since: datetime
) -> EquityMarks | None:
    """Equity at the session's start and the highest since ``peak_since``; ``None`` without any reading.

    The last reading up to ``session_start`` counts, or the first one after it.
    """
    columns = equity_snapshots.c
    of_account = sa.select(columns.net_liquidation).where(columns.account == account)
    start = connection.scalar(
        of_account.where(columns.ts_utc <= session_start).order_by(columns.ts_utc.desc()).limit(1)
    )
    if start is None:
        start = connection.scalar(of_account.order_by(columns.ts_utc).limit(1))
    if start is None:
        return None
    peak = connection.scalar(
        sa.select(sa.func.max(columns.net_liquidation)).where(columns.account == account, columns.ts_utc >= peak_since)
    )
    return EquityMarks(start, start if peak is None else max(peak, start))
