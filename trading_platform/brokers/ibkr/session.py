"""A fresh ``ib_insync.IB`` whose wrapper keeps what the library throws away.

Imports ``ib_insync`` at module level: import this module on the loop thread only.

Why a wrapper of our own. The library's (0.9.86) marks a live order ``Cancelled`` on an unlisted error code,
updates a known order only in part when open orders are asked for again, turns an unset realized P&L into
0.0, loses the commission of an execution that it has seen before, and ignores the time of the last trade
(tick types 45 and 88). Here the server's own words are kept beside the library's view.
"""

# the methods called here are the untyped ones of the library's own base classes
# mypy: disable-error-code=no-untyped-call

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ib_insync.client import Client
from ib_insync.contract import Contract
from ib_insync.ib import IB
from ib_insync.objects import CommissionReport
from ib_insync.order import Order, OrderState
from ib_insync.wrapper import Wrapper

from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement

_LAST_TRADE_TIME_TICKS = (45, 88)

# every error of the library reaches the caller as a typed one: its own lines would only say it twice
logging.getLogger("ib_insync").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class RawOrder:
    """An order as the server described it in one ``openOrder`` or ``completedOrder`` message."""

    contract: Contract
    order: Order
    state: OrderState


@dataclass(frozen=True)
class RawStatus:
    """An ``orderStatus`` message."""

    status: str
    filled: float
    average_price: float


class OrderWatch:
    """The acknowledgement of one order that was just sent, and the signal that something was added to it."""

    def __init__(self) -> None:
        self.acknowledgement = Acknowledgement()
        self.changed = asyncio.Event()


class SessionWrapper(Wrapper):
    """Records the server's messages before it hands them to the library."""

    def __init__(self, ib: IB) -> None:
        self.watches: dict[int, OrderWatch] = {}
        self.open_orders: dict[tuple[int, int, int], RawOrder] | None = None
        self.completed_orders: list[RawOrder] | None = None
        self.statuses: dict[int, RawStatus] = {}
        self.commissions: dict[str, CommissionReport] = {}
        self.commission_arrived = asyncio.Event()
        self.last_trade_times: dict[int, datetime] = {}
        super().__init__(ib)

    def startReq(  # noqa: N802
        self, key: int | str, contract: Contract | None = None, container: Any = None
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = super().startReq(key, contract, container)
        return future

    def openOrder(self, orderId: int, contract: Contract, order: Order, orderState: OrderState) -> None:  # noqa: N802, N803
        if not order.whatIf:
            if self.open_orders is not None:
                self.open_orders[order.clientId, orderId, order.permId] = RawOrder(contract, order, orderState)
            if order.clientId == self.clientId and (watch := self.watches.get(orderId)) is not None:
                watch.acknowledgement.note_open(orderState.status, order.permId)
                watch.changed.set()
        super().openOrder(orderId, contract, order, orderState)

    def completedOrder(self, contract: Contract, order: Order, orderState: OrderState) -> None:  # noqa: N802, N803
        if self.completed_orders is not None:
            self.completed_orders.append(RawOrder(contract, order, orderState))
        super().completedOrder(contract, order, orderState)

    def orderStatus(  # noqa: N802 - the library's signature
        self,
        orderId: int,  # noqa: N803
        status: str,
        filled: float,
        remaining: float,
        avgFillPrice: float,  # noqa: N803
        permId: int,  # noqa: N803
        parentId: int,  # noqa: N803
        lastFillPrice: float,  # noqa: N803
        clientId: int,  # noqa: N803
        whyHeld: str,  # noqa: N803
        mktCapPrice: float = 0.0,  # noqa: N803
    ) -> None:
        if permId:
            self.statuses[permId] = RawStatus(status, filled, avgFillPrice)
        if clientId == self.clientId and (watch := self.watches.get(orderId)) is not None:
            watch.acknowledgement.note_status(status, permId, filled, avgFillPrice)
            watch.changed.set()
        super().orderStatus(
            orderId,
            status,
            filled,
            remaining,
            avgFillPrice,
            permId,
            parentId,
            lastFillPrice,
            clientId,
            whyHeld,
            mktCapPrice,
        )

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str) -> None:  # noqa: N803
        if (watch := self.watches.get(reqId)) is not None:
            watch.acknowledgement.note_error(errorCode, errorString)
            watch.changed.set()
        super().error(reqId, errorCode, errorString, advancedOrderRejectJson)

    def userInfo(self, reqId: int, whiteBrandingId: str) -> None:  # noqa: N802, N803 - the library drops the answer
        self._endReq(reqId, whiteBrandingId)

    def commissionReport(self, commissionReport: CommissionReport) -> None:  # noqa: N802, N803
        # a copy: the library overwrites unset values in place
        self.commissions[commissionReport.execId] = CommissionReport(**vars(commissionReport))
        self.commission_arrived.set()
        super().commissionReport(commissionReport)

    def tickString(self, reqId: int, tickType: int, value: str) -> None:  # noqa: N802, N803
        if tickType in _LAST_TRADE_TIME_TICKS and value.isdigit() and int(value) > 0:
            self.last_trade_times[reqId] = datetime.fromtimestamp(int(value), timezone.utc)
        super().tickString(reqId, tickType, value)

    def connectionClosed(self) -> None:  # noqa: N802
        for watch in self.watches.values():
            watch.acknowledgement.is_lost = True
            watch.changed.set()
        self.commission_arrived.set()
        super().connectionClosed()


def new_ib(client_id: int, max_messages_per_second: int) -> tuple[IB, SessionWrapper]:
    """An unconnected ``IB`` with a :class:`SessionWrapper`; request errors raise. What exceeds the limit is queued."""
    ib = IB()
    wrapper = SessionWrapper(ib)
    wrapper.clientId = client_id
    ib.wrapper = wrapper
    ib.client = Client(wrapper)
    ib.client.MaxRequests = max_messages_per_second
    ib.RaiseRequestErrors = True
    # the library answers 1102 with a subscription that nobody cancels (IBKR allows two): ours to decide
    ib.errorEvent.clear()
    return ib, wrapper
