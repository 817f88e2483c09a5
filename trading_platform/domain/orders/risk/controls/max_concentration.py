"""One instrument may not be more than a share of the account's equity."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, valuation_price
from trading_platform.domain.orders.risk.scopes import equity_usd, first_breach


class MaxConcentration(QuantityLimit):
    """Refuses what could lift one holding, strategy's or account's, above ``max_concentration_pct`` of equity.

    Pending orders count as filled where that makes the holding larger. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True)
        symbol = intent.request.symbol
        equity = equity_usd(context)
        price = valuation_price(symbol, context, intent)
        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_concentration_pct,
            lambda scope: scope.reach(symbol, intent, context).largest * price * 100 / equity,
            lambda scope, value, limit: (
                f"the {scope.name}'s holding in {symbol} could reach {value:.2f} % of equity, limit {limit:f} %"
            ),
        )
        return verdict(self, reason, equity_usd=equity, **numbers)


CONTROL = MaxConcentration()
