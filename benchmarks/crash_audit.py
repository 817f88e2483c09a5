"""The ledger against the broker's own books: the paper gateway's state file, read directly and not through its API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa
from crash_world import ACCOUNT, STARTING_CASH

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.paper_gateway.model import PaperExecution, PaperOrder
from trading_platform.paper_gateway.state import SavedState
from trading_platform.paper_gateway.store import Store
from trading_platform.storage.ledger import Ledger, LedgerOrder
from trading_platform.storage.ledger.database import parse_url
from trading_platform.storage.ledger.model import IN_DOUBT
from trading_platform.storage.ledger.tables import fills

_AT_BROKER = {
    OrderStatus.SUBMITTED: ("PreSubmitted", "Submitted"),
    OrderStatus.PARTIALLY_FILLED: ("PreSubmitted", "Submitted"),
    OrderStatus.FILLED: ("Filled",),
    OrderStatus.CANCELLED: ("Cancelled",),
    OrderStatus.EXPIRED: ("Cancelled",),
}
_NEVER_THERE = (
    OrderStatus.CREATED,
    OrderStatus.APPROVED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
    OrderStatus.BROKER_REJECTED,
)


@dataclass
class Audit:
    """What was compared, and every difference as a sentence."""

    orders: int = 0
    executions: int = 0
    positions: int = 0
    cash: Decimal = Decimal(0)
    replacements: int = 0
    differences: list[str] = field(default_factory=list)


def audit(ledger_url: str, state_file: Path) -> Audit:
    """Compare everything. The gateway must not run, since it holds its file."""
    store = Store(state_file)
    state = store.load()
    store.close()
    if state is None:
        return Audit(differences=["the gateway has no state"])
    ledger = Ledger(ledger_url)
    try:
        orders = {order.client_order_id: order for order in ledger.orders(ACCOUNT)}
        from_fills = ledger.positions_from_fills(ACCOUNT)
    finally:
        ledger.close()
    replacements = sum(1 for order in orders.values() if order.intent.replaces and order.perm_id is not None)
    result = Audit(len(state.orders), len(state.executions), len(state.positions), state.header.cash, replacements)
    result.differences = [
        *_duplicates(state.orders),
        *_orders(state.orders, orders),
        *_fills(ledger_url, state.executions),
        *_positions(state, from_fills),
        *_cash(ledger_url, state),
    ]
    return result


def _duplicates(at_broker: list[PaperOrder]) -> Iterator[str]:
    for reference, times in Counter(order.ticket.order_ref for order in at_broker).items():
        if times > 1 or not reference:
            yield f"DUPLICATE: {reference or 'an order without a name'} is at the broker {times} times"


def _orders(at_broker: list[PaperOrder], in_ledger: dict[str, LedgerOrder]) -> Iterator[str]:
    broker = {order.ticket.order_ref: order for order in at_broker}
    for reference, theirs in broker.items():
        ours = in_ledger.get(reference)
        if ours is None:
            yield f"LOST: the broker's {reference} is not in the ledger"
            continue
        if ours.perm_id != theirs.perm_id:
            yield f"LOST: {reference} is {theirs.perm_id} at the broker and {ours.perm_id} in the ledger"
        if theirs.status not in _AT_BROKER.get(ours.status, ()):
            yield f"STATUS: {reference} is {theirs.status} at the broker and {ours.status.value} in the ledger"
        if ours.arrived_quantity != theirs.filled:
            yield f"ARRIVED: {reference} is filled {theirs.filled} at the broker, {ours.arrived_quantity} arrived here"
        if ours.filled_quantity != theirs.filled:
            yield f"FILLED: {reference} is filled {theirs.filled} at the broker and {ours.filled_quantity} here"
        is_expired = "expired" in theirs.completed_status
        if is_expired != (ours.status is OrderStatus.EXPIRED):
            yield f"EXPIRED: {reference} ended at the broker as {theirs.completed_status}, here {ours.status.value}"
    for reference, ours in in_ledger.items():
        if ours.status in IN_DOUBT:
            yield f"UNKNOWN: {reference} is {ours.status.value} in the ledger"
        elif reference not in broker and (ours.status not in _NEVER_THERE or ours.perm_id is not None):
            yield f"LOST: {reference} is {ours.status.value} in the ledger and not at the broker"


def _fills(ledger_url: str, at_broker: list[PaperExecution]) -> Iterator[str]:
    ours = {row["execution_id"]: row for row in _fill_rows(ledger_url)}
    theirs = {execution.exec_id: execution for execution in at_broker}
    for name in ours.keys() ^ theirs.keys():
        yield f"FILL: {name} is only {'in the ledger' if name in ours else 'at the broker'}"
    for name in ours.keys() & theirs.keys():
        row, execution = ours[name], theirs[name]
        here = (row["client_order_id"], row["perm_id"], row["symbol"], row["side"], row["quantity"], row["price"])
        there = (
            execution.order_ref,
            execution.perm_id,
            execution.contract.symbol,
            execution.action,
            execution.quantity,
            execution.price,
        )
        if here != there:
            yield f"FILL: {name} is {here} in the ledger and {there} at the broker"
        if row["commission"] != execution.commission:
            yield f"COMMISSION: {name} cost {execution.commission}, the ledger has {row['commission']}"


def _positions(state: SavedState, from_fills: dict[str, Decimal]) -> Iterator[str]:
    theirs = {position.contract.symbol: position.quantity for position in state.positions}
    for symbol in sorted(theirs.keys() | from_fills.keys()):
        here, there = from_fills.get(symbol, Decimal(0)), theirs.get(symbol, Decimal(0))
        if here != there:
            yield f"POSITION: {symbol} is {there} at the broker, {here} by the ledger's fills"


def _cash(ledger_url: str, state: SavedState) -> Iterator[str]:
    spent = Decimal(0)
    for row in _fill_rows(ledger_url):
        sign = 1 if row["side"] == "BUY" else -1
        spent += sign * row["quantity"] * row["price"] + (row["commission"] or Decimal(0))
    if STARTING_CASH - spent != state.header.cash:
        yield f"CASH: {state.header.cash} at the broker, {STARTING_CASH - spent} by the ledger's fills"


def _fill_rows(ledger_url: str) -> list[sa.RowMapping]:
    """All rows of the table, corrections and doubles included if there were any."""
    engine = sa.create_engine(parse_url(ledger_url))
    try:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(fills).where(fills.c.account == ACCOUNT)).mappings())
    finally:
        engine.dispose()
