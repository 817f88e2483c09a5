"""All holdings together may not be worth more than a limit."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, valuation_price
from trading_platform.domain.orders.risk.scopes import Scope, account_gross_usd, first_breach


class MaxGrossExposure:
    """Refuses what could lift the gross exposure of strategy or account above ``max_gross_exposure_usd``.

    Gross exposure is the sum of the unsigned values of all holdings, each at the largest that pending
    orders, those approved in this tick included, can make it. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True)
        orders = (*context.approved, intent)

        def gross(scope: Scope) -> Decimal:
            if scope.strategy is None:
                return account_gross_usd(intent, context)
            largest = {s: scope.reach(s, intent, context).largest for s in scope.symbols(intent, context)}
            return sum((size * valuation_price(s, context, orders) for s, size in largest.items()), Decimal(0))

        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_gross_exposure_usd,
            gross,
            lambda scope, value, limit: (
                f"gross exposure of the {scope.name} could reach {value:.2f} USD, limit {limit:f} USD"
            ),
        )
        return verdict(self, reason, **numbers)


CONTROL = MaxGrossExposure()
