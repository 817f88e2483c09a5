"""Handing started orders to the broker, once each, and taking its answers into the ledger.

Who decides what may be sent, and holds the lease, is ``submit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trading_platform.brokers.base import (
    AccountMismatchError,
    Broker,
    BrokerConnectionError,
    BrokerError,
    OrderRejectedError,
    ReadOnlyError,
    UnknownInstrumentError,
)
from trading_platform.clock import Clock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import BrokerOrder, OrderStatus
from trading_platform.execution.broker_view import as_acknowledged
from trading_platform.execution.report import OrderOutcome, Outcome
from trading_platform.storage.ledger import Ledger, LedgerOrder
from trading_platform.storage.ledger.lease import SubmissionLease

_NOT_SENT_ERRORS = (ReadOnlyError, AccountMismatchError, UnknownInstrumentError)
"""Refusals of our own side of the connection, before anything was sent, that another try would not change."""


@dataclass(kw_only=True)
class Sending:
    """The sending half of one submission, under a held lease.

    ``outcomes`` collects what happened, by client order id. ``trouble`` says why nothing more may be sent, once that
    is so.
    """

    ledger: Ledger
    broker: Broker
    lease: SubmissionLease
    clock: Clock
    run_id: str
    outcomes: dict[str, OrderOutcome] = field(default_factory=dict)
    trouble: str = ""

    @property
    def account(self) -> str:
        """The account of the lease, which is the tick's."""
        return self.lease.account

    def _send(self, legs: Sequence[LedgerOrder], instrument: Instrument) -> Sequence[BrokerOrder]:
        requests = [order.intent.request for order in legs]
        if len(requests) == 1:
            return [self.broker.place_order(instrument, requests[0])]
        return self.broker.place_bracket(instrument, requests)

    def place(self, legs: Sequence[LedgerOrder], instrument: Instrument) -> None:
        """Send once. Until the answer is in the ledger the lease is in doubt and will not be given back."""
        self.lease.is_in_doubt = True
        try:
            acknowledged = self._send(legs, instrument)
        except OrderRejectedError as error:
            self.end_all(legs, "rejected", OrderStatus.BROKER_REJECTED, str(error), raw_status=str(error.code))
        except _NOT_SENT_ERRORS as error:
            self.end_all(legs, "rejected", OrderStatus.BROKER_REJECTED, f"not sent: {error}")
        except BrokerConnectionError as error:
            # By the protocol nothing was sent. A later run of the tick still looks for it before it tries again.
            for order in legs:
                self.ledger.record_unsent(
                    self.account,
                    order.client_order_id,
                    at=self.clock.now(),
                    run_id=self.run_id,
                    message=f"not sent: {error}",
                )
                self.note(order, "not_sent", OrderStatus.SUBMITTING, str(error))
            self.trouble = f"not sent after the broker failed: {error}"
        except BrokerError as error:
            self.end_all(legs, "unknown", OrderStatus.UNKNOWN, str(error))
            self.trouble = f"not sent after an order's fate was lost: {error}"
        except BaseException as error:
            # Anything else (an interrupt, a bug) may have struck after the send.
            for order in legs:
                self.move(order, OrderStatus.UNKNOWN, f"interrupted while it was sent: {error!r}")
            self.lease.is_in_doubt = False
            raise
        else:
            for order, answer in zip(legs, acknowledged, strict=True):
                self._take_in(order, answer, is_bracket=len(legs) > 1)
            if len(legs) > 1:
                self._withdraw_if_incomplete(legs, acknowledged)
        self.lease.is_in_doubt = False

    def _take_in(self, order: LedgerOrder, acknowledged: BrokerOrder, *, is_bracket: bool) -> None:
        # Only of a bracket's legs is a refusal an answer; of a single order it is an error that was raised.
        if is_bracket and acknowledged.status is OrderStatus.BROKER_REJECTED:
            self.end_all([order], "rejected", OrderStatus.BROKER_REJECTED, acknowledged.message)
            return
        believed = as_acknowledged(acknowledged, order.client_order_id)
        self.ledger.record_broker_order(self.account, believed, at=self.clock.now(), run_id=self.run_id)
        if believed.status is OrderStatus.UNKNOWN:
            why = f"acknowledged as {acknowledged.raw_status or acknowledged.status.value}: the lists must confirm"
            self.move(order, OrderStatus.UNKNOWN, why)
            self.note(order, "unknown", OrderStatus.UNKNOWN, why, perm_id=believed.perm_id)
        else:
            self.note(order, "placed", believed.status, perm_id=believed.perm_id)

    def _withdraw_if_incomplete(self, legs: Sequence[LedgerOrder], acknowledged: Sequence[BrokerOrder]) -> None:
        """A broker that took a bracket without one of its legs: an entry that has not traded is called back.

        One that has traded keeps the exits that the broker took. The report names the leg that is missing.
        """
        if not any(answer.status is OrderStatus.BROKER_REJECTED for answer in acknowledged):
            return
        try:
            self.broker.cancel_order(legs[0].client_order_id)
        except BrokerError as error:
            self.trouble = f"not sent after a bracket lost a leg and its entry could not be called back: {error}"

    def end_all(
        self, legs: Sequence[LedgerOrder], outcome: Outcome, to: OrderStatus, message: str, *, raw_status: str = ""
    ) -> None:
        """Move the orders to ``to`` and note the outcome of each."""
        for order in legs:
            self.move(order, to, message, raw_status=raw_status)
            self.note(order, outcome, to, message)

    def note_all(self, legs: Sequence[LedgerOrder], outcome: Outcome, *reasons: str) -> None:
        """Note the same outcome of each order; their statuses stay."""
        for order in legs:
            self.note(order, outcome, order.status, *reasons)

    def move(
        self,
        order: LedgerOrder,
        to: OrderStatus,
        message: str,
        *,
        raw_status: str = "",
        only_from: OrderStatus = OrderStatus.SUBMITTING,
    ) -> None:
        """Move an order on, unless its status is another than ``only_from`` by now."""
        # Reconciliation needs no lease: it may have learned the order's true status a moment ago. That stands.
        self.ledger.move(
            self.account,
            order.client_order_id,
            to,
            only_from=only_from,
            at=self.clock.now(),
            run_id=self.run_id,
            message=message,
            raw_status=raw_status,
        )

    def note(
        self, order: LedgerOrder, outcome: Outcome, status: OrderStatus, *reasons: str, perm_id: int | None = None
    ) -> None:
        """Note what happened to an order."""
        self.outcomes[order.client_order_id] = OrderOutcome(
            order.client_order_id, order.intent.request.symbol, outcome, status, perm_id or order.perm_id, reasons
        )
