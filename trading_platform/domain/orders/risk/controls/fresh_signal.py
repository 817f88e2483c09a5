"""The signal must be recent."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import CLOCK_TOLERANCE, RiskContext, UnevaluableError


class FreshSignal:
    """Refuses a signal older than the strategy's ``max_signal_age_seconds``, or from the future."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.signal_time_utc is None:
            msg = f"the time of {intent.strategy}'s signals is not known"
            raise UnevaluableError(msg)
        age = (context.as_of_utc - context.signal_time_utc).total_seconds()
        limit = context.limits.max_signal_age_seconds
        reason = None
        if age < -CLOCK_TOLERANCE.total_seconds():
            reason = f"the signal is {-age:.0f} s in the future"
        elif age > limit:
            reason = f"the signal is {age:.0f} s old, limit {limit} s"
        return verdict(self, reason, age_seconds=age, limit_seconds=limit)


CONTROL = FreshSignal()
