"""Limit and stop must be near the last price."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite, last_price


class LimitPriceCollar:
    """Refuses a limit or stop more than ``max_limit_price_deviation_pct`` away from the last price, on either side.

    A bracket's exits are meant to be further away: ``max_exit_deviation_pct`` holds for them.

    A market order has neither and passes: ``PriceCollar`` judges the touch.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        request = intent.request
        limits = context.limits
        limit = limits.max_exit_deviation_pct if request.is_exit else limits.max_limit_price_deviation_pct
        named = {"limit price": request.limit_price, "stop price": request.stop_price}
        prices: dict[str, Decimal] = {what: finite(price, what) for what, price in named.items() if price is not None}
        if not prices:
            return verdict(self, None, limit_pct=limit)
        last = last_price(request.symbol, context)
        what, price = max(prices.items(), key=lambda item: abs(item[1] / last - 1))
        deviation = abs(price / last - 1) * 100
        reason = None
        if deviation > limit:
            reason = f"{what} {price:f} is {deviation:.1f} % away from the last price {last:f}, limit {limit:.1f} %"
        return verdict(self, reason, price=price, last_price=last, deviation_pct=round(deviation, 4), limit_pct=limit)


CONTROL = LimitPriceCollar()
