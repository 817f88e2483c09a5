"""The account must be able to pay for what it opens."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import (
    RiskContext,
    UnevaluableError,
    account_reach,
    finite,
    is_reducing,
    valuation_price,
)


class BuyingPower:
    """Refuses what the account's available funds don't cover in full, shorts included: no borrowed money.

    Pending orders of every strategy count, those approved in this tick too; money from sales counts only
    once the broker reports it. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.account is None:
            msg = "no account summary"
            raise UnevaluableError(msg)
        available = finite(context.account.available_funds, "available funds of the account")
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True, available_usd=available)
        symbols = {order.symbol for order in context.working if order.remaining_quantity}
        symbols |= {order.request.symbol for order in context.approved}
        symbols.add(intent.request.symbol)
        orders = (*context.approved, intent)
        needed = Decimal(0)
        for symbol in sorted(symbols):
            added = account_reach(symbol, intent, context).added
            if added:
                needed += added * valuation_price(symbol, context, orders)
        reason = None
        if needed > available:
            reason = f"pending orders need {needed:.2f} USD, available are {available:.2f} USD"
        return verdict(self, reason, needed_usd=needed, available_usd=available)


CONTROL = BuyingPower()
