from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.intents import IntentPlan, build_intents
from trading_platform.domain.orders.model import Quote
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.model import Signal
from trading_platform_tests.domain.orders import builders as b

D = Decimal


def plan(
    signals: Iterable[Signal],
    *,
    positions: dict[str, str] | None = None,
    working: Iterable[WorkingOrder] = (),
    quotes: dict[str, Quote] | None = None,
    equity: str = "100000",
    lot: str = "1",
    **spec: Any,
) -> IntentPlan:
    return build_intents(
        list(signals),
        b.spec(**spec),
        equity=D(equity),
        positions={symbol: D(text) for symbol, text in (positions or {}).items()},
        working=working,
        quotes={"TSLA": b.quote(), "IWM": b.quote("IWM")} if quotes is None else quotes,
        instruments={"TSLA": b.details(lot=lot), "IWM": b.details("IWM", lot=lot)},
        tick=b.TICK,
        as_of=b.NOW,
        session=b.SESSION,
        account=b.ACCOUNT,
    )


def only_reason(result: IntentPlan) -> str:
    assert not result.intents
    assert len(result.skipped) == 1
    return result.skipped[0].reason


def test_from_flat_the_whole_target_is_bought_and_the_intent_carries_what_it_rests_on() -> None:
    (intent,) = plan([b.signal()]).intents
    assert intent.request.client_order_id == "tsla.TSLA.20130228T2045Z.r0"
    assert (intent.request.side, intent.request.quantity, intent.request.order_type) == ("BUY", D(100), "MKT")
    assert (intent.decision_price, intent.session, intent.account) == (D(100), "2013-02-28", b.ACCOUNT)
    assert (intent.target_weight, intent.confidence, intent.reason) == (1.0, 0.8, "trend is up")


@pytest.mark.parametrize(
    ("position", "weight", "side", "quantity"),
    [("40", 1.0, "BUY", "60"), ("150", 1.0, "SELL", "50"), ("30", 0.0, "SELL", "30"), ("30", -1.0, "SELL", "130")],
)
def test_only_the_difference_to_the_target_is_traded(position: str, weight: float, side: str, quantity: str) -> None:
    (intent,) = plan([b.signal(weight=weight)], positions={"TSLA": position}).intents
    assert (intent.request.side, intent.request.quantity) == (side, D(quantity))


def test_the_same_moment_planned_again_asks_for_nothing_whether_the_order_works_or_is_filled() -> None:
    (intent,) = plan([b.signal()]).intents
    at_work = [WorkingOrder.from_intent(intent)]
    half = [WorkingOrder.from_intent(intent, D(50))]
    assert "already there" in only_reason(plan([b.signal()], working=at_work))
    assert "already there" in only_reason(plan([b.signal()], working=half, positions={"TSLA": "50"}))
    assert "already there" in only_reason(plan([b.signal()], positions={"TSLA": "100"}))


def test_orders_of_other_strategies_do_not_count() -> None:
    (intent,) = plan([b.signal()], working=[b.working(quantity="100", strategy="other")]).intents
    assert intent.request.quantity == 100


def test_no_order_goes_against_the_strategy_s_own_working_order() -> None:
    reason = only_reason(plan([b.signal(weight=0)], positions={"TSLA": "5"}, working=[b.working()]))
    assert "against the working order tsla.TSLA.20130228T2045Z.r9" in reason


def test_a_trade_below_the_smallest_is_skipped_and_shown_with_its_numbers() -> None:
    result = plan([b.signal()], positions={"TSLA": "99.5"}, lot="0.1")
    assert "BUY 0.5 is worth 50.00 USD, less than the smallest trade of 100 USD" in only_reason(result)
    assert (result.skipped[0].target_quantity, result.skipped[0].current_quantity) == (D(100), D("99.5"))


def test_a_difference_of_less_than_a_lot_is_skipped() -> None:
    assert "less than one lot of 1" in only_reason(plan([b.signal()], positions={"TSLA": "99.7"}))


def test_a_holding_without_a_signal_is_left_alone_and_shown() -> None:
    result = plan([b.signal()], positions={"TSLA": "100", "IWM": "5"})
    held = result.skipped[0]
    assert (held.symbol, held.reason) == ("IWM", "no signal: the holding of 5 is left alone")


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        ([b.signal(), b.signal(weight=-1)], "2 signals for one symbol"),
        ([b.signal("AAPL")], "AAPL is not in the universe of tsla"),
        ([b.signal(price=float("nan"))], "price of TSLA is nan"),
        ([b.signal(price=0)], "price of TSLA is 0.0: it must be positive"),
        ([b.signal(weight=float("nan"))], "target weight of TSLA is nan"),
    ],
)
def test_a_signal_that_can_not_be_followed_is_skipped_with_its_reason(signals: list[Signal], says: str) -> None:
    assert says in only_reason(plan(signals))


def test_an_instrument_without_details_is_skipped() -> None:
    assert "no instrument details of MSFT" in only_reason(plan([b.signal("MSFT")], universe=("MSFT",)))


def test_orders_that_reduce_come_first() -> None:
    result = plan([b.signal("IWM"), b.signal("TSLA", weight=0)], positions={"TSLA": "50"})
    assert [intent.request.symbol for intent in result.intents] == ["TSLA", "IWM"]


def test_a_limit_order_is_placed_beyond_the_touch() -> None:
    (buy,) = plan([b.signal()], order={"order_type": "LMT", "limit_offset_bps": 5}).intents
    (sell,) = plan([b.signal(weight=-1)], order={"order_type": "LMT", "limit_offset_bps": 5}).intents
    assert buy.request.limit_price == D("100.06")
    assert sell.request.limit_price == D("99.95")


def test_a_limit_order_without_a_touch_is_skipped() -> None:
    result = plan([b.signal()], quotes={"TSLA": b.quote(ask=None)}, order={"order_type": "LMT"})
    assert "no ask to place the limit at" in only_reason(result)
    assert "no ask" in only_reason(plan([b.signal()], quotes={}, order={"order_type": "LMT"}))


@given(
    st.floats(-1, 1),
    st.decimals("-500", "500", places=0),
    st.decimals("1", "1000", places=2),
    st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50)), max_size=3),
)
def test_what_is_held_works_and_is_ordered_never_passes_the_target(
    weight: float, position: Decimal, price: Decimal, orders: list[tuple[Any, int]]
) -> None:
    pending = [b.working(side=side, quantity=str(quantity)) for side, quantity in orders]
    result = plan([b.signal(weight=weight, price=float(price))], positions={"TSLA": str(position)}, working=pending)
    assert len(result.intents) + len(result.skipped) == 1
    for intent in result.intents:
        start = position + sum(order.signed_quantity for order in pending)
        signed = intent.request.quantity * (1 if intent.request.side == "BUY" else -1)
        full = D(str(weight)) * 10_000 / price
        low, high = sorted((start, full))
        assert low - 1 < start + signed < high + 1
        assert intent.notional_usd >= 100


def exits(quantity: str = "100", side: Any = "SELL") -> list[WorkingOrder]:
    """Target and stop of an earlier tick's bracket."""
    entry = b.working(quantity=quantity)
    return [
        replace(entry, client_order_id=f"{entry.client_order_id}{leg}", side=side, oca_group=entry.client_order_id)
        for leg in "ts"
    ]


BRACKET = {"bracket": {"target_pct": 4, "stop_pct": 2}}


def test_a_bracket_is_three_intents_that_belong_together() -> None:
    entry, target, stop = plan([b.signal()], order=BRACKET).intents
    assert [i.client_order_id[-3:] for i in (entry, target, stop)] == [".r0", "r0t", "r0s"]
    assert [i.request.side for i in (entry, target, stop)] == ["BUY", "SELL", "SELL"]
    assert {i.request.quantity for i in (entry, target, stop)} == {D(100)}
    assert (target.request.limit_price, stop.request.stop_price) == (D("104.02"), D("98.00"))
    assert target.request.parent_id == target.request.oca_group == stop.request.oca_group == entry.client_order_id
    assert (entry.request.time_in_force, stop.request.time_in_force) == ("DAY", "GTC")
    assert not entry.request.is_exit


def test_a_holding_with_exits_is_left_to_them_while_the_signal_stands() -> None:
    result = plan([b.signal(weight=0.5)], positions={"TSLA": "100"}, working=exits(), order=BRACKET)
    assert "is left to its exits" in only_reason(result)


@pytest.mark.parametrize("weight", [0, -1])
def test_exits_never_keep_a_strategy_in(weight: int) -> None:
    result = plan([b.signal(weight=weight)], positions={"TSLA": "100"}, working=exits(), order=BRACKET)
    (intent,) = result.intents
    assert (intent.request.side, intent.request.quantity, intent.request.order_type) == ("SELL", D(100), "MKT")
    assert intent.replaces == tuple(order.client_order_id for order in exits())
    assert intent.position_quantity == 100


def test_a_working_entry_is_called_off_with_its_exits_when_the_signal_ends_it() -> None:
    entry = b.working(quantity="100")
    result = plan([b.signal(weight=0)], working=[entry, *exits()], order=BRACKET)
    assert "called off" in only_reason(result)
    assert result.cancels == (entry.client_order_id, *(order.client_order_id for order in exits()))


def test_a_working_entry_is_left_alone_while_the_signal_stands() -> None:
    result = plan([b.signal()], working=[b.working(quantity="60"), *exits()], order=BRACKET)
    assert "the working entry of 60" in only_reason(result)
    assert result.cancels == ()


def test_a_holding_without_exits_is_only_ended() -> None:
    assert "no exits" in only_reason(plan([b.signal()], positions={"TSLA": "40"}, order=BRACKET))
    (intent,) = plan([b.signal(weight=0)], positions={"TSLA": "40"}, order=BRACKET).intents
    assert (intent.request.quantity, intent.replaces) == (D(40), ())


def test_a_working_order_that_no_longer_fits_is_replaced_by_what_is_missing_without_it() -> None:
    old = b.working(quantity="30")
    (intent,) = plan([b.signal()], positions={"TSLA": "20"}, working=[old], order={"replace_working": True}).intents
    assert (intent.request.side, intent.request.quantity) == ("BUY", D(80))
    assert intent.replaces == (old.client_order_id,)


def test_a_working_order_on_the_wrong_side_is_replaced() -> None:
    (intent,) = plan([b.signal(weight=-1)], working=[b.working()], order={"replace_working": True}).intents
    assert (intent.request.side, intent.request.quantity) == ("SELL", D(100))


def test_a_working_order_that_is_not_wanted_any_more_is_called_off() -> None:
    result = plan([b.signal(weight=0)], working=[b.working()], order={"replace_working": True})
    assert "called off" in only_reason(result)
    assert result.cancels == (b.working().client_order_id,)


@pytest.mark.parametrize(
    ("limit", "quantity", "is_replaced"),
    [("100.06", "100", False), ("100.05", "100", True), ("100.06", "99.5", False), ("100.06", "90", True)],
)
def test_a_limit_order_is_replaced_when_its_price_or_quantity_no_longer_fits(
    limit: str, quantity: str, is_replaced: bool
) -> None:
    old = replace(b.working(quantity=quantity), limit_price=D(limit))
    result = plan([b.signal()], working=[old], order={"replace_working": True, "order_type": "LMT"})
    assert bool(result.intents) == is_replaced
    assert is_replaced or "fits" in only_reason(result)


def test_without_leave_to_replace_working_orders_count_towards_the_target_as_ever() -> None:
    (intent,) = plan([b.signal()], working=[b.working(quantity="30")]).intents
    assert (intent.request.quantity, intent.replaces) == (D(70), ())


def test_coins_are_ordered_to_the_eighth_decimal() -> None:
    (intent,) = plan([b.signal(weight=0.123456789, price=100.0)], lot="0.00000001").intents
    assert intent.request.quantity == D("12.3456789")
