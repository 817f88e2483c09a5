"""Placing and cancelling, as coroutines for the loop thread. Each message is sent once."""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

import asyncio
from dataclasses import replace

from trading_platform.brokers.base import (
    AmbiguousOrderError,
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    ClientIdInUseError,
    OrderRejectedError,
)
from trading_platform.brokers.ibkr import errors, translate
from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement, Verdict
from trading_platform.brokers.ibkr.connection import Connection, open_connection
from trading_platform.brokers.ibkr.order_message import to_order
from trading_platform.brokers.ibkr.requests import open_orders
from trading_platform.brokers.ibkr.session import OrderWatch
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import BrokerOrder, OrderRequest

_GRACE_SECONDS = {Verdict.SETTLING: 0.5, Verdict.DOUBTFUL: 3.0}
"""How long to wait for more once this is known. A rejection's status can come before its reason."""

_FINAL = (Verdict.ACKNOWLEDGED, Verdict.REJECTED, Verdict.LOST)


async def place_order(connection: Connection, instrument: Instrument, request: OrderRequest) -> BrokerOrder:
    """Send one order and wait for the broker's word on it.

    Raises:
        ValueError: the request is senseless; nothing was sent.
        BrokerConnectionError: no usable connection; nothing was sent.
        OrderRejectedError: refused with a code that leaves no doubt.
        AmbiguousOrderError: sent, and its fate is not known.
    """
    if request.parent_id:
        msg = f"order {request.client_order_id} is an exit of {request.parent_id}: place it with its entry"
        raise ValueError(msg)
    contract = translate.to_contract(instrument)
    order = to_order(request, connection.account)
    await require_safe_ids(connection, request)
    client, wrapper = connection.client, connection.wrapper
    order_id = client.getReqId()
    watch = wrapper.watches[order_id] = OrderWatch()
    try:
        try:
            client.placeOrder(order_id, contract, order)
        except ConnectionError as error:
            msg = f"order {request.client_order_id} was not sent: the connection is closed"
            raise BrokerConnectionError(msg) from error
        await settle(watch, connection.config.request_timeout_seconds)
    finally:
        wrapper.watches.pop(order_id, None)
    return conclude(connection, request, order_id, watch.acknowledgement)


async def require_safe_ids(connection: Connection, request: OrderRequest) -> None:
    """Make sure that a new order id is no open order's, and that the connection can be used.

    Raises:
        BrokerConnectionError: it can't, or the open orders could not be read; nothing was sent.
    """
    if not connection.knows_open_orders:
        # a restarted gateway can hand out order ids that open orders still have: placing under such an id would
        # modify the old order. Having seen them, the client numbers on from the highest
        try:
            await open_orders(connection)
        except BrokerTimeoutError as error:
            msg = f"order {request.client_order_id} was not sent: the open orders could not be read first ({error})"
            raise BrokerConnectionError(msg) from error
    connection.require_usable()


async def settle(watch: OrderWatch, seconds: float) -> None:
    """Wait until the broker's word on the order is final, or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    graced: set[Verdict] = set()
    while (verdict := watch.acknowledgement.verdict) not in _FINAL:
        if verdict in _GRACE_SECONDS and verdict not in graced:
            graced.add(verdict)
            deadline = min(deadline, loop.time() + _GRACE_SECONDS[verdict])
        try:
            await asyncio.wait_for(watch.changed.wait(), deadline - loop.time())
        except asyncio.TimeoutError:
            return
        watch.changed.clear()


def conclude(
    connection: Connection, request: OrderRequest, order_id: int, acknowledgement: Acknowledgement
) -> BrokerOrder:
    """The order as acknowledged.

    Raises:
        OrderRejectedError: refused with a code that leaves no doubt.
        AmbiguousOrderError: its fate is not known.
    """
    name = f"order {request.client_order_id} ({request.side} {request.quantity} {request.symbol})"
    verdict = acknowledgement.verdict
    if verdict is Verdict.ACKNOWLEDGED or (verdict is Verdict.SETTLING and acknowledgement.is_ended_by_broker):
        return translate.to_acknowledged_order(
            request,
            acknowledgement,
            account=connection.account,
            order_id=order_id,
            client_id=connection.config.client_id,
        )
    if verdict is Verdict.REJECTED and acknowledgement.rejection is not None:
        code, text = acknowledgement.rejection
        msg = f"{name} was refused by IBKR with {code}: {text}"
        raise OrderRejectedError(msg, code)
    if verdict is Verdict.LOST:
        why = "the connection was lost before it was acknowledged"
    elif acknowledgement.doubt is not None:
        why = "IBKR answered {}: {}, which does not say whether it lives".format(*acknowledgement.doubt)
    elif acknowledgement.status:
        why = f"IBKR's last word on it was {acknowledgement.status}"
    else:
        why = f"it was not acknowledged within {connection.config.request_timeout_seconds:g} s"
    msg = (
        f"{name} was sent, but {why}. Don't send it again: look for its orderRef in open orders, completed orders "
        "and executions"
    )
    raise AmbiguousOrderError(msg)


async def cancel_order(connection: Connection, client_order_id: str, *, own_ids: range) -> None:
    """Cancel every open order that carries the reference. One that isn't open any more needs nothing.

    IBKR lets a client cancel its own orders only. Runs take turns with ``own_ids``, so an order may have been placed
    under another of them: then a second connection is opened under that id, for the cancellation alone.

    Raises:
        BrokerError: IBKR refused, or an order belongs to a client id that is not ours, or that is in use.
        AmbiguousOrderError: asked for, but not confirmed.
    """
    by_client: dict[int, list[BrokerOrder]] = {}
    for order in await open_orders(connection):
        if order.client_order_id == client_order_id:
            by_client.setdefault(order.client_id, []).append(order)
    await _cancel_each(connection, by_client.pop(connection.config.client_id, []))
    for client_id, found in by_client.items():
        if client_id not in own_ids:
            msg = (
                f"order {client_order_id} is open, but was placed by client id {client_id}; this platform uses "
                f"{own_ids.start} to {own_ids.stop - 1}, and IBKR lets a client cancel its own orders only: connect as "
                f"{client_id}, or cancel it in TWS"
            )
            raise BrokerError(msg)
        await _cancel_as(connection, client_id, found)


async def _cancel_as(connection: Connection, client_id: int, found: list[BrokerOrder]) -> None:
    try:
        other = await open_connection(
            replace(connection.config, account=connection.account, client_id=client_id, client_id_span=1)
        )
    except ClientIdInUseError as error:
        msg = (
            f"order {found[0].client_order_id} was placed by client id {client_id}, which another run uses now: it can "
            "be cancelled once that run has ended"
        )
        raise BrokerError(msg) from error
    try:
        await _cancel_each(other, found)
    finally:
        other.close()


async def _cancel_each(connection: Connection, found: list[BrokerOrder]) -> None:
    answers = await asyncio.gather(*(_cancel(connection, order) for order in found), return_exceptions=True)
    for answer in answers:
        if answer is not None:
            raise answer


async def cancel_all_orders(connection: Connection) -> None:
    """Ask IBKR to cancel every open order, whichever client placed it. There is no answer: ask for open orders.

    Raises:
        BrokerConnectionError: no usable connection; nothing was sent.
    """
    connection.require_usable()
    try:
        connection.client.reqGlobalCancel()
    except ConnectionError as error:
        msg = "the global cancel was not sent: the connection is closed"
        raise BrokerConnectionError(msg) from error


async def _cancel(connection: Connection, order: BrokerOrder) -> None:
    client, wrapper = connection.client, connection.wrapper
    connection.require_usable()
    watch = wrapper.watches[order.order_id] = OrderWatch()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connection.config.request_timeout_seconds
    try:
        client.cancelOrder(order.order_id)
        while not (answer := _cancel_answer(order, watch.acknowledgement)):
            await asyncio.wait_for(watch.changed.wait(), deadline - loop.time())
            watch.changed.clear()
    except asyncio.TimeoutError as error:
        if order.perm_id not in {item.perm_id for item in await open_orders(connection)}:
            return
        msg = f"the cancellation of order {order.client_order_id} was asked for, but it is still open: try again later"
        raise AmbiguousOrderError(msg) from error
    finally:
        wrapper.watches.pop(order.order_id, None)
    if isinstance(answer, BrokerError):
        raise answer


def _cancel_answer(order: BrokerOrder, said: Acknowledgement) -> BrokerError | bool:
    if said.status in ("PendingCancel", "Cancelled", "ApiCancelled"):
        return True
    name = order.client_order_id
    if said.status == "Filled":
        return BrokerError(f"order {name} was filled before it could be cancelled")
    problem = said.doubt
    if problem is not None and problem[0] in errors.CANCEL_REFUSED:
        return BrokerError(f"order {name} could not be cancelled, IBKR answered {problem[0]}: {problem[1]}")
    if said.is_lost:
        return AmbiguousOrderError(f"the connection was lost while order {name} was being cancelled: check open orders")
    return False
