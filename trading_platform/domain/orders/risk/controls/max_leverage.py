"""The account's gross exposure may not be more than a multiple of its equity."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.scopes import account_gross_usd, equity_usd


class MaxLeverage(QuantityLimit):
    """Refuses what could lift the account's gross exposure above ``max_leverage`` times its equity.

    An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        limit = context.account_limits.max_leverage
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True, limit=limit)
        equity, gross = equity_usd(context), account_gross_usd(intent, context)
        reason = None
        if gross > limit * equity:
            reason = f"leverage could reach {gross / equity:.2f} (gross {gross:.2f} USD), limit {limit:f}"
        return verdict(self, reason, leverage=round(gross / equity, 4), limit=limit, gross_usd=gross, equity_usd=equity)


CONTROL = MaxLeverage()
