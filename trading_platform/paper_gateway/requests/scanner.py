"""Requests to the market scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import RequestError, refuse_history, refuse_invalid, refuse_processing
from trading_platform.paper_gateway.market.scanner import LOCATIONS, MOST_ROWS, SCAN_CODES, ScanFilter, scan
from trading_platform.paper_gateway.messages import scanner as messages
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.model import Contract
from trading_platform.paper_gateway.pacing import SCANNER_SUBSCRIPTIONS

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader

_KIND = "scanner"
_REFRESH_SECONDS = 30.0
_NO_ITEMS = "Historical Market Data Service query message:no items retrieved"


@dataclass
class ScannerStream:
    """One ranked list; sent whole again when it has changed, looked at as often as IBKR does."""

    session: Session
    request: messages.ScannerRequest
    filters: ScanFilter
    interval_seconds: float = _REFRESH_SECONDS
    _sent: Sequence[Contract] | None = None

    def refresh(self) -> None:
        """Send the list if it changed; an empty one with the notice 165, as IBKR does."""
        hub, request = self.session.hub, self.request
        found = scan(
            hub.market,
            hub.contracts.contracts,
            request.scan_code,
            request.location,
            self.filters,
            request.rows if 0 <= request.rows < MOST_ROWS else MOST_ROWS,
            hub.now(),
        )
        if found != self._sent:
            self._sent = found
            if not found:
                self.session.error(request.request_id, 165, _NO_ITEMS)
            self.session.send(messages.scanner_data(request.request_id, found))


def scanner_subscription(session: Session, reader: FieldReader) -> None:
    """Send the ranked list, now and when it changes."""
    request = messages.ScannerRequest.read(reader)
    if (_KIND, request.request_id) in session.streams:
        refuse_processing("Duplicate ticker ID for API scanner subscription")
    if request.instrument != messages.INSTRUMENT or request.location not in LOCATIONS:
        refuse_history("Error: Market Scanner is not configured for one of the chosen locations.")
    if request.scan_code not in SCAN_CODES:
        refuse_history(f"Scanner type with code {request.scan_code} is disabled")
    if sum(kind == _KIND for other in session.hub.sessions.values() for kind, _ in other.streams) >= (
        SCANNER_SUBSCRIPTIONS
    ):
        refuse_processing(f"Only {SCANNER_SUBSCRIPTIONS} simultaneous API scanner subscriptions are allowed.")
    stream = ScannerStream(session, request, _filters(request))
    stream.refresh()
    session.subscribe(_KIND, request.request_id, stream)


def _filters(request: messages.ScannerRequest) -> ScanFilter:
    """The filters of the subscription's fields and of its tags; where both say one, the tag counts."""
    if request.stock_type.upper() not in ("", "ALL"):
        refuse_invalid(f"The paper market does not tell kinds of stocks apart: '{request.stock_type}' must be ALL")
    said: dict[str, float] = {}
    for tag, value in request.options:
        if tag not in messages.FILTER_TAGS:
            refuse_invalid(f"Unknown scanner filter '{tag}'. Served ones are: {', '.join(messages.FILTER_TAGS)}")
        try:
            said[tag] = float(value)
        except ValueError:
            refuse_invalid(f"The scanner filter '{tag}' needs a number, not '{value}'")
    return ScanFilter(
        above_price=said.get("priceAbove", request.above_price),
        below_price=said.get("priceBelow", request.below_price),
        above_volume=said.get("volumeAbove", request.above_volume),
        min_change=said.get("changePercAbove"),
        max_change=said.get("changePercBelow"),
    )


def cancel_scanner_subscription(session: Session, reader: FieldReader) -> None:
    """End a subscription; IBKR confirms it with an error."""
    reader.skip()  # version
    request_id = reader.request_id()
    if not session.unsubscribe(_KIND, request_id):
        raise RequestError(365, f"No scanner subscription found for ticker id:{request_id}")
    refuse_history(f"API scanner subscription cancelled: {request_id}")


def scanner_parameters(session: Session, reader: FieldReader) -> None:
    """Tell what can be scanned for."""
    del reader
    session.send(messages.scanner_parameters())


HANDLERS = {
    Incoming.REQ_SCANNER_SUBSCRIPTION: scanner_subscription,
    Incoming.CANCEL_SCANNER_SUBSCRIPTION: cancel_scanner_subscription,
    Incoming.REQ_SCANNER_PARAMETERS: scanner_parameters,
}
