"""The same order may not be sent twice in a moment."""

from __future__ import annotations

from datetime import timedelta

from trading_platform.domain.orders.ids import group_of
from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError, beside


class DuplicateOrder:
    """Refuses an order like another of the strategy that works still or was sent within ``duplicate_window_seconds``.

    Alike are orders of the same symbol, side and quantity under different names; one name is one order, and sent
    once anyhow. Orders approved in this tick count as sent. Exits of one bracket are alternatives, not duplicates, and
    an order is no duplicate of what it replaces.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if context.recent_submissions is None:
            msg = "what was sent recently could not be read from the ledger"
            raise UnevaluableError(msg)
        request = intent.request
        wanted = (intent.strategy, request.symbol, request.side, request.quantity)
        seconds = context.limits.duplicate_window_seconds
        since = context.as_of_utc - timedelta(seconds=seconds)
        alike = [
            f"{order.client_order_id} {'was approved in the same tick' if order.is_approved else 'is working still'}"
            for order in beside(intent, context)
            if (order.strategy, request.symbol, order.side, order.quantity) == wanted and order.group != request.group
        ]
        alike += [
            f"{sent.client_order_id} was sent at {sent.sent_utc:%H:%M:%S} UTC, less than {seconds} s ago"
            for sent in context.recent_submissions
            if sent.symbol == request.symbol
            and (sent.strategy, sent.symbol, sent.side, sent.quantity) == wanted
            and group_of(sent.client_order_id) != request.group
            and sent.client_order_id not in intent.replaces
            and sent.sent_utc > since
        ]
        reason = f"a duplicate: {alike[0]}" if alike else None
        return verdict(self, reason, alike=len(alike), window_seconds=seconds)


CONTROL = DuplicateOrder()
