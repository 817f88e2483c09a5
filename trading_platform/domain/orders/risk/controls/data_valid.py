"""The symbol's bars must have passed validation."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError


class DataValid:
    """Refuses a symbol with quarantined bars: the signal may rest on the rows that are missing."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.quarantined is None:
            msg = "which symbols are quarantined is not known"
            raise UnevaluableError(msg)
        symbol = intent.request.symbol
        reason = f"bars of {symbol} are quarantined" if symbol in context.quarantined else None
        return verdict(self, reason, quarantined_symbols=len(context.quarantined))


CONTROL = DataValid()
