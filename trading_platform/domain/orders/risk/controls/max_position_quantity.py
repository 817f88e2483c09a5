"""The holding that an order leads to may not be more units than a limit."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.scopes import first_breach


class MaxPositionQuantity(QuantityLimit):
    """Refuses what could lift the holding in one symbol, strategy's or account's, above ``max_position_quantity``.

    Pending orders count as filled where that makes the holding larger. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_position_quantity,
            lambda scope: scope.reach(symbol, intent, context).largest,
            lambda scope, value, limit: (
                f"the {scope.name}'s holding in {symbol} could reach {value:f} units, limit {limit:f}"
            ),
        )
        if reason is not None and is_reducing(intent, context):
            reason = None
        return verdict(self, reason, **numbers)


CONTROL = MaxPositionQuantity()
