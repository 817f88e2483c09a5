"""The price to trade at must be near the price the decision was made at."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, finite, quote_prices


class PriceCollar:
    """Refuses when limit, stop or (for market orders) touch is too far from the price of the decision.

    Too far is more than ``max_price_deviation_pct`` of the decision price, for a bracket's exits more than
    ``max_exit_deviation_pct``.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        decision = finite(intent.decision_price, "decision price")
        if decision <= 0:
            msg = f"decision price is {decision:f}"
            raise UnevaluableError(msg)
        what, price = self._price(intent, context)
        deviation = abs(price / decision - 1) * 100
        limits = context.limits
        limit = limits.max_exit_deviation_pct if intent.request.is_exit else limits.max_price_deviation_pct
        reason = None
        if deviation > limit:
            reason = (
                f"{what} {price:f} is {deviation:.1f} % away from the decision price {decision:f}, limit {limit:.1f} %"
            )
        return verdict(
            self, reason, price=price, decision_price=decision, deviation_pct=round(deviation, 4), limit_pct=limit
        )

    @staticmethod
    def _price(intent: OrderIntent, context: RiskContext) -> tuple[str, Decimal]:
        request = intent.request
        if request.limit_price is not None:
            return "limit price", finite(request.limit_price, "limit price")
        if request.stop_price is not None:
            return "stop price", finite(request.stop_price, "stop price")
        quote = context.quotes.get(request.symbol)
        prices = quote_prices(quote) if quote is not None else []
        if quote is None or not prices:
            msg = f"no quote of {request.symbol} to compare with the decision price"
            raise UnevaluableError(msg)
        touch = quote.ask if request.side == "BUY" else quote.bid
        if touch is not None and touch in prices:
            return ("ask" if request.side == "BUY" else "bid"), touch
        # Without a touch the worst of what is left: the highest to a buyer, the lowest to a seller.
        return "price", max(prices) if request.side == "BUY" else min(prices)


CONTROL = PriceCollar()
