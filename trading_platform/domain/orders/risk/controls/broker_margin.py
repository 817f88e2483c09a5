"""What the broker itself would not carry is not sent."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent, WhatIf
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, finite, is_reducing


class BrokerMargin:
    """Refuses what the broker forecasts to need more initial margin than the account's equity with loan value.

    The broker's forecast of an order knows nothing of the others of its tick: what those approved before it add, by
    their own forecasts, is added. Where the broker gave no forecast ``BuyingPower`` and ``MaxLeverage`` decide alone,
    and the numbers say so. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True)
        forecast = context.what_ifs.get(intent.client_order_id)
        if forecast is None:
            return verdict(self, None, what_if="not available: decided by our own arithmetic")
        if forecast.refusal:
            return verdict(self, f"the broker would refuse it: {forecast.refusal}", what_if="refused")
        if forecast.init_margin_after is None or forecast.equity_with_loan_after is None:
            return verdict(self, None, what_if="without figures: decided by our own arithmetic")
        others = [context.what_ifs.get(order.client_order_id) for order in context.approved]
        pending = sum((_added(other) for other in others if other is not None), Decimal(0))
        margin = finite(forecast.init_margin_after, "initial margin after the order") + pending
        equity = finite(forecast.equity_with_loan_after, "equity with loan value after the order")
        reason = None
        if margin > equity:
            reason = f"the broker would ask for {margin:.2f} USD of margin, equity with loan value is {equity:.2f} USD"
        return verdict(self, reason, init_margin_usd=margin, of_same_tick_usd=pending, equity_with_loan_usd=equity)


def _added(forecast: WhatIf) -> Decimal:
    if forecast.init_margin_before is None or forecast.init_margin_after is None:
        return Decimal(0)
    return max(finite(forecast.init_margin_after - forecast.init_margin_before, "change of initial margin"), Decimal(0))


CONTROL = BrokerMargin()
