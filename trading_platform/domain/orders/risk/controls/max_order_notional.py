"""One order may not be worth more than a limit."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite, valuation_price


class MaxOrderNotional(QuantityLimit):
    """Refuses an order worth more than ``max_order_notional_usd`` at the highest price at hand.

    It holds for reducing orders too: it is the guard against a wrong quantity.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        price = valuation_price(intent.request.symbol, context, intent)
        notional = finite(intent.request.quantity, "quantity") * price
        limit = context.limits.max_order_notional_usd
        reason = f"order of {notional:.2f} USD, limit {limit:f} USD" if notional > limit else None
        return verdict(self, reason, notional_usd=notional, limit_usd=limit, price=price)


CONTROL = MaxOrderNotional()
