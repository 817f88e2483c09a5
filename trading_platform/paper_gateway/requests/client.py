"""Requests about the session itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages import session as messages
from trading_platform.paper_gateway.messages.ids import Incoming

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader


def start_api(session: Session, reader: FieldReader) -> None:
    """Register the client under its id."""
    reader.skip()  # version
    if session.client_id is None:
        session.register(reader.integer())


def next_ids(session: Session, reader: FieldReader) -> None:
    """Tell the next valid order id."""
    del reader
    if session.client_id is not None:
        session.send(messages.next_valid_id(session.hub.next_order_id(session.client_id)))


def managed_accounts(session: Session, reader: FieldReader) -> None:
    """Tell the account."""
    del reader
    session.send(messages.managed_accounts(session.hub.venue.account))


def current_time(session: Session, reader: FieldReader) -> None:
    """Tell the gateway's time."""
    del reader
    session.send(messages.current_time(session.hub.now()))


def user_info(session: Session, reader: FieldReader) -> None:
    """Tell the white-branding id. IBKR has none for its own customers; here it tells one paper market from another."""
    session.send(messages.user_info(reader.request_id(), f"paper market {session.hub.contracts.digest}"))


def accept(session: Session, reader: FieldReader) -> None:
    """Accept a request that has no effect here: log levels, the binding of manual orders."""
    del session, reader


HANDLERS = {
    Incoming.START_API: start_api,
    Incoming.REQ_IDS: next_ids,
    Incoming.REQ_MANAGED_ACCOUNTS: managed_accounts,
    Incoming.REQ_CURRENT_TIME: current_time,
    Incoming.REQ_USER_INFO: user_info,
    Incoming.SET_SERVER_LOG_LEVEL: accept,
    Incoming.REQ_AUTO_OPEN_ORDERS: accept,
}
