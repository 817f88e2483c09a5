"""Whether the account has lost so much that everything stops, by the limits of ``risk.yaml``."""

from __future__ import annotations

from datetime import datetime, timedelta

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.orders.model import AccountSummary
from trading_platform.domain.orders.risk.breaches import breaches
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.storage.ledger import Ledger


def loss_breaches(
    ledger: Ledger, summary: AccountSummary, limits: AccountLimits, calendar: TradingCalendar, *, now: datetime
) -> tuple[str, ...]:
    """A sentence for the daily loss and for the drawdown that reached its limit.

    The day begins with the session that ``now`` falls into, or the latest one. The same figures keep single orders
    from opening anything (the controls ``MaxDailyLoss`` and ``MaxDrawdown``).

    Raises:
        LedgerUnavailableError: PostgreSQL does not answer.
    """
    start = calendar.open_of(calendar.latest_session(now))
    since = now - timedelta(days=limits.drawdown_window_days)
    marks = ledger.equity_marks(summary.account, session_start=start, peak_since=since)
    return breaches(summary.net_liquidation, marks, limits)
