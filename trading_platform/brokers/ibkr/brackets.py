"""Placing a bracket, as a coroutine for the loop thread: everything of it goes live, or nothing.

IBKR's way: entry and exits are sent with ``transmit`` off, which keeps them at the gateway; the last one has it on and
releases them all. Before that one is sent, a round trip makes sure that the gateway has taken the others without a
complaint. So whatever breaks up to there, nothing is live.
"""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trading_platform.brokers.base import BrokerConnectionError, BrokerError, OrderRejectedError
from trading_platform.brokers.ibkr import translate
from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement
from trading_platform.brokers.ibkr.connection import Connection
from trading_platform.brokers.ibkr.order_message import to_order
from trading_platform.brokers.ibkr.orders import conclude, require_safe_ids, settle
from trading_platform.brokers.ibkr.requests import server_time
from trading_platform.brokers.ibkr.session import OrderWatch
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import BrokerOrder, OrderRequest, OrderStatus


@dataclass(frozen=True)
class _Leg:
    request: OrderRequest
    order_id: int
    watch: OrderWatch

    @property
    def said(self) -> Acknowledgement:
        return self.watch.acknowledgement


async def place_bracket(
    connection: Connection, instrument: Instrument, requests: Sequence[OrderRequest]
) -> list[BrokerOrder]:
    """Send entry and exits as one group and wait for the broker's word on each.

    Raises:
        ValueError: the requests are no bracket; nothing was sent.
        BrokerConnectionError: the group was not released; nothing of it is live.
        OrderRejectedError: refused; nothing of it is live.
        AmbiguousOrderError: released, and the fate of a leg is not known.
    """
    entry, *exits = requests
    if not exits or entry.parent_id or any(leg.parent_id != entry.client_order_id for leg in exits):
        msg = f"{entry.client_order_id} is no bracket: an entry and its exits, each of which names it, are needed"
        raise ValueError(msg)
    for request in requests:
        to_order(request, connection.account)  # whatever is senseless is found before anything is sent
    await require_safe_ids(connection, entry)
    legs = [_Leg(request, connection.client.getReqId(), OrderWatch()) for request in requests]
    connection.wrapper.watches |= {leg.order_id: leg.watch for leg in legs}
    try:
        await _hold_back(connection, instrument, legs)
        _send(connection, instrument, legs, legs[-1], transmit=True)
        seconds = connection.config.request_timeout_seconds
        # if the last leg is refused, the others were never released and nobody speaks of them
        await settle(legs[-1].watch, seconds)
        if legs[-1].said.rejection is not None and not any(leg.said.perm_id for leg in legs):
            await _withdraw(connection, legs)
            raise _refused(legs[-1])
        await asyncio.gather(*(settle(leg.watch, seconds) for leg in legs))
        return _conclude(connection, legs)
    finally:
        for leg in legs:
            connection.wrapper.watches.pop(leg.order_id, None)


async def _hold_back(connection: Connection, instrument: Instrument, legs: Sequence[_Leg]) -> None:
    """Send all but the last, which stay at the gateway, and hear what it says of them."""
    for leg in legs[:-1]:
        _send(connection, instrument, legs, leg, transmit=False)
    try:
        await server_time(connection)
    except BrokerError as error:
        msg = f"bracket {legs[0].request.client_order_id} was not released, and nothing of it is live: {error}"
        raise BrokerConnectionError(msg) from error
    for leg in legs[:-1]:
        if leg.said.rejection is not None or leg.said.doubt is not None:
            await _withdraw(connection, legs)
            raise _refused(leg)
    connection.require_usable()


def _send(connection: Connection, instrument: Instrument, legs: Sequence[_Leg], leg: _Leg, *, transmit: bool) -> None:
    parent_id = 0 if leg is legs[0] else legs[0].order_id
    order = to_order(leg.request, connection.account, parent_id=parent_id, transmit=transmit)
    try:
        connection.client.placeOrder(leg.order_id, translate.to_contract(instrument), order)
    except ConnectionError as error:
        msg = f"bracket {legs[0].request.client_order_id} was not released: the connection is closed"
        raise BrokerConnectionError(msg) from error


async def _withdraw(connection: Connection, legs: Sequence[_Leg]) -> None:
    """Throw away what is held back at the gateway. It is not live, so nothing depends on this."""
    try:
        for leg in legs[:-1]:
            connection.client.cancelOrder(leg.order_id)
        await server_time(connection)
    except (BrokerError, ConnectionError):
        return


def _refused(leg: _Leg) -> OrderRejectedError:
    code, text = leg.said.rejection or leg.said.doubt or (0, "")
    name = leg.request.client_order_id
    return OrderRejectedError(f"its bracket was refused by IBKR: {name} with {code}: {text}", code)


def _conclude(connection: Connection, legs: Sequence[_Leg]) -> list[BrokerOrder]:
    orders = [_acknowledged_or_refused(connection, leg) for leg in legs]
    if all(order.status is OrderStatus.BROKER_REJECTED for order in orders):
        raise _refused(legs[0])
    return orders


def _acknowledged_or_refused(connection: Connection, leg: _Leg) -> BrokerOrder:
    try:
        return conclude(connection, leg.request, leg.order_id, leg.said)
    except OrderRejectedError as error:
        order = translate.to_acknowledged_order(
            leg.request,
            Acknowledgement(perm_id=leg.said.perm_id, notes=[str(error)]),
            account=connection.account,
            order_id=leg.order_id,
            client_id=connection.config.client_id,
        )
        return replace(order, status=OrderStatus.BROKER_REJECTED)
