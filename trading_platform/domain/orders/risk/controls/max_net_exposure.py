"""Long less short holdings may not be worth more than a limit, in either direction."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import QuantityLimit, verdict
from trading_platform.domain.orders.risk.context import RiskContext, valuation_price
from trading_platform.domain.orders.risk.scopes import Scope, account_gross_usd, scopes


class MaxNetExposure(QuantityLimit):
    """Refuses what could lift the unsigned net exposure of strategy or account above ``max_net_exposure_usd``.

    Net exposure is the sum of the signed values of all holdings, once with every pending buy filled and once with
    every pending sale. An order that does not make it larger passes; a sale that reduces a long can make it
    larger where shorts hedge it, and is refused then. Each symbol is valued at the highest price at hand.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        reason: str | None = None
        numbers: dict[str, object] = {}
        for scope in scopes(intent, context):
            limit = scope.limits.max_net_exposure_usd
            if scope.strategy is None:
                gross = account_gross_usd(intent, context)
                if gross <= limit:  # net is never more than gross, and gross needs no quote of foreign holdings
                    numbers |= {"account_value": gross, "account_limit": limit}
                    continue
            value, before = _net(scope, intent, context)
            numbers |= {f"{scope.name}_value": value, f"{scope.name}_limit": limit}
            if reason is None and value > limit and value > before:
                reason = f"net exposure of the {scope.name} could reach {value:.2f} USD, limit {limit:f} USD"
        return verdict(self, reason, **numbers)


def _net(scope: Scope, intent: OrderIntent, context: RiskContext) -> tuple[Decimal, Decimal]:
    """The largest unsigned net exposure with the intent, and the same if it is never sent."""
    book = scope.book(intent, context)
    book.require_prices()
    highest, lowest = book.totals.highest, book.totals.lowest
    this = intent.request.quantity * valuation_price(intent.request.symbol, context, intent)
    with_it = max(abs(highest), abs(lowest))
    if intent.request.side == "BUY":
        return with_it, max(abs(highest - this), abs(lowest))
    return with_it, max(abs(highest), abs(lowest + this))


CONTROL = MaxNetExposure()
