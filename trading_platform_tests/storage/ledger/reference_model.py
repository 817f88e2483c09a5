"""A ledger in a few dictionaries, written from the prose of the documentation and not from the product's code.

Fractions of a second, one thread, no database: what the real ledger must agree with after every operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)
DEAD = {"cancelled", "expired", "broker_rejected"}
OVER = DEAD | {"rejected", "filled"}


BEFORE_THE_BROKER = {"created", "approved", "rejected", "submitting"}


def may_follow(before: str, after: str) -> bool:
    """Whether an order may go from one status to another."""
    if before == "created":
        return after in {"approved", "rejected"}
    if before == "approved":  # nobody but us has it: send it, or don't
        return after in {"submitting", "rejected", "cancelled", "expired"}
    if before in OVER:  # only an execution proves that a dead one lived; of the others nothing is left, or never was
        return before in DEAD and after in {"partially_filled", "filled"}
    if after in BEFORE_THE_BROKER or after == before:  # there is no way back from the broker
        return False
    if after == "submitted":  # open again is no news of an order that was filled in part
        return before in {"submitting", "unknown"}
    return (before, after) != ("partially_filled", "broker_rejected")


@dataclass
class Order:
    """One order. ``fills``: by series of execution ids, revision → (quantity, price, commission)."""

    name: str
    strategy: str
    tick: int
    symbol: str
    side: int
    quantity: Decimal
    status: str
    history: list[str]
    perm_id: int | None = None
    filled: Decimal = ZERO
    average: Decimal | None = None
    token: int | None = None
    starts: list[int] = field(default_factory=list)
    fills: dict[int, dict[int, tuple[Decimal, Decimal, Decimal | None]]] = field(default_factory=dict)

    @property
    def effective(self) -> list[tuple[Decimal, Decimal, Decimal | None]]:
        """Of every execution the newest correction."""
        return [revisions[max(revisions)] for revisions in self.fills.values()]

    @property
    def arrived(self) -> Decimal:
        """Quantity of the fills."""
        return sum((quantity for quantity, _, _ in self.effective), ZERO)

    @property
    def under_way(self) -> Decimal:
        """Unsigned quantity that may still come."""
        is_working = self.status in {"submitting", "submitted", "partially_filled", "unknown"}
        return max((self.quantity if is_working else self.filled) - self.arrived, ZERO)

    def change(
        self, status: str, *, filled: Decimal | None = None, perm_id: int | None = None, average: Decimal | None = None
    ) -> bool:
        """Take new facts; a line of history if any is new. An order we hold unsent is first handed over."""
        new = (status, self.filled if filled is None else filled, perm_id or self.perm_id, average or self.average)
        if new == (self.status, self.filled, self.perm_id, self.average):
            return False
        if self.status == "approved" and status != "approved":
            self.history.append("submitting")
        self.status, self.filled, self.perm_id, self.average = new
        self.history.append(status)
        return True


class Model:
    """All orders of one account, the lease's token, and the halts."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.newest: dict[str, int] = {}
        self.token = 0
        self.halts: set[int] = set()

    def tick(self, strategy: str, tick: int, orders: list[Order]) -> bool:
        """Record a decision, unless the tick has one."""
        if any(key == (strategy, tick) for key in self._ticks):
            return False
        self._ticks.add((strategy, tick))
        for order in self.orders.values():
            if order.strategy == strategy and order.status == "approved" and order.tick < tick:
                order.status = "expired"
                order.history.append("expired")
        self.orders |= {order.name: order for order in orders}
        self.newest[strategy] = max(tick, self.newest.get(strategy, tick))
        return True

    @property
    def _ticks(self) -> set[tuple[str, int]]:
        return self.__dict__.setdefault("ticks", set())

    def begin(self, order: Order, token: int, *, is_reducing: bool) -> str:
        """Whether an order may be sent now; if so it is ``submitting``."""
        if token != self.token:
            return "fenced"
        if order.status not in {"approved", "submitting"}:
            return "refused"
        if order.status == "submitting" and order.token is not None and order.token >= token:
            return "fenced"
        if self.newest[order.strategy] > order.tick:
            return "superseded"
        if self.halts and not is_reducing:
            return "halted"
        order.status, order.token = "submitting", token
        order.starts.append(token)
        order.history.append("submitting")
        return "started"

    def word(self, order: Order, status: str, filled: Decimal, perm_id: int, average: Decimal | None) -> str:
        """The broker says something of an order."""
        if order.status in DEAD and status in DEAD:
            status = order.status
        if order.status in OVER and status != order.status:
            return "contradiction"
        if status == "unknown" or (status, order.status) == ("submitted", "partially_filled"):
            status = "unknown" if order.status == "approved" else order.status
        origin = "submitting" if order.status == "approved" else order.status
        if status not in (order.status, origin) and not may_follow(origin, status):
            return "contradiction"
        if not filled or filled < order.filled:
            average = None
        is_news = order.change(status, filled=max(filled, order.filled), perm_id=perm_id, average=average)
        return "updated" if is_news else "unchanged"

    def executed(self, order: Order, *fills: tuple[int, int, Decimal, Decimal, Decimal | None, int]) -> int:
        """Executions (series, revision, quantity, price, commission, perm id) arrive together. How many are new."""
        new = 0
        less = ZERO
        for series, revision, quantity, price, commission, _ in fills:
            revisions = order.fills.setdefault(series, {})
            known = revisions.get(revision)
            if known is None:
                new += 1
                if revisions and revision > max(revisions):
                    less += max(revisions[max(revisions)][0] - quantity, ZERO)
                revisions[revision] = (quantity, price, commission)
            elif known[2] is None:
                revisions[revision] = (quantity, price, commission)
        if new:
            self._prove(order, less, max(perm_id for *_, perm_id in fills))
        return new

    def _prove(self, order: Order, less: Decimal, perm_id: int) -> None:
        arrived = order.arrived
        is_news = arrived > order.filled
        filled = max(order.filled - less, arrived)
        status = "filled" if filled >= order.quantity else "partially_filled"
        if order.status in {"rejected", "filled"} or filled == 0 or (order.status in DEAD and not is_news):
            status = order.status
        average = None
        if arrived and (arrived >= filled or order.average is None):
            average = sum((quantity * price for quantity, price, _ in order.effective), ZERO) / arrived
        order.change(status, filled=filled, perm_id=order.perm_id or perm_id, average=average)

    def move(self, order: Order, status: str) -> bool:
        """Somebody moves an order by hand."""
        if status != order.status and not may_follow(order.status, status):
            return False
        order.status = status
        order.history.append(status)
        return True

    def positions(self) -> dict[str, Decimal]:
        """Signed holdings from the fills."""
        held: dict[str, Decimal] = {}
        for order in self.orders.values():
            held[order.symbol] = held.get(order.symbol, ZERO) + order.side * order.arrived
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def open_quantity(self) -> dict[str, Decimal]:
        """Signed quantity under way."""
        coming: dict[str, Decimal] = {}
        for order in self.orders.values():
            coming[order.symbol] = coming.get(order.symbol, ZERO) + order.side * order.under_way
        return {symbol: quantity for symbol, quantity in coming.items() if quantity}

    def cash(self) -> Decimal:
        """What the fills and their commissions brought in or cost."""
        return -sum(
            (
                order.side * quantity * price + (commission or ZERO)
                for order in self.orders.values()
                for quantity, price, commission in order.effective
            ),
            ZERO,
        )
