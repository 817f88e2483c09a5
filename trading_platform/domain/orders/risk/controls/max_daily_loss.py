"""After a bad day nothing more is opened."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, finite, is_reducing
from trading_platform.domain.orders.risk.scopes import equity_usd


class MaxDailyLoss:
    """Refuses to open while equity is ``max_daily_loss_pct`` or more below that at the session's open.

    An order that only reduces passes, so that one can always get out.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        limit = context.account_limits.max_daily_loss_pct
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True, limit_pct=limit)
        if context.equity_marks is None:
            msg = "the equity at the session's open is not known"
            raise UnevaluableError(msg)
        start = finite(context.equity_marks.session_start_usd, "equity at the session's open")
        if start <= 0:
            msg = f"equity at the session's open is {start:f}"
            raise UnevaluableError(msg)
        equity = equity_usd(context)
        loss = (start - equity) * 100 / start
        reason = None
        if loss >= limit:
            reason = f"the account lost {loss:.2f} % since the session's open ({start:.2f} USD), limit {limit:f} %"
        return verdict(self, reason, loss_pct=round(loss, 4), limit_pct=limit, start_usd=start, equity_usd=equity)


CONTROL = MaxDailyLoss()
