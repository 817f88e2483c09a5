"""The paper market's orders: which are live, which wait for transmission, and who belongs to whom.

Knows brackets and OCA groups; knows neither prices nor money.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from trading_platform.paper_gateway.model import Action, PaperOrder

Key = tuple[int, int]
CANCEL_WITH_BLOCK = 1


def key_of(order: PaperOrder) -> Key:
    """The order's name towards its client: ``(client_id, order_id)``."""
    return order.client_id, order.order_id


class OrderBook:
    """All orders ever accepted, by key; ``live`` are those that can still trade.

    ``staged`` orders were sent with ``transmit=False``: they exist at the gateway only, have no permanent id, and
    a restart forgets them, as TWS's gateway does.
    """

    def __init__(self, orders: Iterable[PaperOrder] = ()) -> None:
        self.orders: dict[Key, PaperOrder] = {key_of(order): order for order in orders}
        self.live: dict[Key, PaperOrder] = {key: order for key, order in self.orders.items() if not order.is_done}
        self.staged: dict[Key, PaperOrder] = {}

    def add(self, order: PaperOrder) -> None:
        """Take an accepted order into the book."""
        self.staged.pop(key_of(order), None)
        self.orders[key_of(order)] = order
        self.live[key_of(order)] = order

    def retire(self, order: PaperOrder) -> None:
        """Note that the order is done."""
        self.live.pop(key_of(order), None)

    def in_time_priority(self) -> list[PaperOrder]:
        """The live orders, first accepted first."""
        return sorted(self.live.values(), key=lambda order: order.perm_id)

    def highest_id(self, client_id: int) -> int:
        """The highest order id the client has used, 0 if none."""
        return max((key[1] for book in (self.orders, self.staged) for key in book if key[0] == client_id), default=0)

    def parent_of(self, order: PaperOrder) -> PaperOrder | None:
        """The accepted order this one is attached to."""
        return self.orders.get((order.client_id, order.ticket.parent_id)) if order.ticket.parent_id else None

    def is_held_by_parent(self, order: PaperOrder) -> bool:
        """Whether the order waits for its parent to fill."""
        parent = self.parent_of(order)
        return parent is not None and not parent.is_done

    def children_of(self, order: PaperOrder) -> list[PaperOrder]:
        """The live orders attached to ``order``."""
        return [
            child
            for child in self.in_time_priority()
            if child.client_id == order.client_id and child.ticket.parent_id == order.order_id
        ]

    def family(self, order: PaperOrder) -> list[PaperOrder]:
        """The staged orders that are transmitted together with ``order``, itself included, parents first."""
        root = order.ticket.parent_id or order.order_id
        members = [
            staged
            for staged in self.staged.values()
            if staged.client_id == order.client_id and root in (staged.order_id, staged.ticket.parent_id)
        ]
        if order not in members:
            members.append(order)
        return sorted(members, key=lambda member: (member.order_id != root, member.order_id))

    def rivals(self, order: PaperOrder) -> list[PaperOrder]:
        """The live orders that a fill of ``order`` cancels or reduces: its OCA group and its bracket siblings."""
        return [other for other in self.in_time_priority() if other is not order and _are_rivals(order, other)]

    def is_group_spent(self, order: PaperOrder) -> bool:
        """Whether the order's OCA group has already been filled."""
        return bool(order.ticket.oca_group) and any(
            other.status == "Filled" and other.ticket.oca_group == order.ticket.oca_group
            for other in self.orders.values()
        )

    def open_quantity(self, orders: Iterable[PaperOrder], con_id: int, action: Action) -> Decimal:
        """The most that ``orders`` can still buy (sell) of a contract.

        Of orders that exclude each other only the largest counts; children of a parent that is still waiting
        count with it, not beside it.
        """
        groups: dict[object, Decimal] = {}
        for order in orders:
            if order.contract.con_id != con_id or order.ticket.action != action or self.is_held_by_parent(order):
                continue
            group = _group_of(order)
            groups[group] = max(groups.get(group, Decimal(0)), order.remaining)
        return sum(groups.values(), Decimal(0))


def is_cancelled_by_rivals(order: PaperOrder) -> bool:
    """Whether any fill in the group cancels the others (OCA type 1); otherwise they are reduced in proportion."""
    return bool(order.ticket.oca_group) and order.ticket.oca_type == CANCEL_WITH_BLOCK


def copy_of(order: PaperOrder) -> PaperOrder:
    """The order as it is now; later changes don't show in the copy."""
    return replace(order)


def _are_rivals(order: PaperOrder, other: PaperOrder) -> bool:
    if order.ticket.oca_group and order.ticket.oca_group == other.ticket.oca_group:
        return True
    return (
        order.ticket.parent_id != 0
        and order.client_id == other.client_id
        and order.ticket.parent_id == other.ticket.parent_id
        and order.ticket.action == other.ticket.action
        and order.contract.con_id == other.contract.con_id
    )


def _group_of(order: PaperOrder) -> object:
    if order.ticket.oca_group:
        return order.ticket.oca_group
    if order.ticket.parent_id:
        return order.client_id, order.ticket.parent_id
    return order.perm_id
