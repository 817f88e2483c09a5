"""After a row of losing trades a strategy pauses."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, finite, is_reducing


class ConsecutiveLosses:
    """Refuses to open for ``loss_pause_minutes`` after the strategy's ``max_consecutive_losses``-th loss in a row.

    Every further loss begins the pause anew. A trade is what one order closed, before commissions; break-even ends
    the row. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.closed_trades is None:
            msg = f"the closed trades of {intent.strategy} are not known"
            raise UnevaluableError(msg)
        row = list(
            takewhile(
                lambda trade: finite(trade.pnl_usd, f"profit of {trade.client_order_id}") < 0,
                reversed(context.closed_trades),
            )
        )
        limit, pause = context.limits.max_consecutive_losses, context.limits.loss_pause_minutes
        reason = None
        if len(row) >= limit:
            until = row[0].ts_utc + timedelta(minutes=pause)
            if context.as_of_utc < until and not is_reducing(intent, context):
                reason = f"{len(row)} losing trades in a row, limit {limit}: paused until {until:%Y-%m-%d %H:%M} UTC"
        return verdict(self, reason, losses_in_a_row=len(row), limit=limit, pause_minutes=pause)


CONTROL = ConsecutiveLosses()
