from __future__ import annotations

from decimal import Decimal

import pytest

from trading_platform_tests.paper_gateway.venue_kit import AAPL, Desk, codes, et, ticket

HALF_DAY = "2013-11-29"


def test_a_market_on_close_order_fills_at_the_closing_price_and_not_before() -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", 100, "MOC"))
    assert desk.status(order) == "Submitted"
    desk.market.set_price(AAPL, "104.00", et("15:59:30"))
    desk.at(et("15:59:59"))
    assert desk.fills() == []
    desk.at(et("16:00:01"))
    (fill,) = desk.fills(order)
    assert (fill.price, fill.quantity, fill.ts_utc) == (Decimal("104.00"), Decimal(100), et("16:00"))


def test_the_auction_has_no_minutes_volume() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("15:59"), "10")
    order = desk.place(ticket("BUY", 5000, "MOC"))
    desk.at(et("16:05"))
    assert desk.order(order).filled == 5000


@pytest.mark.parametrize(("limit", "status"), [("101.00", "Filled"), ("99.99", "Cancelled")])
def test_a_limit_on_close_order_fills_at_the_close_if_its_limit_allows_it(limit: str, status: str) -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", 100, "LOC", limit=limit))
    desk.at(et("15:30"))
    assert desk.fills() == []
    desk.at(et("16:01"))
    assert desk.status(order) == status
    assert [fill.price for fill in desk.fills()] == ([Decimal("100.00")] if status == "Filled" else [])


def test_half_days_close_earlier() -> None:
    desk = Desk(et("10:00", HALF_DAY))
    order = desk.place(ticket("BUY", 100, "MOC"))
    desk.at(et("13:00", HALF_DAY))
    assert desk.fills(order)[0].ts_utc == et("13:00", HALF_DAY)


@pytest.mark.parametrize("order_type", ["MOC", "LOC"])
def test_after_the_cut_off_it_is_refused(order_type: str) -> None:
    desk = Desk(et("15:50"))
    limit = "100.00" if order_type == "LOC" else None
    desk.place(ticket("BUY", 100, order_type, limit=limit))
    assert codes(desk.said) == [201]
    assert desk.venue.open_orders() == []


def test_one_sent_while_the_market_is_closed_waits_for_the_next_sessions_close() -> None:
    desk = Desk(et("18:00"))
    order = desk.place(ticket("BUY", 100, "MOC"))
    desk.at(et("15:00", "2013-03-01"))
    assert desk.fills() == []
    desk.at(et("16:00", "2013-03-01"))
    assert desk.fills(order)[0].ts_utc == et("16:00", "2013-03-01")


def test_it_can_be_cancelled_before_the_close() -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", 100, "MOC"))
    desk.venue.cancel(7, order)
    desk.at(et("16:01"))
    assert desk.status(order) == "Cancelled"
    assert desk.fills() == []
