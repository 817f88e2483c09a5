"""The kinds of order that TWS knows beyond market, limit and stop, sent by the real client over the socket."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trading_platform_tests.paper_gateway.client_kit import Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory


def told_to_another(desk: Desk, make_desk: DeskFactory) -> Any:
    """The one open order as a fresh client hears of it: a client that knows an order takes in only a part."""
    other = make_desk(desk.gateway, 8)
    (trade,) = other.ask(lambda client: client.reqAllOpenOrdersAsync())
    return trade.order


def last_price(desk: Desk) -> Decimal:
    hub = desk.gateway.hub
    contract = hub.contracts.by_con_id(265598)
    assert contract is not None
    top = hub.market.top_of_book(contract, desk.clock.now())
    assert top is not None
    return top.last


def test_a_trailing_stop_is_told_with_its_amount_and_where_its_stop_is(desk: Desk, make_desk: DeskFactory) -> None:
    trade = desk.place(desk.stock(), ib.Order(action="SELL", totalQuantity=10, orderType="TRAIL", auxPrice=2.0))
    assert trade.orderStatus.status == "PreSubmitted"
    order = told_to_another(desk, make_desk)
    assert (order.orderType, order.auxPrice) == ("TRAIL", 2.0)
    assert order.trailStopPrice == float(last_price(desk) - 2)


def test_a_trailing_percentage_and_a_first_stop_are_read(desk: Desk, make_desk: DeskFactory) -> None:
    first = float(last_price(desk)) - 1
    order = ib.Order(action="SELL", totalQuantity=10, orderType="TRAIL", trailingPercent=1.5, trailStopPrice=first)
    desk.place(desk.stock(), order)
    told = told_to_another(desk, make_desk)
    assert (told.trailingPercent, told.trailStopPrice) == (1.5, first)


def test_orders_for_the_close_fill_at_the_close(desk: Desk) -> None:
    contract = desk.stock()
    trades = [
        desk.place(contract, ib.Order(action="BUY", totalQuantity=10, orderType="MOC")),
        desk.place(contract, ib.Order(action="BUY", totalQuantity=10, orderType="LOC", lmtPrice=1000.0)),
        desk.place(contract, ib.Order(action="BUY", totalQuantity=10, orderType="LOC", lmtPrice=1.0)),
    ]
    assert [trade.orderStatus.status for trade in trades] == ["Submitted"] * 3
    desk.advance(minutes=16)
    assert [trade.orderStatus.status for trade in trades] == ["Filled", "Filled", "Cancelled"]
    prices = {fill.execution.price for trade in trades for fill in trade.fills}
    assert len(prices) == 1


def test_a_coin_is_traded_to_its_eighth_decimal(desk: Desk) -> None:
    (coin,) = desk.ask(lambda client: client.qualifyContractsAsync(ib.Crypto("BTC", "PAXOS", "USD")))
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(coin))
    assert (details.minSize, details.sizeIncrement) == (1e-05, 1e-08)
    trade = desk.place(coin, ib.Order(action="BUY", totalQuantity=0.12345678, orderType="LMT", lmtPrice=1_000_000.0))
    desk.until(lambda: trade.orderStatus.status == "Filled" or desk.codes())
    (position,) = desk.ask(lambda client: client.reqPositionsAsync())
    assert position.position == 0.12345678
