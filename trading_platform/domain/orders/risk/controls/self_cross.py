"""The account may not trade with itself."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import PendingOrder, RiskContext, beside, finite


class SelfCross:
    """Refuses an order that could trade with an opposite one of the account, whichever strategy's.

    Two limits that do not meet can't; an order without a limit meets everything. Reducing orders are refused too:
    a wash trade is one whatever its purpose. The opposite order must end first. Entry and exits of one bracket are
    never live together.
    """

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        request = intent.request
        opposite = [
            order
            for order in beside(intent, context)
            if order.side != request.side and order.quantity and order.group != request.group
        ]
        crossing = [order for order in opposite if _could_meet(request.side == "BUY", request.limit_price, order)]
        reason = None
        if crossing:
            first = crossing[0]
            name = first.client_order_id or "an order placed by hand"
            reason = f"could trade with our own {first.side} of {first.quantity:f} ({name})"
        return verdict(self, reason, opposite_orders=len(opposite), crossing_orders=len(crossing))


def _could_meet(is_buy: bool, limit: Decimal | None, other: PendingOrder) -> bool:
    if limit is None or other.limit_price is None:
        return True
    ours = finite(limit, "limit price")
    theirs = finite(other.limit_price, f"limit price of {other.client_order_id}")
    return ours >= theirs if is_buy else ours <= theirs


CONTROL = SelfCross()
