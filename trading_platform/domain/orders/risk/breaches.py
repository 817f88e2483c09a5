"""Whether the account has lost so much that everything stops. Arithmetic only; :mod:`trading_platform.execution` reads
the figures from the ledger."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.risk.context import EquityMarks
from trading_platform.domain.orders.risk.limits import AccountLimits


def breaches(equity: Decimal, marks: EquityMarks | None, limits: AccountLimits) -> tuple[str, ...]:
    """A sentence for the daily loss and for the drawdown that reached its limit; none without usable marks."""
    if marks is None or marks.session_start_usd <= 0 or marks.peak_usd <= 0:
        return ()
    loss = (marks.session_start_usd - equity) * 100 / marks.session_start_usd
    peak = max(marks.peak_usd, equity)
    drawdown = (peak - equity) * 100 / peak
    found = []
    if loss >= limits.max_daily_loss_pct:
        found.append(f"the account lost {loss:.2f} % since the session's open, limit {limits.max_daily_loss_pct:f} %")
    if drawdown >= limits.max_drawdown_pct:
        found.append(f"the account is {drawdown:.2f} % below its peak, limit {limits.max_drawdown_pct:f} %")
    return tuple(found)
