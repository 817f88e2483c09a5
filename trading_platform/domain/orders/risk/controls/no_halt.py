"""No halt may cover the order, unless the order only reduces a holding."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, is_reducing


class NoHalt:
    """A halt blocks new orders and lets reducing ones through, so that one can always get out."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.halts is None:
            msg = "the halts could not be read"
            raise UnevaluableError(msg)
        symbol = intent.request.symbol
        covering = [halt for halt in context.halts if halt.covers(intent.strategy, symbol)]
        if not covering:
            return verdict(self, None, halts=0)
        reduces = is_reducing(intent, context)
        first = covering[0]
        reason = f"halted since {first.since_utc:%Y-%m-%d %H:%M} UTC: {first.reason}"
        return verdict(self, None if reduces else reason, halts=len(covering), is_reducing=reduces)


CONTROL = NoHalt()
