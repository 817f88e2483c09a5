"""All holdings together may not be worth more than a limit."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.scopes import Scope, account_gross_usd, first_breach


class MaxGrossExposure(QuantityLimit):
    """Refuses what could lift the gross exposure of strategy or account above ``max_gross_exposure_usd``.

    Gross exposure is the sum of the unsigned values of all holdings, each at the largest that pending
    orders, those approved in this tick included, can make it. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True)

        def gross(scope: Scope) -> Decimal:
            if scope.strategy is None:
                return account_gross_usd(intent, context)
            book = scope.book(intent, context)
            book.require_prices()
            return book.totals.largest

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
