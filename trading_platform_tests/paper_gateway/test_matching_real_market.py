"""The venue on the real paper market: replayed AAPL and a synthetic BTC, on 28 February 2013."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

import pytest

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market.datasets import load_market_data
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.timeline import choose_anchor
from trading_platform.paper_gateway.matching import Venue
from trading_platform.paper_gateway.model import Contract, OrderTicket
from trading_platform.paper_gateway.store import Store
from trading_platform.paper_gateway.time_in_force import MINUTE, minute_of
from trading_platform_tests.paper_gateway.venue_kit import ACCOUNT, CLIENT, et, ticket

START = et("15:45")


@dataclass
class Floor:
    """A venue on the real market, with its clock."""

    clock: ManualClock
    market: Market
    contracts: ContractBook
    venue: Venue

    def contract(self, symbol: str) -> Contract:
        [found] = self.contracts.find(symbol=symbol)
        return found

    def place(self, symbol: str, order: OrderTicket) -> int:
        order_id = self.venue.next_order_id(CLIENT)
        self.venue.place(CLIENT, order_id, self.contract(symbol), order)
        return order_id

    def walk(self, until: datetime, seconds: int) -> None:
        while self.clock.now() < until:
            self.clock.advance(timedelta(seconds=seconds))
            self.venue.step()


@pytest.fixture
def floor() -> Iterator[Floor]:
    clock = ManualClock(START)
    market = Market(load_market_data(), 7, choose_anchor(START), START)
    contracts = ContractBook(market)
    venue = Venue(market, contracts.by_con_id, clock.now, Store(None), ACCOUNT)
    yield Floor(clock, market, contracts, venue)
    venue.close()


def _tick(contract: Contract, price: Decimal) -> str:
    steps = (price / contract.min_tick).to_integral_value(ROUND_FLOOR)
    return str(steps * contract.min_tick)


def test_a_market_order_trades_at_the_ask_of_that_day(floor: Floor) -> None:
    top = floor.market.top_of_book(floor.contract("AAPL"), START)
    assert top is not None
    floor.place("AAPL", ticket("BUY", 100))
    (fill,) = floor.venue.executions()
    assert fill.price == top.ask
    assert fill.commission == 1
    assert Decimal(floor.venue.account_values()["GrossPositionValue"][0]) == round(100 * top.last, 2)


def test_orders_of_every_kind_keep_to_hours_limits_and_volume_until_the_close(floor: Floor) -> None:
    for symbol, size in (("AAPL", 9_000), ("BTC", 2)):
        contract = floor.contract(symbol)
        top = floor.market.top_of_book(contract, START)
        assert top is not None
        near, far = _tick(contract, top.last * Decimal("0.9995")), _tick(contract, top.last * Decimal("0.7"))
        floor.place(symbol, ticket("BUY", size))
        floor.place(symbol, ticket("BUY", 1, "LMT", limit=near))
        floor.place(symbol, ticket("SELL", 1, "STP", stop=near))
        floor.place(symbol, replace(ticket("BUY", 1, "LMT", limit=far), time_in_force="GTC"))
    floor.walk(et("16:00"), seconds=20)

    taken: dict[tuple[str, datetime], Decimal] = defaultdict(Decimal)
    fills = floor.venue.executions()
    for fill in fills:
        assert floor.market.is_open(fill.contract, fill.ts_utc)
        taken[fill.contract.symbol, minute_of(fill.ts_utc)] += fill.quantity
    for (symbol, minute), quantity in taken.items():
        assert quantity <= floor.market.minute_volume(floor.contract(symbol), minute) / 10 + 3
    stocks_left = [order.ticket.time_in_force for order in floor.venue.open_orders() if order.contract.symbol == "AAPL"]
    assert stocks_left == ["GTC"]
    assert len([fill for fill in fills if fill.contract.symbol == "AAPL"]) > 3


def test_catching_up_after_six_days_takes_every_trade_of_the_absence(floor: Floor) -> None:
    contract = floor.contract("AAPL")
    days = floor.market.bars(contract, "1 day", et("09:30"), et("23:00", "2013-03-06"), et("23:00", "2013-03-06"))
    lowest = min(bar.low for bar in days)
    first = next(bar for bar in days if bar.low <= lowest * 1.002 and bar.ts_utc.date() > date(2013, 2, 28))
    order = floor.place(
        "AAPL",
        replace(ticket("BUY", 10, "LMT", limit=_tick(contract, Decimal(str(first.low)))), time_in_force="GTC"),
    )
    floor.clock.set(et("20:00", "2013-03-06"))
    floor.venue.step()
    (fill,) = (fill for fill in floor.venue.executions(START) if fill.order_id == order)
    bar = floor.market.minute_bar(contract, minute_of(fill.ts_utc))
    assert bar is not None
    assert Decimal(str(bar.low)) <= fill.price
    assert fill.ts_utc <= et("20:00", "2013-03-06") - MINUTE
