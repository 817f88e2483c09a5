"""Quotes on the wire: streaming ticks, snapshots, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.contracts import ContractQuery
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.model import TopOfBook

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field, FieldReader

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
_BID, _ASK, _LAST, _CLOSE, _LAST_TIMESTAMP = 1, 2, 4, 9, 45
_DELAYED_KINDS = {_BID: 66, _ASK: 67, _LAST: 68, _CLOSE: 75, _LAST_TIMESTAMP: 88}
_TICK_BY_TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
_NO_PRICE = Decimal(-1)


@dataclass(frozen=True)
class MarketDataRequest:
    """A request for quotes of one contract."""

    request_id: int
    query: ContractQuery
    is_snapshot: bool

    @classmethod
    def read(cls, reader: FieldReader) -> MarketDataRequest:
        """Read reqMktData."""
        reader.skip()  # version
        request_id = reader.request_id()
        query = ContractQuery.read(reader)
        if query.security_type == "BAG":
            reader.skip(4 * reader.integer())
        if reader.boolean():  # delta-neutral contract
            reader.skip(3)
        reader.skip()  # generic ticks: none are served
        return cls(request_id, query, is_snapshot=reader.boolean())


@dataclass(frozen=True)
class Tick:
    """One tick to send: a price with its size, or a text (``kind`` is TWS's tick type)."""

    kind: int
    price: Decimal | None = None
    size: int = 0
    text: str = ""


def ticks_of(book: TopOfBook, *, is_open: bool) -> list[Tick]:
    """The ticks of one top of the book. On a closed market there is no bid and no ask, as at IBKR."""
    bid, ask = (book.bid, book.ask) if is_open else (_NO_PRICE, _NO_PRICE)
    return [
        Tick(_BID, bid, book.bid_size if is_open else 0),
        Tick(_ASK, ask, book.ask_size if is_open else 0),
        Tick(_LAST, book.last, book.last_size),
        Tick(_CLOSE, book.previous_close),
        Tick(_LAST_TIMESTAMP, text=str(int(book.ts_utc.timestamp()))),
    ]


def tick(request_id: int, value: Tick, *, is_delayed: bool) -> list[Field]:
    """One tick; delayed ones have types of their own."""
    kind = _DELAYED_KINDS[value.kind] if is_delayed else value.kind
    if value.price is None:
        return [Outgoing.TICK_STRING, 6, request_id, kind, value.text]
    return [Outgoing.TICK_PRICE, 6, request_id, kind, value.price, value.size, 0]


def market_data_type(request_id: int, kind: int) -> list[Field]:
    """Which of live, frozen, delayed and delayed-frozen the ticks of a request are."""
    return [Outgoing.MARKET_DATA_TYPE, 1, request_id, kind]


def snapshot_end(request_id: int) -> list[Field]:
    """The snapshot is complete."""
    return [Outgoing.TICK_SNAPSHOT_END, 1, request_id]


def is_tick_by_tick_kind(kind: str) -> bool:
    """Whether ``kind`` is one of Last, AllLast, BidAsk, MidPoint."""
    return kind in _TICK_BY_TICK_KINDS


def tick_by_tick(request_id: int, kind: str, book: TopOfBook, now: datetime, exchange: str) -> list[Field]:
    """One tick-by-tick message of the given kind."""
    number = _TICK_BY_TICK_KINDS[kind]
    fields: list[Field] = [Outgoing.TICK_BY_TICK, request_id, number, int(now.timestamp())]
    if kind == "BidAsk":
        return [*fields, book.bid, book.ask, book.bid_size, book.ask_size, 0]
    if kind == "MidPoint":
        return [*fields, (book.bid + book.ask) / 2]
    return [*fields, book.last, book.last_size, 0, exchange, ""]
