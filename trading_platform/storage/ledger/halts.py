"""Halts, within a transaction that the caller opens."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from trading_platform.storage.ledger.errors import LedgerRefusedError
from trading_platform.storage.ledger.model import ALL_ACCOUNTS, Halt
from trading_platform.storage.ledger.tables import halts


def select_active(connection: sa.Connection, account: str) -> list[Halt]:
    """Halts in force for the account, oldest first, with those that concern all accounts."""
    return _halts(connection, halts.c.scope.in_([account, ALL_ACCOUNTS]), halts.c.cleared_at.is_(None))


def select_all(connection: sa.Connection, account: str) -> list[Halt]:
    """Every halt that ever concerned the account, oldest first."""
    return _halts(connection, halts.c.scope.in_([account, ALL_ACCOUNTS]))


def freeze(connection: sa.Connection) -> None:
    """Let no halt be set between here and the end of the transaction; wait for one that is being set.

    Whoever sets a halt thereby waits for the orders that were let go just before: when its transaction has ended,
    every order that slipped through is already recorded as ``submitting``, and no other will be. Holds for halts
    set by hand in SQL too.
    """
    connection.execute(sa.text("LOCK TABLE halts IN SHARE MODE"))


def insert_halt(connection: sa.Connection, scope: str, *, reason: str, who: str, at: datetime) -> Halt:
    """Set a halt."""
    row = (
        connection.execute(sa.insert(halts).values(scope=scope, reason=reason, who=who, set_at=at).returning(*halts.c))
        .mappings()
        .one()
    )
    return _halt(row)


def clear(connection: sa.Connection, halt_id: int, *, reason: str, who: str, at: datetime) -> Halt:
    """Clear one active halt.

    Raises:
        LedgerRefusedError: there is no such halt, or it is cleared already.
    """
    row = (
        connection.execute(
            sa.update(halts)
            .where(halts.c.id == halt_id, halts.c.cleared_at.is_(None))
            .values(cleared_at=at, cleared_by=who, clear_reason=reason)
            .returning(*halts.c)
        )
        .mappings()
        .first()
    )
    if row is None:
        msg = f"there is no active halt {halt_id}"
        raise LedgerRefusedError(msg)
    return _halt(row)


def _halts(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Halt]:
    query = sa.select(halts).where(*conditions).order_by(halts.c.id)
    return [_halt(row) for row in connection.execute(query).mappings()]


def _halt(row: sa.RowMapping) -> Halt:
    return Halt(
        row["id"],
        row["scope"],
        row["reason"],
        row["who"],
        row["set_at"],
        row["cleared_at"],
        row["cleared_by"],
        row["clear_reason"],
    )
