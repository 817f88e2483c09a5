"""Only so many orders may be sent per minute."""

from __future__ import annotations

from datetime import timedelta

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext
from trading_platform.domain.orders.risk.scopes import count_orders, first_breach

WINDOW = timedelta(minutes=1)


class MaxOrdersPerMinute:
    """Refuses the order that would be number ``max_orders_per_minute`` + 1 of strategy or account in ``WINDOW``.

    The window slides. What was approved in this tick counts as sent. It holds for reducing orders too: it is the
    guard against a loop.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_orders_per_minute,
            lambda scope: count_orders(intent, context, WINDOW, scope.strategy),
            lambda scope, value, limit: f"orders of the {scope.name} per minute would be {value}, limit {limit}",
        )
        return verdict(self, reason, **numbers)


CONTROL = MaxOrdersPerMinute()
