"""A strategy may sell only what it holds, unless it may go short."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, strategy_reach


class ShortSaleAllowed:
    """Refuses a sale of more than the strategy holds when ``is_short_allowed`` is off.

    All pending sales count and no pending buy does: the sale may fill first.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        reach = strategy_reach(intent.request.symbol, intent, intent.strategy, context)
        is_allowed = context.limits.is_short_allowed
        reason = None
        if intent.request.side == "SELL" and reach.lowest < 0 and not is_allowed:
            reason = (
                f"sales of {reach.sells:f} against a holding of {reach.position:f} "
                f"would be short, and {intent.strategy} may not go short"
            )
        return verdict(self, reason, position=reach.position, sells=reach.sells, is_short_allowed=is_allowed)


CONTROL = ShortSaleAllowed()
