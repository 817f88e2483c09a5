"""The holding that an order leads to may not be worth more than a limit."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, strategy_reach, valuation_price


class MaxPositionNotional:
    """Refuses what could lift the strategy's holding in one symbol above ``max_position_notional_usd``.

    Pending orders count as filled where that makes the holding larger. An order that only reduces passes,
    also while the holding is above the limit.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        price = valuation_price(symbol, context, (*context.approved, intent))
        notional = strategy_reach(symbol, intent, intent.strategy, context).largest * price
        limit = context.limits.max_position_notional_usd
        reason = None
        if notional > limit and not is_reducing(intent, context):
            reason = f"the holding in {symbol} could reach {notional:.2f} USD, limit {limit:f} USD"
        return verdict(self, reason, position_notional_usd=notional, limit_usd=limit, price=price)


CONTROL = MaxPositionNotional()
