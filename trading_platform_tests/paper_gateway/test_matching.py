from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from trading_platform.paper_gateway.errors import RequestError
from trading_platform.paper_gateway.model import (
    AccountPnl,
    Executed,
    HoldingChanged,
    OrderChanged,
    OrderError,
    OrderTicket,
    PositionPnl,
)
from trading_platform_tests.paper_gateway.venue_kit import AAPL, BTC, CLIENT, IBM, UTC, Desk, codes, et, of_kind, ticket

HALF_DAY = "2013-11-29"

BUYS = {
    "MKT": ticket("BUY", 100),
    "LMT": ticket("BUY", 100, "LMT", limit="99.00"),
    "STP": ticket("BUY", 100, "STP", stop="101.00"),
    "STP LMT": ticket("BUY", 100, "STP LMT", stop="101.00", limit="101.50"),
}
MOVES = {"LMT": "98.50", "STP": "101.20", "STP LMT": "101.20"}
PRICES = {"MKT": "100.01", "LMT": "98.51", "STP": "101.21", "STP LMT": "101.21"}


@pytest.mark.parametrize("order_type", list(BUYS))
@pytest.mark.parametrize("time_in_force", ["DAY", "GTC", "GTD"])
def test_an_order_that_can_wait_fills_at_the_touch_once_the_market_comes_to_it(
    order_type: str, time_in_force: str
) -> None:
    desk = Desk()
    until = et("15:00") if time_in_force == "GTD" else None
    order = desk.place(BUYS[order_type], time_in_force=time_in_force, good_till=until)
    if order_type in MOVES:
        assert desk.fills() == []
        assert desk.status(order) == ("Submitted" if order_type == "LMT" else "PreSubmitted")
        desk.market.set_price(AAPL, MOVES[order_type], et("10:05"))
        desk.at(et("10:05"))
    (fill,) = desk.fills(order)
    assert (fill.quantity, fill.price) == (Decimal(100), Decimal(PRICES[order_type]))
    assert desk.status(order) == "Filled"
    assert desk.quantity() == 100


@pytest.mark.parametrize(("order_type", "status"), [("MKT", "Filled"), ("LMT", "Cancelled"), ("STP", "Cancelled")])
def test_an_immediate_or_cancel_order_takes_what_is_there_and_is_gone(order_type: str, status: str) -> None:
    desk = Desk()
    order = desk.place(BUYS[order_type], time_in_force="IOC")
    assert desk.status(order) == status
    assert codes(desk.said) == ([] if status == "Filled" else [202])


@pytest.mark.parametrize("order_type", ["LMT", "STP", "STP LMT"])
@pytest.mark.parametrize(
    ("time_in_force", "status"), [("DAY", "Cancelled"), ("GTC", "Submitted"), ("GTD", "Cancelled")]
)
def test_what_was_not_filled_expires_by_its_time_in_force(order_type: str, time_in_force: str, status: str) -> None:
    desk = Desk()
    until = et("12:00") if time_in_force == "GTD" else None
    order = desk.place(BUYS[order_type], time_in_force=time_in_force, good_till=until)
    desk.at(et("11:59:59"))
    assert desk.order(order).is_done is False
    desk.at(et("16:00:00"))
    still_waiting = "PreSubmitted" if order_type != "LMT" else "Submitted"
    assert desk.status(order) == ("Cancelled" if status == "Cancelled" else still_waiting)
    if status == "Cancelled":
        assert desk.order(order).completed_at == (until or et("16:00"))
        assert "expired" in desk.order(order).completed_status
        assert codes(desk.heard) == [202]


def test_a_day_order_expires_at_the_close_of_a_half_day() -> None:
    desk = Desk(et("10:00", HALF_DAY))
    order = desk.place(BUYS["LMT"])
    desk.at(et("12:59:59", HALF_DAY))
    assert desk.status(order) == "Submitted"
    desk.at(et("13:00", HALF_DAY))
    assert desk.order(order).completed_at == et("13:00", HALF_DAY)


def test_market_orders_are_announced_as_accepted_then_executed_then_filled() -> None:
    desk = Desk()
    desk.place(BUYS["MKT"])
    kinds = [type(one) for one in desk.said]
    assert kinds == [OrderChanged, Executed, OrderChanged, HoldingChanged]
    assert [change.order.status for change in of_kind(OrderChanged, desk.said)] == ["Submitted", "Filled"]


def test_sales_take_the_bid_and_a_short_position_is_allowed() -> None:
    desk = Desk()
    order = desk.place(ticket("SELL", 100))
    assert desk.fills(order)[0].price == Decimal("99.99")
    assert desk.quantity() == -100


def test_a_marketable_limit_is_filled_at_the_better_touch() -> None:
    desk = Desk()
    assert desk.fills(desk.place(ticket("BUY", 10, "LMT", limit="105.00")))[0].price == Decimal("100.01")
    assert desk.fills(desk.place(ticket("SELL", 10, "LMT", limit="95.00")))[0].price == Decimal("99.99")


def test_a_resting_limit_fills_at_its_limit_when_a_whole_minute_touched_it() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"])
    desk.market.set_price(AAPL, "99.00", et("10:05:20"))
    desk.market.set_price(AAPL, "100.00", et("10:05:40"))
    desk.at(et("10:06:10"))
    (fill,) = desk.fills(order)
    assert fill.price == Decimal("99.00")
    assert et("10:05") <= fill.ts_utc < et("10:06")


def test_an_order_does_not_trade_on_prices_from_before_it_existed() -> None:
    desk = Desk()
    desk.market.set_price(AAPL, "98.00", et("10:05:10"))
    desk.market.set_price(AAPL, "100.00", et("10:05:20"))
    desk.at(et("10:05:30"))
    order = desk.place(BUYS["LMT"])
    desk.at(et("10:06:30"))
    assert desk.fills(order) == []


def test_a_minute_in_progress_is_not_looked_ahead_into() -> None:
    desk = Desk()
    limit, stop = desk.place(BUYS["LMT"]), desk.place(BUYS["STP"])
    desk.market.set_price(AAPL, "98.00", et("10:05:30"))
    desk.market.set_price(AAPL, "102.00", et("10:05:40"))
    desk.market.set_price(AAPL, "100.00", et("10:05:50"))
    desk.at(et("10:05:20"))
    assert desk.fills() == []
    desk.at(et("10:06"))
    assert [desk.status(order) for order in (limit, stop)] == ["Filled", "Filled"]


def test_a_modified_order_does_not_trade_on_prices_from_before_its_change() -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", 100, "LMT", limit="95.00"))
    desk.market.set_price(AAPL, "98.00", et("10:05:10"))
    desk.market.set_price(AAPL, "100.00", et("10:05:20"))
    desk.at(et("10:05:30"))
    desk.venue.place(CLIENT, order, AAPL, BUYS["LMT"])
    desk.at(et("10:07"))
    assert desk.fills() == []


def test_a_stop_that_a_whole_minute_reached_fills_at_its_stop_less_the_spread() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 100))
    order = desk.place(ticket("SELL", 100, "STP", stop="98.00"))
    desk.market.set_price(AAPL, "97.50", et("10:05:20"))
    desk.market.set_price(AAPL, "100.00", et("10:05:40"))
    desk.at(et("10:06:10"))
    assert desk.fills(order)[0].price == Decimal("97.99")
    assert desk.quantity() == 0


def test_a_stop_to_buy_that_a_whole_minute_reached_fills_at_its_stop_plus_the_spread() -> None:
    desk = Desk()
    order = desk.place(BUYS["STP"])
    desk.market.set_price(AAPL, "101.50", et("10:05:20"))
    desk.market.set_price(AAPL, "100.00", et("10:05:40"))
    desk.at(et("10:06:10"))
    assert desk.fills(order)[0].price == Decimal("101.01")


def test_a_stop_limit_beyond_its_limit_rests_as_a_limit_order() -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", 100, "STP LMT", stop="101.00", limit="101.50"))
    desk.market.set_price(AAPL, "103.00", et("10:05"))
    desk.at(et("10:05"))
    assert (desk.order(order).is_triggered, desk.status(order), desk.fills()) == (True, "Submitted", [])
    desk.market.set_price(AAPL, "101.30", et("10:07"))
    desk.at(et("10:07"))
    assert desk.fills(order)[0].price == Decimal("101.31")


def test_when_a_minute_holds_stop_and_target_the_stop_is_taken() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 100))
    target = desk.place(ticket("SELL", 100, "LMT", limit="102.00"), oca_group="exit")
    stop = desk.place(ticket("SELL", 100, "STP", stop="98.00"), oca_group="exit")
    for second, price in ((10, "103.00"), (20, "97.00"), (30, "100.00")):
        desk.market.set_price(AAPL, price, et(f"10:05:{second}"))
    desk.at(et("10:06"))
    assert (desk.status(stop), desk.status(target)) == ("Filled", "Cancelled")


def test_an_order_fills_in_parts_as_volume_allows_and_pays_the_minimum_once() -> None:
    desk = Desk()
    for minute in range(4):
        desk.market.set_volume(AAPL, et(f"10:0{minute}"), "400")
    order = desk.place(ticket("BUY", 100))
    assert (desk.order(order).filled, desk.status(order)) == (Decimal(40), "Submitted")
    desk.at(et("10:00:30"))
    assert desk.order(order).filled == 40
    desk.at(et("10:05"))
    fills = desk.fills(order)
    assert [fill.quantity for fill in fills] == [40, 40, 20]
    assert [fill.ts_utc for fill in fills] == [et("10:00"), et("10:01"), et("10:02")]
    assert [fill.cumulative for fill in fills] == [40, 80, 100]
    assert [fill.commission for fill in fills] == [1, 0, 0]


def test_all_orders_in_a_contract_share_the_minutes_volume_first_come_first_served() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "1000")
    first = desk.place(ticket("BUY", 80))
    second = desk.place(ticket("SELL", 80, "LMT", limit="99.00"))
    other = desk.place(ticket("BUY", 80), contract=IBM)
    assert [desk.order(order).filled for order in (first, second, other)] == [80, 20, 80]


def test_a_market_order_gets_at_least_one_lot_at_once_and_limits_wait_for_volume() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "0")
    market = desk.place(ticket("BUY", 5))
    limit = desk.place(ticket("BUY", 5, "LMT", limit="101.00"))
    assert [desk.order(order).filled for order in (market, limit)] == [1, 0]
    desk.at(et("10:01"))
    assert [desk.status(order) for order in (market, limit)] == ["Filled", "Filled"]


def test_the_rest_of_an_immediate_or_cancel_order_is_cancelled_after_a_partial_fill() -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "400")
    order = desk.place(ticket("BUY", 100), time_in_force="IOC")
    assert (desk.order(order).filled, desk.status(order)) == (Decimal(40), "Cancelled")


@pytest.mark.parametrize("day", ["2013-02-28", "2013-03-02"], ids=["before the open", "weekend"])
def test_an_order_placed_while_closed_waits_for_the_open(day: str) -> None:
    desk = Desk(et("08:00", day))
    order = desk.place(BUYS["MKT"], outside_rth=True)
    assert desk.status(order) == "PreSubmitted"
    assert codes(desk.said) == [2109, 399]
    opens = et("09:30", "2013-02-28" if day == "2013-02-28" else "2013-03-04")
    desk.at(opens - timedelta(seconds=1))
    assert desk.fills() == []
    desk.at(opens + timedelta(seconds=5))
    assert desk.fills(order)[0].ts_utc == opens
    assert desk.status(order) == "Filled"


def test_an_immediate_or_cancel_order_in_a_closed_market_is_cancelled_at_once() -> None:
    desk = Desk(et("08:00"))
    assert desk.status(desk.place(BUYS["MKT"], time_in_force="IOC")) == "Cancelled"


def test_a_good_till_cancelled_order_trades_in_a_later_session() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"], time_in_force="GTC")
    desk.market.set_price(AAPL, "98.00", et("11:00", "2013-03-04"))
    desk.market.set_price(AAPL, "100.00", et("11:05", "2013-03-04"))
    desk.at(et("09:00", "2013-03-05"))
    assert desk.fills(order)[0].ts_utc == et("11:00", "2013-03-04")
    assert desk.fills(order)[0].price == Decimal("98.01")


def test_a_market_that_never_closes_trades_on_a_sunday_night() -> None:
    desk = Desk(datetime(2013, 3, 3, 3, 0, tzinfo=UTC))
    order = desk.place(ticket("BUY", "0.5"), contract=BTC, outside_rth=True)
    assert codes(desk.said) == []
    assert desk.fills(order)[0].commission == Decimal("0.50005")


def test_a_cancelled_order_says_so_and_a_second_cancel_is_refused() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"])
    said = desk.venue.cancel(CLIENT, order)
    assert [change.order.status for change in of_kind(OrderChanged, said)] == ["Cancelled"]
    assert of_kind(OrderError, said)[0].text == "Order Canceled - reason:"
    assert codes(desk.venue.cancel(CLIENT, order)) == [10148]
    assert codes(desk.venue.cancel(CLIENT, 99)) == [10147]
    assert codes(desk.venue.cancel(CLIENT + 1, order)) == [10147]


def test_a_cancel_that_comes_too_late_finds_the_order_filled() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"])
    desk.market.set_price(AAPL, "98.00", et("10:01"))
    desk.clock.set(et("10:02"))
    said = desk.venue.cancel(CLIENT, order)
    assert len(of_kind(Executed, said)) == 1
    assert codes(said) == [10148]


def test_cancel_all_reaches_every_client() -> None:
    desk = Desk()
    desk.place(BUYS["LMT"])
    desk.venue.place(CLIENT + 1, 1, IBM, BUYS["STP"])
    assert len(desk.venue.open_orders()) == 2
    assert codes(desk.venue.cancel_all()) == [202, 202]
    assert desk.venue.open_orders() == []


def test_open_orders_are_told_by_client_and_are_copies() -> None:
    desk = Desk()
    desk.place(BUYS["LMT"])
    desk.venue.place(CLIENT + 1, 1, IBM, BUYS["STP"])
    (mine,) = desk.venue.open_orders(CLIENT)
    mine.status = "Filled"
    assert [order.status for order in desk.venue.open_orders()] == ["Submitted", "PreSubmitted"]


def test_a_live_order_is_modified_in_place_and_keeps_its_permanent_id() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"])
    before = desk.order(order)
    said = desk.venue.place(CLIENT, order, AAPL, replace(BUYS["LMT"], limit_price=Decimal("101.00")))
    assert of_kind(Executed, said)[0].execution.price == Decimal("100.01")
    assert desk.order(order).perm_id == before.perm_id
    assert before.status == "Submitted"


def test_sending_the_same_ticket_again_changes_nothing() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"])
    said = desk.venue.place(CLIENT, order, AAPL, BUYS["LMT"])
    assert [type(one) for one in said] == [OrderChanged]
    assert len(desk.venue.open_orders()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"action": "SELL"}, 105),
        ({"order_ref": "another"}, 105),
        ({"order_type": "MKT"}, 329),
        ({"oca_group": "g"}, 10326),
        ({"transmit": False}, 106),
        ({"limit_price": Decimal("99.001")}, 110),
        ({"quantity": Decimal(40)}, 134),
        ({"quantity": Decimal(10**9)}, 201),
    ],
)
def test_a_modification_that_is_refused_leaves_the_order_alone(changes: dict[str, object], code: int) -> None:
    desk = Desk()
    desk.market.set_volume(AAPL, et("10:00"), "400")
    original = ticket("BUY", 100, "LMT", limit="100.50")
    order = desk.place(original)
    said = desk.venue.place(CLIENT, order, AAPL, replace(original, **changes))  # type: ignore[arg-type]
    assert codes(said) == [code]
    assert desk.order(order).ticket == original
    assert desk.order(order).filled == 40


def test_an_order_id_can_not_be_used_twice() -> None:
    desk = Desk()
    filled = desk.place(BUYS["MKT"])
    cancelled = desk.place(BUYS["LMT"])
    desk.venue.cancel(CLIENT, cancelled)
    assert codes(desk.venue.place(CLIENT, filled, AAPL, BUYS["MKT"])) == [104]
    assert codes(desk.venue.place(CLIENT, cancelled, AAPL, BUYS["LMT"])) == [103]
    desk.venue.place(CLIENT, 50, AAPL, BUYS["LMT"])
    assert codes(desk.venue.place(CLIENT, 40, AAPL, BUYS["LMT"])) == [103]
    assert codes(desk.venue.place(CLIENT + 1, 1, AAPL, BUYS["LMT"])) == []


def test_a_refused_order_leaves_no_trace() -> None:
    desk = Desk()
    order = desk.place(ticket("BUY", "1.5"))
    assert codes(desk.said) == [10318]
    assert len(desk.said) == 1
    assert desk.venue.open_orders() == desk.venue.completed_orders() == []
    assert desk.venue.next_order_id(CLIENT) == order


def test_what_exceeds_the_buying_power_is_refused_with_the_reason() -> None:
    desk = Desk(cash="100000")
    assert desk.value("BuyingPower") == 400_000
    desk.place(ticket("BUY", 4100))
    (error,) = of_kind(OrderError, desk.said)
    assert error.code == 201
    assert "margin" in error.text
    desk.place(ticket("SELL", 4100))
    assert codes(desk.said) == [201]
    desk.place(ticket("BUY", 3900))
    assert codes(desk.said) == []


def test_orders_that_are_still_working_count_against_the_buying_power() -> None:
    desk = Desk(cash="100000")
    desk.place(ticket("BUY", 2500, "LMT", limit="99.00"))
    desk.place(ticket("BUY", 2500, "LMT", limit="99.00"), contract=IBM)
    assert codes(desk.said) == [201]


def test_an_account_under_water_may_still_reduce() -> None:
    desk = Desk(cash="100000")
    desk.place(ticket("BUY", 3900))
    desk.market.set_price(AAPL, "70.00", et("10:05"))
    desk.at(et("10:05"))
    assert desk.value("ExcessLiquidity") < 0
    desk.place(ticket("BUY", 1))
    assert codes(desk.said) == [201]
    desk.place(ticket("SELL", 3900))
    assert codes(desk.said) == []
    assert desk.quantity() == 0


def test_crypto_needs_cash_and_coins() -> None:
    desk = Desk(cash="1000")
    desk.place(ticket("BUY", 11), contract=BTC)
    assert codes(desk.said) == [201]
    desk.place(ticket("SELL", "0.5"), contract=BTC)
    assert codes(desk.said) == [201]
    desk.place(ticket("BUY", 9), contract=BTC)
    desk.place(ticket("SELL", 5, "LMT", limit="120.00"), contract=BTC)
    assert codes(desk.said) == []
    desk.place(ticket("SELL", 5), contract=BTC)
    assert codes(desk.said) == [201]


def test_a_crypto_purchase_that_cash_no_longer_covers_is_cut_and_cancelled() -> None:
    desk = Desk(cash="1000")
    order = desk.place(ticket("BUY", 9, "STP", stop="105.00"), contract=BTC)
    desk.market.set_price(BTC, "200.00", et("10:05"))
    desk.at(et("10:05"))
    desk.at(et("10:06"))
    assert 0 < desk.order(order).filled < 5
    assert desk.status(order) == "Cancelled"
    assert desk.value("TotalCashValue") >= 0


def test_what_if_tells_margins_and_commission_and_changes_nothing() -> None:
    desk = Desk()
    asked = replace(ticket("BUY", 1000), what_if=True)
    answer = desk.venue.what_if(CLIENT, 1, AAPL, asked)
    assert answer.init_margin_change == Decimal(50_000)
    assert answer.maint_margin_change == Decimal(25_000)
    assert answer.equity_with_loan_change == Decimal(-15)
    assert answer.commission == 5
    assert desk.venue.open_orders() == []
    assert desk.value("NetLiquidation") == 1_000_000
    with pytest.raises(ValueError, match="what_if"):
        desk.venue.place(CLIENT, 1, AAPL, asked)
    with pytest.raises(RequestError) as refused:
        desk.venue.what_if(CLIENT, 1, AAPL, replace(asked, quantity=Decimal(10**8)))
    assert refused.value.code == 201


def test_account_values_add_up() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 1000))
    desk.place(ticket("SELL", 500), contract=IBM)
    desk.place(ticket("BUY", 10), contract=BTC)
    values = {tag: desk.value(tag) for tag in ("TotalCashValue", "GrossPositionValue", "InitMarginReq")}
    cash = (
        1_000_000 - Decimal("100010") - 5 + Decimal("49995") - Decimal("2.5") - Decimal("1000.10") - Decimal("1.80018")
    )
    assert values["TotalCashValue"] == cash.quantize(Decimal("0.01"))
    assert values["GrossPositionValue"] == 100_000 + 50_000 + 1_000
    assert values["InitMarginReq"] == 75_000
    net = desk.value("NetLiquidation")
    assert net == (cash + 100_000 - 50_000 + 1_000).quantize(Decimal("0.01"))
    assert desk.value("EquityWithLoanValue") == net - 1_000
    assert desk.value("BuyingPower") == 4 * desk.value("ExcessLiquidity")
    assert desk.venue.account_values()["AccountReady"] == ("true", "")


def test_pnl_counts_from_yesterdays_close_and_from_todays_fills() -> None:
    desk = Desk()
    desk.place(ticket("BUY", 100))
    pnl = desk.venue.pnl_single(AAPL.con_id)
    assert pnl == PositionPnl(Decimal(100), Decimal(-2), Decimal(-2), Decimal(0), Decimal(10_000))
    desk.market.set_price(AAPL, "103.00", et("15:59"))
    desk.at(et("15:59"))
    assert desk.venue.pnl().daily == Decimal(298)
    desk.market.previous_close = Decimal("103.00")
    desk.market.set_price(AAPL, "104.00", et("09:30", "2013-03-01"))
    desk.at(et("10:00", "2013-03-01"))
    assert desk.venue.pnl() == AccountPnl(Decimal(100), Decimal(398), Decimal(0))
    desk.place(ticket("SELL", 100))
    assert desk.venue.pnl() == AccountPnl(Decimal(98), Decimal(0), Decimal(396))
    assert desk.value("RealizedPnL") == 396
    assert desk.venue.holdings() == []
    desk.at(et("10:00", "2013-03-04"))
    assert not any(desk.venue.pnl())
    assert not any(desk.venue.pnl_single(IBM.con_id))


def test_a_long_absence_is_caught_up_quickly_and_only_for_what_is_live() -> None:
    desk = Desk()
    desk.place(BUYS["LMT"], time_in_force="GTC")
    desk.market.set_price(AAPL, "98.00", et("12:00", "2013-12-20"))
    desk.at(et("10:00", "2013-12-23"))
    assert desk.fills()[0].ts_utc == et("12:00", "2013-12-20")


def test_a_ticket_that_waits_for_its_good_till_date_is_not_filled_by_a_minute_it_did_not_live_through() -> None:
    desk = Desk()
    order = desk.place(BUYS["LMT"], time_in_force="GTD", good_till=et("10:05:10"))
    desk.market.set_price(AAPL, "98.00", et("10:05:30"))
    desk.market.set_price(AAPL, "100.00", et("10:05:40"))
    desk.at(et("10:06"))
    assert (desk.status(order), desk.fills()) == ("Cancelled", [])


def test_default_tickets_are_day_orders() -> None:
    assert OrderTicket("BUY", Decimal(1), "MKT").time_in_force == "DAY"
