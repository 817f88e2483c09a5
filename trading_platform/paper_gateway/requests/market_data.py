"""Requests for quotes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.errors import RequestError, refuse_invalid, refuse_processing
from trading_platform.paper_gateway.messages import market_data as messages
from trading_platform.paper_gateway.messages.contracts import ContractQuery, tick_request_parameters
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.model import Contract, TopOfBook

if TYPE_CHECKING:
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader

_QUOTES, _TICKS = "quotes", "tick-by-tick"


@dataclass
class QuoteStream:
    """The ticks of one contract; sends those that changed, at most four times a second, as IBKR does."""

    session: Session
    request_id: int
    contract: Contract
    kind: int
    interval_seconds: float = 0.25
    _sent: dict[int, messages.Tick] = field(default_factory=dict)

    def refresh(self) -> None:
        """Send the ticks that changed."""
        hub = self.session.hub
        now = hub.now()
        book = hub.market.top_of_book(self.contract, now)
        if book is None:
            return
        is_frozen = self.kind in (messages.FROZEN, messages.DELAYED_FROZEN)
        is_open = is_frozen or hub.market.is_open(self.contract, now)
        for tick in messages.ticks_of(book, is_open=is_open):
            if self._sent.get(tick.kind) != tick:
                self._sent[tick.kind] = tick
                is_delayed = self.kind in (messages.DELAYED, messages.DELAYED_FROZEN)
                self.session.send(messages.tick(self.request_id, tick, is_delayed=is_delayed))


@dataclass
class TickByTickStream:
    """Every change of the top of the book that the gateway sees."""

    session: Session
    request_id: int
    contract: Contract
    kind: str
    interval_seconds: float = 0.0
    _sent: TopOfBook | None = None

    def refresh(self) -> None:
        """Send the newest state if it changed."""
        hub = self.session.hub
        now = hub.now()
        if not hub.market.is_open(self.contract, now):
            return
        book = hub.market.top_of_book(self.contract, now)
        if book is not None and book != self._sent:
            self._sent = book
            exchange = self.contract.primary_exchange or self.contract.exchange
            self.session.send(messages.tick_by_tick(self.request_id, self.kind, book, now, exchange))


def market_data_type(session: Session, reader: FieldReader) -> None:
    """Remember which data the client wants where there is no live data."""
    reader.skip()  # version
    kind = reader.integer()
    if kind not in (messages.LIVE, messages.FROZEN, messages.DELAYED, messages.DELAYED_FROZEN):
        refuse_invalid(f"Invalid market data type {kind}: 1 live, 2 frozen, 3 delayed, 4 delayed frozen")
    session.market_data_type = kind


def market_data(session: Session, reader: FieldReader) -> None:
    """Send quotes once (a snapshot) or from now on."""
    request = messages.MarketDataRequest.read(reader)
    if (_QUOTES, request.request_id) in session.streams:
        refuse_processing("Duplicate ticker id")
    contract = session.hub.one(request.query)
    kind = _kind_for(session, request.request_id, contract)
    session.send(messages.market_data_type(request.request_id, kind))
    session.send(tick_request_parameters(request.request_id, contract))
    stream = QuoteStream(session, request.request_id, contract, kind)
    stream.refresh()
    if request.is_snapshot:
        session.send(messages.snapshot_end(request.request_id))
    else:
        session.subscribe(_QUOTES, request.request_id, stream)


def _kind_for(session: Session, request_id: int, contract: Contract) -> int:
    """Which data a client gets: live where it is subscribed, else delayed if it asked for that."""
    wanted = session.market_data_type
    if contract.symbol not in session.hub.config.unsubscribed:
        return wanted if wanted == messages.FROZEN else messages.LIVE
    if wanted not in (messages.DELAYED, messages.DELAYED_FROZEN):
        text = "Requested market data is not subscribed. Delayed market data is available."
        raise RequestError(354, f"{text}{contract.symbol} {contract.primary_exchange}/TOP/ALL")
    session.error(request_id, 10167, "Requested market data is not subscribed. Displaying delayed market data.")
    return wanted


def cancel_market_data(session: Session, reader: FieldReader) -> None:
    """End a subscription to quotes."""
    _cancel(session, reader, _QUOTES, has_version=True)


def tick_by_tick(session: Session, reader: FieldReader) -> None:
    """Send every change of last, bid and ask, or midpoint from now on."""
    request_id = reader.request_id()
    query = ContractQuery.read(reader)
    kind = reader.text()
    if not messages.is_tick_by_tick_kind(kind):
        refuse_invalid(f"Invalid tick-by-tick type '{kind}': Last, AllLast, BidAsk or MidPoint")
    stream = TickByTickStream(session, request_id, session.hub.one(query), kind)
    stream.refresh()
    session.subscribe(_TICKS, request_id, stream)


def cancel_tick_by_tick(session: Session, reader: FieldReader) -> None:
    """End a tick-by-tick subscription."""
    _cancel(session, reader, _TICKS, has_version=False)


def _cancel(session: Session, reader: FieldReader, kind: str, *, has_version: bool) -> None:
    reader.skip(1 if has_version else 0)
    request_id = reader.request_id()
    if not session.unsubscribe(kind, request_id):
        raise RequestError(300, f"Can't find EId with tickerId:{request_id}")


HANDLERS = {
    Incoming.REQ_MARKET_DATA_TYPE: market_data_type,
    Incoming.REQ_MKT_DATA: market_data,
    Incoming.CANCEL_MKT_DATA: cancel_market_data,
    Incoming.REQ_TICK_BY_TICK: tick_by_tick,
    Incoming.CANCEL_TICK_BY_TICK: cancel_tick_by_tick,
}
