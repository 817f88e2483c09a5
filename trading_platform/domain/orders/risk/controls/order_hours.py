"""Some minutes after the open and before the close are left alone."""

from __future__ import annotations

from datetime import timedelta

from trading_platform.domain.orders.model import CLOSE_ORDERS, ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, SessionHours, UnevaluableError, is_reducing


class OrderHours:
    """Refuses orders within the minutes after the open and before the close that the limits name.

    Half days have their own close. A market that never closes has no such minutes. An order that only reduces
    passes. Orders for the close (MOC, LOC) must be in time for the closing auction, those that reduce too.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        session, limits = context.session, context.limits
        if session is None:
            msg = "the hours of the session are not known"
            raise UnevaluableError(msg)
        if session.is_always_open:
            return verdict(self, None, is_always_open=True)
        reason = self._late_for_close(intent, session, context)
        if reason is not None:
            return verdict(self, reason, close_utc=session.close_utc.isoformat())
        opens = session.open_utc + timedelta(minutes=limits.no_orders_after_open_minutes)
        closes = session.close_utc - timedelta(minutes=limits.no_orders_before_close_minutes)
        if not opens <= context.as_of_utc < closes:
            reason = (
                f"{context.as_of_utc:%H:%M:%S} UTC is outside the hours for orders, {opens:%H:%M} to {closes:%H:%M} UTC"
            )
            if is_reducing(intent, context):
                reason = None
        return verdict(self, reason, from_utc=opens.isoformat(), until_utc=closes.isoformat())

    @staticmethod
    def _late_for_close(intent: OrderIntent, session: SessionHours, context: RiskContext) -> str | None:
        kind, minutes = intent.request.order_type, context.limits.close_order_cutoff_minutes
        until = session.close_utc - timedelta(minutes=minutes)
        if kind not in CLOSE_ORDERS or context.as_of_utc < until:
            return None
        return f"a {kind} order must be sent {minutes} minutes before the close, by {until:%H:%M} UTC"


CONTROL = OrderHours()
