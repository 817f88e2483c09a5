from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from decimal import Decimal

import pytest

from trading_platform_tests.paper_gateway.venue_kit import AAPL, BTC, CLIENT, IBM, Desk, codes, et, ticket


@dataclass
class Bracket:
    """The order ids of an entry with its exits."""

    parent: int
    target: int
    stop: int

    def statuses(self, desk: Desk) -> list[str]:
        return [desk.status(order) for order in (self.parent, self.target, self.stop)]


def bracket(desk: Desk, entry: str = "LMT", quantity: int = 100) -> Bracket:
    """Buy at 99.00 (or at the market), take profit at 102.00, stop at 97.00; sent as ib_insync sends it."""
    limit = "99.00" if entry == "LMT" else None
    parent = desk.place(ticket("BUY", quantity, entry, limit=limit), transmit=False)
    target = desk.place(
        ticket("SELL", quantity, "LMT", limit="102.00"), parent_id=parent, transmit=False, time_in_force="GTC"
    )
    stop = desk.place(ticket("SELL", quantity, "STP", stop="97.00"), parent_id=parent, time_in_force="GTC")
    return Bracket(parent, target, stop)


def test_nothing_is_live_until_the_last_order_of_the_bracket_is_transmitted() -> None:
    desk = Desk()
    parent = desk.place(ticket("BUY", 100), transmit=False)
    assert desk.said == []
    assert desk.venue.open_orders() == []
    desk.place(ticket("SELL", 100, "STP", stop="97.00"), parent_id=parent)
    assert desk.status(parent) == "Filled"


def test_children_wait_for_their_parent_and_wake_when_it_fills() -> None:
    desk = Desk()
    orders = bracket(desk)
    assert orders.statuses(desk) == ["Submitted", "PreSubmitted", "PreSubmitted"]
    assert desk.order(orders.target).why_held == "child"
    desk.market.set_price(AAPL, "102.50", et("10:01"))
    desk.at(et("10:02"))
    assert desk.fills() == []
    desk.market.set_price(AAPL, "98.90", et("10:03"))
    desk.at(et("10:03"))
    assert orders.statuses(desk) == ["Filled", "Submitted", "PreSubmitted"]
    assert desk.order(orders.stop).why_held == "trigger"


@pytest.mark.parametrize(
    ("price", "statuses"), [("102.50", ["Filled", "Filled", "Cancelled"]), ("96.50", ["Filled", "Cancelled", "Filled"])]
)
def test_the_exit_that_fills_cancels_the_other(price: str, statuses: list[str]) -> None:
    desk = Desk()
    orders = bracket(desk, "MKT")
    assert orders.statuses(desk) == ["Filled", "Submitted", "PreSubmitted"]
    desk.market.set_price(AAPL, price, et("10:05"))
    desk.at(et("10:05"))
    assert orders.statuses(desk) == statuses
    assert desk.quantity() == 0


def test_a_partly_filled_exit_shrinks_the_other_by_as_much() -> None:
    desk = Desk()
    orders = bracket(desk, "MKT")
    desk.market.set_price(AAPL, "102.50", et("10:05"))
    desk.market.set_volume(AAPL, et("10:05"), "300")
    desk.at(et("10:05"))
    assert desk.order(orders.target).filled == 30
    assert desk.order(orders.stop).remaining == 70
    desk.market.set_price(AAPL, "96.00", et("10:05:30"))
    desk.market.set_volume(AAPL, et("10:05"), "300")
    desk.at(et("10:06"))
    assert orders.statuses(desk) == ["Filled", "Cancelled", "Filled"]
    assert desk.quantity() == 0


def test_children_are_cancelled_with_a_parent_that_never_filled() -> None:
    desk = Desk()
    orders = bracket(desk)
    assert codes(desk.venue.cancel(CLIENT, orders.parent)) == [202, 202, 202]
    assert orders.statuses(desk) == ["Cancelled"] * 3


def test_children_expire_with_a_parent_that_never_filled() -> None:
    desk = Desk()
    orders = bracket(desk)
    desk.at(et("16:00"))
    assert orders.statuses(desk) == ["Cancelled"] * 3


def test_a_parent_cancelled_after_a_partial_fill_leaves_exits_for_what_it_bought() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "400")
    orders = bracket(desk, "MKT")
    desk.venue.cancel(CLIENT, orders.parent)
    assert desk.quantity() == 40
    assert [desk.order(child).remaining for child in (orders.target, orders.stop)] == [40, 40]
    desk.market.set_price(AAPL, "96.00", et("10:05"))
    desk.at(et("10:05"))
    assert desk.quantity() == 0


def test_children_of_a_parent_that_fills_in_parts_wait_for_the_last_part() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "400")
    orders = bracket(desk, "MKT")
    assert orders.statuses(desk) == ["Submitted", "PreSubmitted", "PreSubmitted"]
    desk.at(et("10:01"))
    assert orders.statuses(desk) == ["Filled", "Submitted", "PreSubmitted"]


def test_a_child_without_its_parent_is_refused() -> None:
    desk = Desk()
    desk.place(ticket("SELL", 100, "STP", stop="97.00"), parent_id=77)
    assert codes(desk.said) == [10006]
    parent = desk.place(ticket("BUY", 100, "LMT", limit="90.00"))
    desk.venue.cancel(CLIENT, parent)
    desk.place(ticket("SELL", 100, "STP", stop="97.00"), parent_id=parent)
    assert codes(desk.said) == [10006]


def test_a_bracket_whose_parent_is_refused_is_refused_whole() -> None:
    desk = Desk(cash="1000")
    bracket(desk, "MKT", quantity=1000)
    assert codes(desk.said) == [201, 201, 201]
    assert desk.venue.open_orders() == []
    desk.place(ticket("BUY", 1))
    assert codes(desk.said) == []


def test_a_staged_bracket_can_be_cancelled_before_it_is_sent() -> None:
    desk = Desk()
    parent = desk.place(ticket("BUY", 100), transmit=False)
    child = desk.place(ticket("SELL", 100, "STP", stop="97.00"), parent_id=parent, transmit=False)
    assert codes(desk.venue.cancel(CLIENT, parent)) == [202, 202]
    assert codes(desk.venue.cancel(CLIENT, child)) == [10147]
    assert desk.fills() == []


def test_a_staged_order_can_be_changed_and_then_sent() -> None:
    desk = Desk()
    staged = desk.place(ticket("BUY", 100), transmit=False)
    desk.venue.place(CLIENT, staged, AAPL, ticket("BUY", 60))
    assert desk.order(staged).filled == 60


@pytest.mark.parametrize(("oca_type", "remaining"), [(1, None), (2, 70), (3, 70)])
def test_a_partial_fill_cancels_or_reduces_the_group_by_its_type(oca_type: int, remaining: int | None) -> None:
    desk = Desk()
    first = desk.place(ticket("BUY", 100, "LMT", limit="99.00"), oca_group="g", oca_type=oca_type)
    second = desk.place(ticket("BUY", 100, "LMT", limit="98.00"), contract=IBM, oca_group="g", oca_type=oca_type)
    alone = desk.place(ticket("BUY", 100, "LMT", limit="98.00"), contract=IBM)
    desk.market.set_price(AAPL, "98.90", et("10:05"))
    desk.market.set_volume(AAPL, et("10:05"), "300")
    desk.at(et("10:05"))
    assert desk.order(first).filled == 30
    if remaining is None:
        assert desk.status(second) == "Cancelled"
    else:
        assert desk.order(second).remaining == remaining
    desk.at(et("10:06"))
    assert [desk.status(order) for order in (first, second, alone)] == ["Filled", "Cancelled", "Submitted"]


def test_a_group_of_different_sizes_is_reduced_in_proportion() -> None:
    desk = Desk()
    first = desk.place(ticket("BUY", 100, "LMT", limit="99.00"), oca_group="g", oca_type=3)
    second = desk.place(ticket("BUY", 50, "LMT", limit="98.00"), oca_group="g", oca_type=3)
    desk.market.set_price(AAPL, "98.90", et("10:05"))
    desk.market.set_volume(AAPL, et("10:05"), "300")
    desk.at(et("10:05"))
    assert (desk.order(first).filled, desk.order(second).remaining) == (Decimal(30), Decimal(35))


def test_nobody_joins_a_group_that_was_filled_already() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 10), oca_group="g")
    desk.place(ticket("BUY", 10), oca_group="g")
    assert codes(desk.said) == [201]
    assert desk.quantity() == 10


def test_exits_count_once_against_margin_and_coins() -> None:
    desk = Desk(cash="100000")
    bracket(desk, "MKT", quantity=3900)
    assert codes(desk.said) == []
    assert desk.quantity() == 3900
    desk.place(changed(ticket("BUY", 1), order_ref="more"))
    assert codes(desk.said) == []


def test_exits_of_an_entry_that_waits_do_not_offer_coins_yet() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 5), contract=BTC)
    parent = desk.place(ticket("BUY", 3, "LMT", limit="99.00"), contract=BTC, transmit=False)
    desk.place(ticket("SELL", 3, "STP", stop="97.00"), contract=BTC, parent_id=parent)
    desk.place(ticket("SELL", 5), contract=BTC)
    assert codes(desk.said) == []
    assert desk.quantity(BTC) == 0


def test_exits_wake_as_soon_as_their_entry_fills_even_in_the_last_minute_of_the_session() -> None:
    desk = Desk()
    orders = bracket(desk)
    desk.market.set_price(AAPL, "98.50", et("15:59:20"))
    desk.market.set_price(AAPL, "99.90", et("15:59:40"))
    desk.at(et("16:00"))
    assert orders.statuses(desk) == ["Filled", "Submitted", "PreSubmitted"]
    assert desk.order(orders.stop).why_held == "trigger"
