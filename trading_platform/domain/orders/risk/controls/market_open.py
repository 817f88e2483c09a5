"""The market must be open."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError


class MarketOpen:
    """Refuses while the market is closed: the order would wait and fill at a price nobody has seen."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.is_market_open is None:
            msg = "whether the market is open is not known"
            raise UnevaluableError(msg)
        reason = None if context.is_market_open else f"the market of {intent.request.symbol} is closed"
        return verdict(self, reason, as_of_utc=context.as_of_utc.isoformat(), is_market_open=context.is_market_open)


CONTROL = MarketOpen()
