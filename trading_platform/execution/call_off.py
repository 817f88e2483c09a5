"""Calling off working orders: cancel at the broker, and believe it only when the broker's lists say so.

What replaces an order is sent after this and never before, so that an intent has one live order at most. IBKR's way of
modifying an order in place is not used: during an outage it can leave one reference with two permanent ids.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection

from trading_platform.brokers.base import Broker, BrokerError
from trading_platform.clock import Clock
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.broker_view import BrokerView, record_view
from trading_platform.storage.ledger import Ledger

CONFIRM_SECONDS = 10.0
POLL_SECONDS = 0.1
MOST_REQUESTS = 3
"""How often a cancellation is asked for while it is refused, e.g. by a lost connection. Asking again does no harm."""


def call_off(
    ledger: Ledger,
    broker: Broker,
    account: str,
    names: Collection[str],
    *,
    clock: Clock,
    run_id: str,
    confirm_seconds: float = CONFIRM_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> tuple[str, ...]:
    """Cancel the orders and wait until each is over, with all its fills in the ledger. Times are real seconds.

    Returns:
        A sentence for each order that is not confirmed over; empty when all are. An order that the ledger knows as
        over is not asked for again. One in doubt, that the broker does not list, is never confirmed.

    Raises:
        BrokerError: the broker's lists could not be had; what was cancelled may be so or not.
        LedgerUnavailableError: PostgreSQL does not answer.
    """
    deadline = time.monotonic() + confirm_seconds
    refusals: dict[str, str] = {}
    asked: Counter[str] = Counter()
    while True:
        view = BrokerView.fetch(broker, account)
        record_view(ledger, view, account, at=clock.now(), run_id=run_id, only=names)
        left = _not_over(ledger, view, account, names)
        if not left or time.monotonic() >= deadline:
            return tuple(f"order {name} is not confirmed over: {refusals.get(name, why)}" for name, why in left.items())
        for name in sorted(left):
            is_due = not asked[name] or (name in refusals and asked[name] < MOST_REQUESTS)
            if is_due and view.order(name) is not None:
                asked[name] += 1
                refusals.pop(name, None)
                refusals |= _cancel(broker, name)
        time.sleep(poll_seconds)


def _cancel(broker: Broker, name: str) -> dict[str, str]:
    """Ask. A refusal is kept for the report only: the lists decide, not the answer."""
    try:
        broker.cancel_order(name)
    except BrokerError as error:
        return {name: str(error)}
    return {}


def _not_over(ledger: Ledger, view: BrokerView, account: str, names: Collection[str]) -> dict[str, str]:
    """Orders that may still trade, or whose fills have not all arrived, each with what is known of it."""
    filling = {order.client_order_id for order in ledger.working_orders(account)}
    left: dict[str, str] = {}
    for order in ledger.orders(account, client_order_ids=names):
        listed = view.order(order.client_order_id)
        if order.client_order_id in filling:
            left[order.client_order_id] = f"it is {order.status.value}, or its fills have not all arrived"
        elif listed is not None and not listed.status.is_terminal:
            left[order.client_order_id] = f"the broker lists it as {listed.raw_status}"
        elif not order.status.is_terminal and order.status is not OrderStatus.APPROVED:
            left[order.client_order_id] = f"it is {order.status.value}"
    return left
