"""Waiting, for a bounded time, until orders are done, and recording what the broker says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.broker_view import BrokerView, record_view
from trading_platform.execution.report import SubmissionReport
from trading_platform.storage.ledger import Ledger, LedgerOrder

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.25


def await_fills(
    ledger: Ledger,
    broker: Broker,
    report: SubmissionReport,
    *,
    clock: Clock,
    run_id: str,
    wait_seconds: float = WAIT_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> Sequence[LedgerOrder]:
    """Poll the broker until the report's orders are final, with executions and commissions, or the time is up.

    At least one poll is made. What is still open afterwards is not an error: reconciliation keeps tracking it.
    Orders in doubt are resolved here too, if the broker turns out to have them. Times are real seconds.

    Returns:
        The orders that are or may be at the broker, as the ledger has them at the end, by client order id.

    Raises:
        BrokerError: the broker could not be asked.
        LedgerUnavailableError: PostgreSQL does not answer.
    """
    account, wanted = report.account, set(report.client_order_ids)
    deadline = time.monotonic() + wait_seconds
    while wanted:
        view = BrokerView.fetch(broker, account)
        record_view(ledger, view, account, at=clock.now(), run_id=run_id, only=wanted)
        if _are_done(ledger, account, wanted) or time.monotonic() + poll_seconds > deadline:
            break
        time.sleep(poll_seconds)
    return ledger.orders(account, client_order_ids=wanted)


def _are_done(ledger: Ledger, account: str, wanted: Collection[str]) -> bool:
    orders = ledger.orders(account, client_order_ids=wanted)
    # the exits of a bracket are there to wait: their entry's end is what a run can wait for
    if any(not order.status.is_terminal and not order.intent.request.parent_id for order in orders):
        return False
    fills = ledger.fills(account, client_order_ids=wanted)
    if any(fill.execution.commission is None for fill in fills):
        return False
    for order in orders:
        known = sum(f.execution.quantity for f in fills if f.execution.client_order_id == order.client_order_id)
        if order.status is not OrderStatus.REJECTED and known < order.filled_quantity:
            return False
    return True
