"""An instrument whose trading its exchange has halted is left alone."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext


class TradingHalt:
    """Refuses every order in an instrument that the broker reports as halted, reducing ones too.

    It would wait and fill at a reopening price that nobody has seen. Not every quote says whether trading is halted:
    where none does this passes, and says so; a halt that lasts shows in ``FreshPrice``.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        symbol = intent.request.symbol
        quote = context.quotes.get(symbol)
        is_halted = quote.is_halted if quote is not None else None
        reason = f"trading in {symbol} is halted" if is_halted else None
        return verdict(self, reason, is_halted="not reported" if is_halted is None else is_halted)


CONTROL = TradingHalt()
