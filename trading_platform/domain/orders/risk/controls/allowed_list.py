"""If there is a list of allowed instruments, nothing else is opened."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.scopes import scopes


class AllowedList:
    """Refuses a symbol outside ``allowed_symbols``, where they are set. An order that only reduces passes."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        reason: str | None = None
        numbers: dict[str, object] = {"symbol": symbol}
        for scope in scopes(intent, context):
            allowed = scope.limits.allowed_symbols
            numbers[f"{scope.name}_allowed_symbols"] = "all" if allowed is None else len(allowed)
            if reason is None and allowed is not None and symbol not in allowed:
                reason = f"{symbol} is not on the {scope.name}'s list of allowed symbols"
        if reason is not None and is_reducing(intent, context):
            reason = None
        return verdict(self, reason, **numbers)


CONTROL = AllowedList()
