"""The bars that a signal rests on must be there, up to the newest that has ended."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError


class FreshBars:
    """Refuses a symbol whose newest bar is older than the newest that had to be there when the tick was decided.

    Which one that is the calendar says, half days and the session before included. A symbol that has not traded
    since is refused too: its signal is as old as its bar.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        bars, symbol = context.bars, intent.request.symbol
        if bars is None:
            msg = "which bars are there is not known"
            raise UnevaluableError(msg)
        newest = bars.newest_utc.get(symbol)
        reason = None
        if newest is None:
            reason = f"there is no bar of {symbol}, due is that of {bars.due_utc:%Y-%m-%d %H:%M} UTC"
        elif newest < bars.due_utc:
            reason = (
                f"the newest bar of {symbol} is that of {newest:%Y-%m-%d %H:%M} UTC, "
                f"due is that of {bars.due_utc:%Y-%m-%d %H:%M} UTC"
            )
        return verdict(
            self,
            reason,
            due_utc=bars.due_utc.isoformat(),
            newest_utc="none" if newest is None else newest.isoformat(),
        )


CONTROL = FreshBars()
