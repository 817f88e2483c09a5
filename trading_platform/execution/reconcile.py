"""The broker's truth into the ledger, and what remains to be explained.

Reconciliation sends nothing and needs no lease: whatever it finds at the broker is true, whoever sent it. What the
broker does not list is closed only where that is proved to be right (``closing``); the rest is for a person.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.orders.model import BrokerOrder, Execution, OrderStatus, Position
from trading_platform.execution.agreement import PositionDifference, position_differences
from trading_platform.execution.broker_view import BrokerView, RecordedView, record_view
from trading_platform.execution.closing import IN_FLIGHT_SECONDS, CloseOf, closable, unknown_close
from trading_platform.execution.submit import SETTLE_SECONDS
from trading_platform.storage.ledger import Ledger, LedgerOrder
from trading_platform.storage.ledger.model import IN_DOUBT, WORKING, BrokerOrderEffect, BrokerOrderResult

_POSITION_ATTEMPTS = 3


@dataclass(frozen=True)
class ReconcileReport:
    """What a reconciliation did and what it could not explain. Orders are named by client order id.

    ``updated``: orders whose ledger row changed. ``resolved``: those of them that had been in doubt. ``closed``: those
    that the broker does not list and that are proved to be over.
    ``unresolved``: still in doubt, the broker does not list them. ``missing``: working by the ledger, and not in
    any of the broker's lists. ``contradictions``: sentences on orders that the ledger holds as ended and the
    broker as live, or the reverse. ``duplicates``: references the broker knows under several perm ids.
    ``foreign_orders`` and ``foreign_executions`` are not the platform's; they are listed, not judged.
    """

    account: str
    at: datetime
    new_fills: int
    updated: tuple[str, ...]
    resolved: tuple[str, ...]
    unresolved: tuple[str, ...]
    missing: tuple[str, ...]
    contradictions: tuple[str, ...]
    duplicates: Mapping[str, tuple[int, ...]]
    foreign_orders: tuple[BrokerOrder, ...]
    foreign_executions: tuple[Execution, ...]
    positions: tuple[Position, ...]
    position_differences: tuple[PositionDifference, ...] = field(default=())
    closed: tuple[str, ...] = field(default=())

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for everything that a person must look at."""
        return (
            *(f"order {name}: its fate is not known, the broker does not list it" for name in self.unresolved),
            *(f"order {name}: working by the ledger, unknown to the broker" for name in self.missing),
            *self.contradictions,
            *(
                f"order {name}: the broker knows it {len(ids)} times, as {', '.join(map(str, ids))}"
                for name, ids in self.duplicates.items()
            ),
            *(f"position {difference}" for difference in self.position_differences),
        )

    @property
    def is_clean(self) -> bool:
        """Whether the ledger and the broker agree on everything."""
        return not self.problems


def reconcile(
    ledger: Ledger,
    broker: Broker,
    *,
    account: str,
    clock: Clock,
    run_id: str,
    settle_seconds: float = SETTLE_SECONDS,
    in_flight_seconds: float = IN_FLIGHT_SECONDS,
    close_of: CloseOf = unknown_close,
) -> ReconcileReport:
    """Pull open orders, completed orders, executions and positions, and bring the ledger up to date.

    Orders in doubt are resolved where the broker has them. What it does not list is closed as ``expired`` where that is
    proved (see ``closing``), and is otherwise left alone: another run may be about to send it.

    Args:
        settle_seconds: real seconds between the two looks that a proof takes; nothing to prove, no second look.
        in_flight_seconds: how old an order in doubt must be at least to be closed.
        close_of: when a strategy's session closes.

    Raises:
        AccountMismatchError: the broker is connected to another account.
        BrokerError: something could not be asked; then nothing is concluded from it.
        LedgerUnavailableError: PostgreSQL does not answer.
    """
    before = {order.client_order_id: order for order in ledger.orders(account, statuses=WORKING)}
    books = _Books(ledger, broker, account, clock, run_id)
    books.look()
    closed = _close_what_is_over(
        books, settle_seconds=settle_seconds, in_flight_seconds=in_flight_seconds, close_of=close_of
    )
    now = clock.now()
    ledger.record_positions(account, books.positions, at=now, run_id=run_id)

    view, recorded = books.view, books.recorded
    after = {o.client_order_id: o for o in ledger.orders(account, client_order_ids={*before, *view.references})}
    doubtful = [order for order in after.values() if order.status in IN_DOUBT]
    lost = [name for name, order in before.items() if _is_lost(order, after[name], view)]
    return ReconcileReport(
        account=account,
        at=now,
        new_fills=books.new_fills,
        updated=tuple(sorted(_updated(recorded, before, after))),
        resolved=tuple(
            sorted(name for name, order in before.items() if order.status in IN_DOUBT and not _doubtful(after[name]))
        ),
        unresolved=tuple(sorted(order.client_order_id for order in doubtful if not view.knows(order.client_order_id))),
        missing=tuple(sorted(lost)),
        contradictions=_contradictions(recorded, after),
        duplicates=view.duplicates,
        foreign_orders=tuple(o for o in view.open_orders if o.client_order_id not in after),
        foreign_executions=tuple(e for e in view.executions if e.client_order_id not in after),
        positions=tuple(books.positions),
        position_differences=books.differences,
        closed=closed,
    )


class _Books:
    """Both sides' books: what the broker said at the last look, and what it changed in the ledger at all looks."""

    view: BrokerView
    recorded: RecordedView

    def __init__(self, ledger: Ledger, broker: Broker, account: str, clock: Clock, run_id: str) -> None:
        self.ledger = ledger
        self.broker = broker
        self.account = account
        self.clock = clock
        self.run_id = run_id
        self.new_fills = 0
        self.positions: list[Position] = []
        self.differences: tuple[PositionDifference, ...] = ()
        self._earlier: tuple[BrokerOrderResult, ...] = ()

    def look(self) -> None:
        """Ask the broker for everything and record it."""
        self.view = BrokerView.fetch(self.broker, self.account)
        fresh = record_view(self.ledger, self.view, self.account, at=self.clock.now(), run_id=self.run_id)
        self.new_fills += fresh.new_fills
        updates = tuple(result for result in self._earlier if result.effect is BrokerOrderEffect.UPDATED)
        self.recorded = RecordedView(self.new_fills, (*updates, *fresh.results))
        self._earlier = self.recorded.results
        self._compare_positions()

    def _compare_positions(self) -> None:
        """Compare fills with holdings. A fill can fall between the two questions, so a difference is asked again."""
        for _ in range(_POSITION_ATTEMPTS):
            self.positions = [position for position in self.broker.positions() if position.account == self.account]
            held: dict[str, Decimal] = {}
            for position in self.positions:
                held[position.symbol] = held.get(position.symbol, Decimal(0)) + position.quantity
            self.differences = position_differences(self.ledger.positions_from_fills(self.account), held)
            if not self.differences:
                break
            executions = [execution for execution in self.broker.executions() if execution.account == self.account]
            self.new_fills += self.ledger.record_executions(executions, at=self.clock.now(), run_id=self.run_id)


def _close_what_is_over(
    books: _Books, *, settle_seconds: float, in_flight_seconds: float, close_of: CloseOf
) -> tuple[str, ...]:
    """Close what is proved to be over. Looks a second time only if there is something to prove."""
    ledger, account = books.ledger, books.account
    unlisted = [o for o in ledger.orders(account, statuses=WORKING) if not books.view.knows(o.client_order_id)]
    candidates = closable(
        ledger, unlisted, now=books.clock.now(), in_flight_seconds=in_flight_seconds, close_of=close_of
    )
    if not candidates:
        return ()
    time.sleep(settle_seconds)
    books.broker.server_time()
    books.look()
    unexplained = {difference.symbol for difference in books.differences}
    # once more: a day that began meanwhile shortens the lists
    still = closable(
        ledger,
        [order for order, _ in candidates.values()],
        now=books.clock.now(),
        in_flight_seconds=in_flight_seconds,
        close_of=close_of,
    )
    closed = []
    for name, (order, reason) in still.items():
        if books.view.knows(name) or order.intent.request.symbol in unexplained:
            continue
        if ledger.move(
            account,
            name,
            OrderStatus.EXPIRED,
            only_if=order,
            at=books.clock.now(),
            run_id=books.run_id,
            message=reason,
        ):
            closed.append(name)
    return tuple(sorted(closed))


def _doubtful(order: LedgerOrder) -> bool:
    return order.status in IN_DOUBT


def _is_lost(before: LedgerOrder, after: LedgerOrder, view: BrokerView) -> bool:
    is_live = after.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
    return is_live and before.status not in IN_DOUBT and view.order(after.client_order_id) is None


def _updated(recorded: RecordedView, before: Mapping[str, LedgerOrder], after: Mapping[str, LedgerOrder]) -> set[str]:
    changed = {name for name, order in before.items() if order != after[name]}
    by_word = {
        result.broker_order.client_order_id
        for result in recorded.results
        if result.effect is BrokerOrderEffect.UPDATED and result.broker_order.client_order_id not in before
    }
    return changed | by_word


def _contradictions(recorded: RecordedView, after: Mapping[str, LedgerOrder]) -> tuple[str, ...]:
    sentences = []
    for result in recorded.results:
        if result.effect is not BrokerOrderEffect.CONTRADICTION:
            continue
        broker_order = result.broker_order
        order = after[broker_order.client_order_id]
        if order.status is OrderStatus.FILLED and not broker_order.status.is_terminal:
            continue  # it filled after the open orders had been asked for
        said = broker_order.raw_status or broker_order.status.value
        sentences.append(f"order {order.client_order_id}: {order.status.value} by the ledger, {said} at the broker")
    return tuple(sentences)
