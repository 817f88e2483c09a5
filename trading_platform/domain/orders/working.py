"""Orders that are on their way: what may still fill and must be counted as if it will."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trading_platform.domain.orders.ids import InvalidOrderIdError, group_of, parse_client_order_id
from trading_platform.domain.orders.model import BrokerOrder, OrderIntent, Side


@dataclass(frozen=True)
class WorkingOrder:
    """The unfilled rest of one order that is live, being sent, or of unknown fate.

    ``strategy`` is empty for orders this platform did not place. ``remaining_quantity`` is unsigned, in
    units of the instrument. ``limit_price`` is ``None`` for market and stop orders. ``oca_group`` is set for the
    exits of a bracket and names their entry: they are alternatives, and can fill only as far as the entry has.
    """

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    remaining_quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    oca_group: str = ""

    @property
    def is_exit(self) -> bool:
        """Whether it is an exit of a bracket."""
        return bool(self.oca_group)

    @property
    def signed_quantity(self) -> Decimal:
        """What the position changes by if the rest fills: positive when it buys."""
        return self.remaining_quantity if self.side == "BUY" else -self.remaining_quantity

    @classmethod
    def from_broker(cls, order: BrokerOrder) -> WorkingOrder:
        """The unfilled rest of an order as the broker reports it; strategy and bracket are read from its name."""
        try:
            strategy = parse_client_order_id(order.client_order_id).strategy
        except InvalidOrderIdError:
            strategy = ""
        group = group_of(order.client_order_id)
        return cls(
            client_order_id=order.client_order_id,
            strategy=strategy,
            symbol=order.symbol,
            side=order.side,
            remaining_quantity=max(order.quantity - order.filled_quantity, Decimal(0)),
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            oca_group=group if group != order.client_order_id else "",
        )

    @classmethod
    def from_intent(cls, intent: OrderIntent, filled_quantity: Decimal = Decimal(0)) -> WorkingOrder:
        """The unfilled rest of an order known from the ledger only: approved, being sent, or unknown."""
        request = intent.request
        return cls(
            client_order_id=request.client_order_id,
            strategy=intent.strategy,
            symbol=request.symbol,
            side=request.side,
            remaining_quantity=max(request.quantity - filled_quantity, Decimal(0)),
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            oca_group=request.oca_group,
        )
