"""Some instruments are not traded at all."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext


class RestrictedList:
    """Refuses every order in a symbol of ``restricted_symbols``, reducing ones too: compliance decides, not we."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        restricted = context.limits.restricted_symbols | context.account_limits.restricted_symbols
        reason = f"{symbol} is on the restricted list" if symbol in restricted else None
        return verdict(self, reason, symbol=symbol, restricted_symbols=len(restricted))


CONTROL = RestrictedList()
