from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform_tests.paper_gateway.venue_kit import AAPL, Desk, et, ticket

SELL = ticket("SELL", 100, "TRAIL", stop="1.00")
BUY = ticket("BUY", 100, "TRAIL", stop="1.00")


def long_desk() -> Desk:
    """A desk that holds 100 shares, bought at the market of 100.00."""
    desk = Desk()
    desk.place(ticket("BUY", 100))
    return desk


def move(desk: Desk, *steps: tuple[str, str]) -> None:
    """Let the last price be ``price`` from ``time`` on, step by step."""
    for time, price in steps:
        desk.market.set_price(AAPL, price, et(time))
        desk.at(et(time))


def test_a_trailing_stop_follows_the_market_up_and_never_down() -> None:
    desk = long_desk()
    order = desk.place(SELL)
    assert desk.order(order).trail_stop == Decimal("99.00")
    assert desk.order(order).why_held == "trigger"
    move(desk, ("10:01", "103.00"), ("10:02", "102.10"))
    assert desk.order(order).trail_stop == Decimal("102.00")
    assert desk.status(order) == "PreSubmitted"
    move(desk, ("10:03", "101.90"))
    assert desk.status(order) == "Filled"
    assert desk.fills(order)[0].price == Decimal("101.89")
    assert desk.quantity() == 0


def test_a_trailing_buy_follows_the_market_down() -> None:
    desk = Desk()
    order = desk.place(BUY)
    move(desk, ("10:01", "97.00"), ("10:02", "97.50"))
    assert desk.order(order).trail_stop == Decimal("98.00")
    move(desk, ("10:03", "98.10"))
    assert desk.fills(order)[0].price == Decimal("98.11")


def test_a_percentage_trails_in_proportion_and_stays_on_the_grid() -> None:
    desk = long_desk()
    order = desk.place(ticket("SELL", 100, "TRAIL"), trailing_percent=Decimal("2.5"))
    assert desk.order(order).trail_stop == Decimal("97.50")
    move(desk, ("10:01", "103.33"))
    assert desk.order(order).trail_stop == Decimal("100.74")  # 103.33 less 2.5 % is 100.74675


def test_the_first_stop_price_can_be_named() -> None:
    desk = long_desk()
    order = desk.place(SELL, trail_stop_price=Decimal("95.00"))
    assert desk.order(order).trail_stop == Decimal("99.00")  # the market stands above what the stop was to begin at
    other = desk.place(ticket("SELL", 100, "TRAIL", stop="1.00"), trail_stop_price=Decimal("99.50"))
    assert desk.order(other).trail_stop == Decimal("99.50")


def test_within_a_minute_the_market_turns_against_the_order_first() -> None:
    desk = long_desk()
    order = desk.place(SELL)
    # Between two looks the price goes to 105 and back to 98.90: the stop of 99.00 is what is hit.
    desk.market.set_price(AAPL, "105.00", et("10:05:10"))
    desk.market.set_price(AAPL, "98.90", et("10:05:40"))
    desk.at(et("10:06"))
    assert desk.fills(order)[0].price == Decimal("98.99")


def test_a_close_below_the_stop_that_the_minutes_high_made_triggers() -> None:
    desk = long_desk()
    order = desk.place(SELL)
    desk.market.set_price(AAPL, "105.00", et("10:05:10"))
    desk.market.set_price(AAPL, "101.00", et("10:05:40"))
    desk.at(et("10:06"))
    assert desk.fills(order)[0].price == Decimal("103.99")


def test_where_the_stop_has_got_to_survives_a_restart(tmp_path) -> None:
    desk = Desk(path=tmp_path / "state.db")
    desk.place(ticket("BUY", 100))
    order = desk.place(SELL)
    move(desk, ("10:01", "103.00"))
    desk.reopen()
    assert desk.order(order).trail_stop == Decimal("102.00")


def test_a_trailing_exit_begins_when_its_entry_has_filled() -> None:
    desk = Desk()
    entry = desk.place(ticket("BUY", 100, "LMT", limit="99.00"), transmit=False)
    stop = desk.place(SELL, parent_id=entry)
    move(desk, ("10:01", "104.00"))
    assert desk.order(stop).trail_stop is None
    move(desk, ("10:02", "98.90"), ("10:03", "98.80"))
    assert desk.status(entry) == "Filled"
    assert desk.order(stop).trail_stop == Decimal("97.90")


@given(st.lists(st.decimals("90", "110", places=2), min_size=1, max_size=12), st.booleans())
def test_a_stop_never_moves_away_from_the_market(prices: list[Decimal], is_percentage: bool) -> None:
    desk = long_desk()
    changes = {"trailing_percent": Decimal(3), "aux_price": None} if is_percentage else {"aux_price": Decimal(3)}
    order = desk.place(SELL, **changes)
    stops = [desk.order(order).trail_stop]
    for minute, price in enumerate(prices, start=1):
        move(desk, (f"10:{minute:02}", str(price)))
        stops.append(desk.order(order).trail_stop)
    known = [stop for stop in stops if stop is not None]
    assert known == sorted(known)


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_trailing_stop_that_is_changed_begins_anew(side: str) -> None:
    desk = long_desk()
    order = desk.place(BUY if side == "BUY" else SELL)
    changed = ticket(side, 100, "TRAIL", stop="2.00")
    desk.venue.place(7, order, AAPL, changed)
    assert desk.order(order).trail_stop == (Decimal("102.00") if side == "BUY" else Decimal("98.00"))
