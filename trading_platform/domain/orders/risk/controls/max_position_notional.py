"""The holding that an order leads to may not be worth more than a limit."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, valuation_price
from trading_platform.domain.orders.risk.scopes import first_breach


class MaxPositionNotional(QuantityLimit):
    """Refuses what could lift the holding in one symbol, strategy's or account's, above ``max_position_notional_usd``.

    Pending orders count as filled where that makes the holding larger. An order that only reduces passes,
    also while the holding is above the limit.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        price = valuation_price(symbol, context, intent)
        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_position_notional_usd,
            lambda scope: scope.reach(symbol, intent, context).largest * price,
            lambda scope, value, limit: (
                f"the {scope.name}'s holding in {symbol} could reach {value:.2f} USD, limit {limit:f} USD"
            ),
        )
        if reason is not None and is_reducing(intent, context):
            reason = None
        return verdict(self, reason, price=price, **numbers)


CONTROL = MaxPositionNotional()
