"""The quote must be recent, in real time, and hold a price."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, quote_fault


class FreshPrice:
    """Refuses a quote older than the strategy's ``max_price_age_seconds``, delayed, or from the future."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        quote = context.quotes.get(symbol)
        reason = quote_fault(symbol, quote, context.as_of_utc, context.max_price_age)
        numbers: dict[str, object] = {"limit_seconds": context.limits.max_price_age_seconds}
        if quote is not None:
            numbers["age_seconds"] = (context.as_of_utc - quote.ts_utc).total_seconds()
        return verdict(self, reason, **numbers)


CONTROL = FreshPrice()
