"""A small scripted market and a desk that trades on it: real parts for the venue's tests, no mocks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from trading_platform.clock import ManualClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.matching import Venue
from trading_platform.paper_gateway.model import (
    Announcement,
    Bar,
    Contract,
    Executed,
    OrderChanged,
    OrderError,
    OrderTicket,
    PaperExecution,
    PaperOrder,
    TopOfBook,
)
from trading_platform.paper_gateway.store import Store

UTC = timezone.utc
CLIENT = 7
ACCOUNT = "DU1000000"
SPREAD = Decimal("0.01")

AAPL = Contract(
    con_id=265598,
    symbol="AAPL",
    security_type="STK",
    exchange="SMART",
    primary_exchange="NASDAQ",
    currency="USD",
    local_symbol="AAPL",
    trading_class="NMS",
    long_name="APPLE INC",
    min_tick=Decimal("0.01"),
    min_size=Decimal(1),
    size_increment=Decimal(1),
    calendar="XNYS",
    time_zone="US/Eastern",
    data_origin="scripted",
)
IBM = replace(AAPL, con_id=8314, symbol="IBM", local_symbol="IBM", long_name="IBM", primary_exchange="NYSE")
BTC = replace(
    AAPL,
    con_id=479624278,
    symbol="BTC",
    security_type="CRYPTO",
    exchange="PAXOS",
    primary_exchange="PAXOS",
    local_symbol="BTC.USD",
    trading_class="BTC",
    long_name="Bitcoin",
    min_size=Decimal("0.0001"),
    size_increment=Decimal("0.0001"),
    calendar="24/7",
    time_zone="UTC",
)
CONTRACTS = {contract.con_id: contract for contract in (AAPL, IBM, BTC)}


def et(text: str, day: str = "2013-02-28") -> datetime:
    """New York winter time ``HH:MM[:SS]`` of a day as UTC."""
    return datetime.fromisoformat(f"{day}T{text}-05:00").astimezone(UTC)


class ScriptedMarket:
    """Last prices as steps in time, one cent of spread on either side, and a volume per minute.

    ``set_price(contract, price, since)`` must be called in the order of time, contract by contract.
    """

    def __init__(self, price: str = "100.00", volume: str = "100000") -> None:
        self.default_price = Decimal(price)
        self.default_volume = Decimal(volume)
        self._since: dict[int, list[datetime]] = {}
        self._prices: dict[int, list[Decimal]] = {}
        self._volumes: dict[tuple[int, datetime], Decimal] = {}
        self.previous_close = self.default_price

    def set_price(self, contract: Contract, price: str | Decimal, since: datetime) -> None:
        self._since.setdefault(contract.con_id, []).append(since)
        self._prices.setdefault(contract.con_id, []).append(Decimal(price))

    def set_volume(self, contract: Contract, minute: datetime, volume: str) -> None:
        self._volumes[contract.con_id, minute] = Decimal(volume)

    def last(self, contract: Contract, now: datetime) -> Decimal:
        position = bisect_right(self._since.get(contract.con_id, []), now)
        return self._prices[contract.con_id][position - 1] if position else self.default_price

    def top_of_book(self, contract: Contract, now: datetime) -> TopOfBook | None:
        last = self.last(contract, now)
        return TopOfBook(last - SPREAD, last + SPREAD, last, 100, 100, 100, self.previous_close, now)

    def is_open(self, contract: Contract, now: datetime) -> bool:
        return get_calendar(contract.calendar).is_open(now)

    def minute_volume(self, contract: Contract, minute_start: datetime) -> Decimal:
        if not self.is_open(contract, minute_start):
            return Decimal(0)
        return self._volumes.get((contract.con_id, minute_start), self.default_volume)

    def minute_bar(self, contract: Contract, minute_start: datetime) -> Bar | None:
        if not self.is_open(contract, minute_start):
            return None
        end = minute_start + timedelta(minutes=1)
        moments = [minute_start, *(t for t in self._since.get(contract.con_id, []) if minute_start < t < end)]
        prices = [float(self.last(contract, moment)) for moment in moments]
        volume = float(self.minute_volume(contract, minute_start))
        return Bar(minute_start, prices[0], max(prices), min(prices), prices[-1], volume, prices[0], 1)


T = TypeVar("T", Executed, OrderChanged, OrderError)


def of_kind(kind: type[T], announcements: Sequence[Announcement]) -> list[T]:
    """The announcements of one kind."""
    return [one for one in announcements if isinstance(one, kind)]


def codes(announcements: Sequence[Announcement]) -> list[int]:
    """The error codes among announcements."""
    return [error.code for error in of_kind(OrderError, announcements)]


def ticket(
    side: str, quantity: str | int, order_type: str = "MKT", *, limit: str | None = None, stop: str | None = None
) -> OrderTicket:
    """A DAY ticket."""
    return OrderTicket(
        action="BUY" if side == "BUY" else "SELL",
        quantity=Decimal(quantity),
        order_type=order_type,
        limit_price=None if limit is None else Decimal(limit),
        aux_price=None if stop is None else Decimal(stop),
    )


class Desk:
    """A venue with its clock and market; orders get the next id by themselves."""

    def __init__(
        self,
        now: datetime | None = None,
        *,
        path: Path | None = None,
        market: ScriptedMarket | None = None,
        cash: str = "1000000",
        participation: str = "0.10",
    ) -> None:
        self.clock = ManualClock(now or et("10:00"))
        self.market = market or ScriptedMarket()
        self.path = path
        self.cash = Decimal(cash)
        self.participation = Decimal(participation)
        self.heard: list[Announcement] = []
        self.venue = self._open()

    def _open(self) -> Venue:
        return Venue(
            self.market,
            CONTRACTS,
            self.clock.now,
            Store(self.path),
            ACCOUNT,
            starting_cash=self.cash,
            participation=self.participation,
        )

    def reopen(self) -> None:
        """Stop the venue and open its state file anew."""
        self.venue.close()
        self.venue = self._open()

    def place(self, order: OrderTicket, contract: Contract = AAPL, **changes: object) -> int:
        """Place a new order and return its id; ``changes`` replace fields of the ticket."""
        order_id = self.venue.next_order_id(CLIENT)
        self.said = self.venue.place(CLIENT, order_id, contract, replace(order, **changes))  # type: ignore[arg-type]
        self.heard += self.said
        return order_id

    def at(self, moment: datetime) -> list[Announcement]:
        """Move the clock and step."""
        self.clock.set(moment)
        self.said = self.venue.step()
        self.heard += self.said
        return self.said

    def order(self, order_id: int) -> PaperOrder:
        """The order, live or done."""
        orders = [*self.venue.open_orders(), *self.venue.completed_orders(datetime.min.replace(tzinfo=UTC))]
        return next(order for order in orders if order.order_id == order_id)

    def status(self, order_id: int) -> str:
        """The order's status."""
        return self.order(order_id).status

    def fills(self, order_id: int | None = None) -> list[PaperExecution]:
        """All executions, or those of one order."""
        executions = self.venue.executions(datetime.min.replace(tzinfo=UTC))
        return [one for one in executions if order_id in (None, one.order_id)]

    def quantity(self, contract: Contract = AAPL) -> Decimal:
        """Signed quantity held."""
        held = [holding.quantity for holding in self.venue.holdings() if holding.contract.con_id == contract.con_id]
        return held[0] if held else Decimal(0)

    def value(self, tag: str) -> Decimal:
        """One account value."""
        return Decimal(self.venue.account_values()[tag][0])
