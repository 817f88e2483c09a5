"""One order may not be for more units than a limit."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite


class MaxOrderQuantity(QuantityLimit):
    """Refuses an order for more than ``max_order_quantity`` units.

    It needs no price, and holds for reducing orders too: it is the guard against a slipped decimal point.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        quantity = finite(intent.request.quantity, "quantity")
        limit = context.limits.max_order_quantity
        reason = f"order of {quantity:f} units, limit {limit:f}" if quantity > limit else None
        return verdict(self, reason, quantity=quantity, limit=limit)


CONTROL = MaxOrderQuantity()
