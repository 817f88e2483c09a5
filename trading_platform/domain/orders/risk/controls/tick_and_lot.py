"""Quantity and prices must lie on the instrument's grid."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite


class TickAndLot:
    """Refuses a quantity that is not a whole number of lots, or a price off the tick grid."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        request = intent.request
        details = context.details(request.symbol)
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
            elif not _is_multiple(price, details.min_tick):
                reason = f"{what} {price:f} is not a multiple of the tick {details.min_tick:f}"
        if reason is None and request.order_type in ("LMT", "STP LMT") and request.limit_price is None:
            reason = f"a {request.order_type} order needs a limit price"
        if reason is None and request.order_type in ("STP", "STP LMT") and request.stop_price is None:
            reason = f"a {request.order_type} order needs a stop price"
        return verdict(self, reason, quantity=quantity, lot_size=details.lot_size, min_tick=details.min_tick)


def _is_multiple(value: Decimal, step: Decimal) -> bool:
    return value % finite(step, "step") == 0


CONTROL = TickAndLot()
