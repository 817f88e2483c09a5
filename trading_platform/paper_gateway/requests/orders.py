"""Requests about orders and executions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from trading_platform.paper_gateway.errors import RequestError
from trading_platform.paper_gateway.messages import orders as messages
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.messages.order_requests import ExecutionFilter, PlaceOrder
from trading_platform.paper_gateway.messages.times import TWS_ZONE
from trading_platform.paper_gateway.model import Contract, PaperOrder
from trading_platform.paper_gateway.pacing import ACTIVE_ORDERS_PER_SIDE

if TYPE_CHECKING:
    from datetime import datetime

    from trading_platform.paper_gateway.hub import Hub
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader


def place_order(session: Session, reader: FieldReader) -> None:
    """Place a new order, modify a known one, or tell what one would do."""
    client_id = _client_of(session)
    request = PlaceOrder.read(reader)
    hub = session.hub
    contract = hub.one(request.query)
    if request.ticket.what_if:
        _answer_what_if(session, request, contract)
        return
    is_new = not any(order.order_id == request.order_id for order in hub.venue.open_orders(client_id))
    if is_new:
        rejected = hub.faults.rejection(contract.symbol)
        if rejected is not None:
            raise RequestError(rejected.code, rejected.text)
        _check_active_orders(hub, request, contract)
        if hub.faults.swallows(contract.symbol):
            session.silence(request.order_id)
    hub.publish(hub.venue.place(client_id, request.order_id, contract, request.ticket))


def _answer_what_if(session: Session, request: PlaceOrder, contract: Contract) -> None:
    hub, client_id = session.hub, _client_of(session)
    answer = hub.venue.what_if(client_id, request.order_id, contract, request.ticket)
    order = PaperOrder(client_id, request.order_id, 0, contract, request.ticket)
    session.send(messages.open_order(order, hub.venue.account, answer))


def _check_active_orders(hub: Hub, request: PlaceOrder, contract: Contract) -> None:
    """Hold the account to IBKR's number of active orders per contract and side."""
    if not hub.config.pacing_enabled:
        return
    active = sum(
        order.contract.con_id == contract.con_id and order.ticket.action == request.ticket.action
        for order in hub.venue.open_orders(None)
    )
    if active >= ACTIVE_ORDERS_PER_SIDE:
        raise RequestError(
            201,
            "Order rejected - reason:The maximum number of active orders per contract, side and account "
            f"({ACTIVE_ORDERS_PER_SIDE}) has been reached: cancel some first.",
        )


def cancel_order(session: Session, reader: FieldReader) -> None:
    """Cancel one order of the client."""
    reader.skip()  # version
    order_id = reader.request_id()
    session.hub.publish(session.hub.venue.cancel(_client_of(session), order_id))


def global_cancel(session: Session, reader: FieldReader) -> None:
    """Cancel every order of every client."""
    del reader
    session.hub.publish(session.hub.venue.cancel_all())


def open_orders(session: Session, reader: FieldReader) -> None:
    """List the client's own open orders."""
    del reader
    _list_open_orders(session, session.hub.venue.open_orders(_client_of(session)))


def all_open_orders(session: Session, reader: FieldReader) -> None:
    """List the open orders of every client."""
    del reader
    _list_open_orders(session, session.hub.venue.open_orders(None))


def _list_open_orders(session: Session, orders: list[PaperOrder]) -> None:
    for order in orders:
        session.send(messages.open_order(order, session.hub.venue.account))
        session.send(messages.order_status(order))
    session.send(messages.open_orders_end())


def completed_orders(session: Session, reader: FieldReader) -> None:
    """List the orders completed since midnight in the gateway's zone, of every client."""
    del reader
    hub = session.hub
    since = _midnight(hub.now())
    for order in hub.venue.completed_orders(since):
        session.send(messages.completed_order(order, hub.venue.account))
    session.send(messages.completed_orders_end())


def executions(session: Session, reader: FieldReader) -> None:
    """List the executions since midnight in the gateway's zone that pass the client's filter, with commissions."""
    wanted = ExecutionFilter.read(reader)
    hub = session.hub
    recent = hub.venue.executions(_midnight(hub.now()))
    found = [execution for execution in recent if wanted.admits(execution, hub.venue.account)]
    for execution in found:
        session.send(messages.execution_details(wanted.request_id, execution, hub.venue.account))
        session.send(messages.commission_report(execution))
    session.send(messages.executions_end(wanted.request_id))


def _midnight(now: datetime, zone: ZoneInfo = TWS_ZONE) -> datetime:
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def _client_of(session: Session) -> int:
    if session.client_id is None:
        raise RequestError(504, "Not connected")
    return session.client_id


HANDLERS = {
    Incoming.PLACE_ORDER: place_order,
    Incoming.CANCEL_ORDER: cancel_order,
    Incoming.REQ_GLOBAL_CANCEL: global_cancel,
    Incoming.REQ_OPEN_ORDERS: open_orders,
    Incoming.REQ_ALL_OPEN_ORDERS: all_open_orders,
    Incoming.REQ_COMPLETED_ORDERS: completed_orders,
    Incoming.REQ_EXECUTIONS: executions,
}
