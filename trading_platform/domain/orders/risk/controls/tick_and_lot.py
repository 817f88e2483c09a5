"""Quantity and prices must lie on the instrument's grid."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import LIMIT_ORDERS, STOP_ORDERS, ControlResult, OrderIntent, OrderRequest
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite


class TickAndLot:
    """Refuses a quantity that is not a whole number of lots, or a price off the grid that holds at its level."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        request = intent.request
        details = context.details(request.symbol)
        grid = details.price_grid
        quantity = finite(request.quantity, "quantity")
        reason = None
        if quantity <= 0:
            reason = f"quantity {quantity:f} is not positive"
        elif not _is_multiple(quantity, details.lot_size):
            reason = f"quantity {quantity:f} is not a multiple of the lot {details.lot_size:f}"
        prices = {"limit price": request.limit_price, "stop price": request.stop_price}
        for what, price in prices.items():
            if reason is not None or price is None:
                continue
            if finite(price, what) <= 0:
                reason = f"{what} {price:f} is not positive"
            elif not grid.is_on(price):
                reason = f"{what} {price:f} is not a multiple of the tick {grid.increment_at(price):f}"
        if reason is None and request.order_type in LIMIT_ORDERS and request.limit_price is None:
            reason = f"a {request.order_type} order needs a limit price"
        if reason is None and request.order_type in STOP_ORDERS and request.stop_price is None:
            reason = f"a {request.order_type} order needs a stop price"
        if reason is None and request.order_type == "TRAIL" and not _is_trailing(request):
            reason = "a TRAIL order needs either an amount or a percentage to trail by"
        return verdict(self, reason, quantity=quantity, lot_size=details.lot_size, min_tick=details.min_tick)


def _is_trailing(request: OrderRequest) -> bool:
    distances = [distance for distance in (request.trail_amount, request.trail_percent) if distance is not None]
    return len(distances) == 1 and finite(distances[0], "trailing distance") > 0


def _is_multiple(value: Decimal, step: Decimal) -> bool:
    return value % finite(step, "step") == 0


CONTROL = TickAndLot()
