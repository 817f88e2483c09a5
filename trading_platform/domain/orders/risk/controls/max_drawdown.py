"""Far below the account's peak nothing more is opened."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, finite, is_reducing
from trading_platform.domain.orders.risk.scopes import equity_usd


class MaxDrawdown:
    """Refuses to open while equity is ``max_drawdown_pct`` or more below the highest of ``drawdown_window_days``.

    A withdrawal looks like a loss: it lowers equity and not the peak. An order that only reduces passes.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        limit = context.account_limits.max_drawdown_pct
        if is_reducing(intent, context):
            return verdict(self, None, is_reducing=True, limit_pct=limit)
        if context.equity_marks is None:
            msg = "the account's highest equity is not known"
            raise UnevaluableError(msg)
        equity = equity_usd(context)
        peak = max(finite(context.equity_marks.peak_usd, "highest equity"), equity)
        drawdown = (peak - equity) * 100 / peak
        reason = None
        if drawdown >= limit:
            reason = f"the account is {drawdown:.2f} % below its peak of {peak:.2f} USD, limit {limit:f} %"
        return verdict(self, reason, drawdown_pct=round(drawdown, 4), limit_pct=limit, peak_usd=peak, equity_usd=equity)


CONTROL = MaxDrawdown()
