"""The price of the decision must be near the last price."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite, last_price


class LastPriceCollar:
    """Refuses when the decision price is more than ``max_last_price_deviation_pct`` away from the last price.

    It catches a signal made of another day's, another split's or another instrument's bars.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        last = last_price(intent.request.symbol, context)
        decision = finite(intent.decision_price, "decision price")
        deviation = abs(decision / last - 1) * 100
        limit = context.limits.max_last_price_deviation_pct
        reason = None
        if deviation > limit:
            away = f"{deviation:.1f} % away from the last price {last:f}"
            reason = f"decision price {decision:f} is {away}, limit {limit:.1f} %"
        return verdict(
            self, reason, decision_price=decision, last_price=last, deviation_pct=round(deviation, 4), limit_pct=limit
        )


CONTROL = LastPriceCollar()
