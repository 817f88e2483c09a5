"""From the number of a message to its handler, and from whatever goes wrong to an error message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import RequestError, refuse_processing
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.requests import (
    account,
    client,
    contracts,
    history,
    market_data,
    news,
    orders,
    scanner,
)
from trading_platform.paper_gateway.wire import FieldReader, ProtocolError

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session

log = logging.getLogger(__name__)

Handler = Callable[["Session", FieldReader], None]

HANDLERS: Mapping[Incoming, Handler] = {
    **client.HANDLERS,
    **contracts.HANDLERS,
    **market_data.HANDLERS,
    **history.HANDLERS,
    **orders.HANDLERS,
    **account.HANDLERS,
    **news.HANDLERS,
    **scanner.HANDLERS,
}

_FIELDS_BEFORE_REQUEST_ID = {
    Incoming.REQ_MKT_DEPTH: 1,
    Incoming.REQ_REAL_TIME_BARS: 1,
    Incoming.REQ_FUNDAMENTAL_DATA: 1,
    Incoming.REQ_SEC_DEF_OPT_PARAMS: 0,
    Incoming.REQ_HISTOGRAM: 0,
    Incoming.REQ_HISTORICAL_TICKS: 0,
}
"""Requests of the TWS API that the paper market has nothing for: refused, so that no client waits."""


def dispatch(session: Session, message_id: int, fields: list[str]) -> None:
    """Let one message of a client take effect. Never raises: what fails is answered with an error message."""
    reader = FieldReader(fields)
    try:
        _handle(session, message_id, reader)
    except RequestError as error:
        session.error(reader.request, error.code, error.text)
    except ProtocolError as error:
        session.error(reader.request, 320, f"Error reading request. Message id {message_id}: {error}")
    except Exception as error:
        # One client's request must not take the gateway down; the client is told, and the log has the cause.
        log.exception("message %s of client %s failed", message_id, session.client_id)
        session.error(reader.request, 322, f"Error processing request: {type(error).__name__} in the paper gateway")


def _handle(session: Session, message_id: int, reader: FieldReader) -> None:
    if message_id not in set(Incoming):
        raise RequestError(505, f"Fatal Error: Unknown message id {message_id}.")
    handler = HANDLERS.get(Incoming(message_id))
    if handler is not None:
        handler(session, reader)
        return
    reader.skip(_FIELDS_BEFORE_REQUEST_ID[Incoming(message_id)])
    reader.request_id()
    refuse_processing("The paper gateway does not serve this kind of request")
