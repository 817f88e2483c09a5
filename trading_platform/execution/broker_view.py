"""All that the broker knows about orders at one moment, and how it goes into the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from trading_platform.brokers.base import AccountMismatchError, Broker
from trading_platform.domain.orders.model import BrokerOrder, Execution, OrderStatus
from trading_platform.storage.ledger import Ledger
from trading_platform.storage.ledger.model import BrokerOrderEffect, BrokerOrderResult


@dataclass(frozen=True)
class BrokerView:
    """The broker's three lists, each asked for afresh; nothing in it comes from a cache.

    The order of asking matters: open, then completed, then executions. An order that ends in between is in a
    later list; asked the other way round it could be missing from all of them.
    """

    open_orders: tuple[BrokerOrder, ...]
    completed_orders: tuple[BrokerOrder, ...]
    executions: tuple[Execution, ...]

    @classmethod
    def fetch(cls, broker: Broker, account: str) -> BrokerView:
        """Ask the broker.

        Raises:
            AccountMismatchError: the broker is connected to another account.
            BrokerError: any of the three could not be had; then nothing is known.
        """
        require_account(broker, account)
        open_orders = tuple(order for order in broker.open_orders() if order.account == account)
        completed = tuple(order for order in broker.completed_orders() if order.account == account)
        executions = tuple(execution for execution in broker.executions() if execution.account == account)
        return cls(open_orders, completed, executions)

    def knows(self, client_order_id: str) -> bool:
        """Whether the reference is in any of the three lists."""
        return client_order_id in self._orders or client_order_id in self._executed

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """The broker's order of that reference. A live one is preferred, should there be several."""
        found = self._orders.get(client_order_id)
        return found[0] if found else None

    @property
    def duplicates(self) -> Mapping[str, tuple[int, ...]]:
        """References that the broker knows under several perm ids, with those ids."""
        ids: dict[str, set[int]] = defaultdict(set)
        for order in (*self.open_orders, *self.completed_orders):
            ids[order.client_order_id].add(order.perm_id)
        for execution in self.executions:
            ids[execution.client_order_id].add(execution.perm_id)
        found = {reference: tuple(sorted(perm_ids - {0})) for reference, perm_ids in ids.items() if reference}
        return {reference: perm_ids for reference, perm_ids in found.items() if len(perm_ids) > 1}

    @property
    def references(self) -> frozenset[str]:
        """Every order reference in the three lists, hand-placed orders' empty one left out."""
        return frozenset((*self._orders, *self._executed)) - {""}

    @cached_property
    def _orders(self) -> dict[str, list[BrokerOrder]]:
        completed = {order.perm_id for order in self.completed_orders if order.perm_id}
        result: dict[str, list[BrokerOrder]] = defaultdict(list)
        # An order that ended between the two questions is in both lists: its end is the later word.
        for order in self.open_orders:
            if order.perm_id not in completed:
                result[order.client_order_id].append(order)
        for order in self.completed_orders:
            result[order.client_order_id].append(order)
        return dict(result)

    @cached_property
    def _executed(self) -> frozenset[str]:
        return frozenset(execution.client_order_id for execution in self.executions)


@dataclass(frozen=True)
class RecordedView:
    """What a view changed in the ledger: the number of new fills, and each broker order's effect."""

    new_fills: int
    results: tuple[BrokerOrderResult, ...]


def record_view(
    ledger: Ledger,
    view: BrokerView,
    account: str,
    *,
    at: datetime,
    run_id: str,
    only: Collection[str] | None = None,
) -> RecordedView:
    """Take the view into the ledger: executions first, since they prove most, then the orders' statuses.

    ``only`` narrows the orders (not the executions) to some references.
    """
    new_fills = ledger.record_executions(view.executions, at=at, run_id=run_id) if view.executions else 0
    references = view.references if only is None else view.references & set(only)
    orders = {reference: view.order(reference) for reference in sorted(references)}
    listed = [order for order in orders.values() if order is not None]
    results = ledger.record_broker_orders(account, listed, at=at, run_id=run_id)
    executed = [name for name, order in orders.items() if order is None]
    results += [_known_by_executions_alone(ledger, view, account, reference) for reference in executed]
    return RecordedView(new_fills, tuple(results))


def as_acknowledged(order: BrokerOrder, client_order_id: str) -> BrokerOrder:
    """The acknowledgement of our order as the ledger may believe it.

    A client-side ``Cancelled`` can be a phantom, made by an unlisted error code: only what the broker's lists say
    ends an order. Until they have been asked, an acknowledgement of that kind leaves the order unknown.
    """
    is_believable = order.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
    status = order.status if is_believable else OrderStatus.UNKNOWN
    return replace(order, client_order_id=client_order_id, status=status)


def require_account(broker: Broker, account: str) -> None:
    """Make sure the broker is connected to ``account``.

    Raises:
        AccountMismatchError: it is not.
    """
    if broker.account != account:
        msg = f"the broker is connected to account {broker.account}, the orders belong to {account}: nothing was done"
        raise AccountMismatchError(msg)


def _known_by_executions_alone(ledger: Ledger, view: BrokerView, account: str, reference: str) -> BrokerOrderResult:
    execution = next(e for e in view.executions if e.client_order_id == reference)
    stored = ledger.orders(account, client_order_ids=[reference])
    status = stored[0].status if stored else None
    order = BrokerOrder(
        client_order_id=reference,
        perm_id=execution.perm_id,
        order_id=0,
        client_id=0,
        account=account,
        symbol=execution.symbol,
        side=execution.side,
        quantity=execution.quantity,
        order_type="",
        time_in_force="",
        limit_price=None,
        stop_price=None,
        status=status or OrderStatus.UNKNOWN,
        raw_status="",
        filled_quantity=execution.quantity,
        average_fill_price=execution.price,
    )
    effect = BrokerOrderEffect.UPDATED if stored else BrokerOrderEffect.UNKNOWN_ORDER
    return BrokerOrderResult(order, effect, status)
