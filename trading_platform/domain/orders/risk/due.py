"""Which bars a decision must rest on, for the control ``FreshBars``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.orders.risk.context import DueBars
from trading_platform.domain.signals.spec import StrategySpec


def due_bars(
    spec: StrategySpec, newest: Mapping[str, datetime] | None, *, tick_utc: datetime, as_of_utc: datetime
) -> DueBars | None:
    """Which bar a decision at ``as_of_utc`` must rest on, beside those there are.

    It is the last one that had ended when the tick began, or ``max_bar_lag_seconds`` before the decision if that is
    later; of daily bars it is the session's own.

    Args:
        newest: start of each symbol's newest bar that has ended, tz-aware UTC (``market_data.bars.newest_bars``);
            ``None``: not known.
    """
    if newest is None:
        return None
    from trading_platform.domain.market_data.bars import due_bar

    moment = max(tick_utc, as_of_utc - timedelta(seconds=spec.limits.max_bar_lag_seconds))
    return DueBars(due_bar(spec.bar_size, get_calendar(spec.calendar), moment), newest)
