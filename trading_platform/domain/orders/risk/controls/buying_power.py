"""The account must be able to pay for what it opens."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.books import book_with
from trading_platform.domain.orders.risk.context import (
    RiskContext,
    UnevaluableError,
    finite,
    is_reducing,
)


class BuyingPower(QuantityLimit):
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
        book = book_with(intent, None, context)
        book.require_prices_of_pending()
        needed = book.totals.added
        reason = None
        if needed > available:
            reason = f"pending orders need {needed:.2f} USD, available are {available:.2f} USD"
        return verdict(self, reason, needed_usd=needed, available_usd=available)


CONTROL = BuyingPower()
