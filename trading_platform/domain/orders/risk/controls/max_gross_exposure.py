"""All holdings of a strategy together may not be worth more than a limit."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, strategy_reach, valuation_price


class MaxGrossExposure:
    """Refuses what could lift the strategy's gross exposure above ``max_gross_exposure_usd``.

    Gross exposure is the sum of the unsigned values of all holdings, each at the largest that pending
    orders, those approved in this tick included, can make it. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True)
        strategy = intent.strategy
        symbols = {symbol for symbol, quantity in context.strategy_positions.items() if quantity}
        symbols |= {order.symbol for order in context.working if order.strategy == strategy}
        symbols |= {order.request.symbol for order in context.approved if order.strategy == strategy}
        symbols.add(intent.request.symbol)
        orders = (*context.approved, intent)
        gross = Decimal(0)
        for symbol in sorted(symbols):
            largest = strategy_reach(symbol, intent, strategy, context).largest
            gross += largest * valuation_price(symbol, context, orders)
        limit = context.limits.max_gross_exposure_usd
        reason = f"gross exposure could reach {gross:.2f} USD, limit {limit:f} USD" if gross > limit else None
        return verdict(self, reason, gross_exposure_usd=gross, limit_usd=limit, symbols=len(symbols))


CONTROL = MaxGrossExposure()
