"""Only so many orders may be open at once."""

from __future__ import annotations

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext
from trading_platform.domain.orders.risk.scopes import Scope, first_breach, open_order_names


class MaxOpenOrders:
    """Refuses the order that would be number ``max_open_orders`` + 1 of the strategy or the account.

    Orders that work, are in doubt or were approved in this tick count. It holds for reducing orders too: it is
    the guard against a loop.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        def count(scope: Scope) -> int:
            names = open_order_names(scope.strategy, context)
            if intent.replaces:
                names = names.difference(intent.replaces)
            # orders placed by hand have no name: each counts
            unnamed = sum(not o.client_order_id for o in context.working if scope.strategy is None)
            return len(names) + (intent.client_order_id not in names) + unnamed

        reason, numbers = first_breach(
            intent,
            context,
            lambda limits: limits.max_open_orders,
            count,
            lambda scope, value, limit: f"open orders of the {scope.name} would be {value}, limit {limit}",
        )
        return verdict(self, reason, **numbers)


CONTROL = MaxOpenOrders()
