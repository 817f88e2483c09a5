"""How risk control judges brackets, stops, orders for the close, and orders that replace others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.model import OrderIntent
from trading_platform.domain.orders.risk.base import name_of
from trading_platform.domain.orders.risk.context import (
    RiskContext,
    account_reach,
    is_reducing,
    strategy_reach,
    valuation_price,
)
from trading_platform.domain.orders.risk.decision import decide, default_controls
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.price_grid import PriceStep
from trading_platform_tests.domain.orders import builders as b

D = Decimal
CONTROLS = {name_of(control): control for control in default_controls()}


def bracket(quantity: str = "10", target: str = "110", stop: str = "95") -> list[OrderIntent]:
    entry = b.intent(quantity=quantity)
    group = entry.client_order_id
    common: dict[str, Any] = {"side": "SELL", "quantity": quantity, "parent_id": group, "oca_group": group}
    legs = (
        b.intent(order_type="LMT", limit_price=D(target), **common),
        b.intent(order_type="STP", stop_price=D(stop), **common),
    )
    return [
        entry,
        *(
            replace(leg, request=replace(leg.request, client_order_id=f"{group}{letter}"))
            for leg, letter in zip(legs, "ts", strict=True)
        ),
    ]


def working_exits(entry: WorkingOrder, *quantities: str) -> tuple[WorkingOrder, ...]:
    return tuple(
        replace(
            entry,
            client_order_id=f"{entry.client_order_id}{leg}",
            side="SELL",
            remaining_quantity=D(quantity),
            oca_group=entry.client_order_id,
        )
        for leg, quantity in zip("ts", quantities, strict=True)
    )


def holding(quantity: str = "10") -> dict[str, Any]:
    return {"strategy_positions": {"TSLA": D(quantity)}, "account_positions": {"TSLA": D(quantity)}}


def reasons(control: str, intent: OrderIntent, **changes: Any) -> str:
    return CONTROLS[control].evaluate(intent, b.context(**changes)).reason


def test_a_sound_bracket_is_approved_whole() -> None:
    decisions = decide(bracket(), b.context())
    assert [decision.reasons for decision in decisions] == [(), (), ()]


@pytest.mark.parametrize("changes", [{"target": "125"}, {"stop": "75"}])
def test_a_bracket_with_one_leg_refused_is_refused_whole(changes: dict[str, str]) -> None:
    decisions = decide(bracket(**changes), b.context())
    assert not any(decision.is_approved for decision in decisions)
    assert any("away from the last price" in reason for decision in decisions for reason in decision.reasons)
    assert "WholeBracket: its bracket is refused" in decisions[0].reasons[0]


def test_what_a_refused_bracket_wanted_does_not_count_for_the_next() -> None:
    limits = Limits(max_order_quantity=D(100), max_position_quantity=D(150))
    other = b.intent("TSLA", quantity="100", revision=1)
    decisions = decide([*bracket(quantity="101"), other], b.context(limits=limits))
    assert [decision.is_approved for decision in decisions] == [False, False, False, True]


def test_exits_may_be_further_away_than_entries_but_not_without_limit() -> None:
    _, target, stop = bracket(target="118", stop="82")
    assert not reasons("LimitPriceCollar", target)
    assert not reasons("PriceCollar", stop)
    assert "limit 20.0 %" in reasons("LimitPriceCollar", bracket(target="121")[1])
    assert "limit 20.0 %" in reasons("PriceCollar", bracket(stop="79")[2])


def test_exits_are_alternatives_and_count_once() -> None:
    entry = b.working()
    context = b.context(working=working_exits(entry, "10", "7"), **holding())
    assert strategy_reach("TSLA", None, "tsla", context).lowest == 0
    assert account_reach("TSLA", None, context).sells == 10


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 50))
def test_exits_count_only_as_far_as_their_entry_has_filled(left: int, target: int, stop: int) -> None:
    entry = b.working(quantity=str(left))
    working = (*([entry] if left else []), *working_exits(b.working(), str(target), str(stop)))
    reach = account_reach("TSLA", None, b.context(working=working, **holding("50")))
    assert reach.sells == max(max(target, stop) - left, 0)
    assert reach.buys == left


def test_a_bracket_is_not_taken_for_a_short_sale_a_duplicate_or_a_cross() -> None:
    entry, target, stop = bracket()
    context = {"approved": (entry, target)}
    for control in ("ShortSaleAllowed", "DuplicateOrder", "SelfCross"):
        assert not reasons(control, stop, **context)


def test_another_strategys_exits_can_be_crossed() -> None:
    exits = tuple(replace(order, strategy="other") for order in working_exits(b.working(strategy="other"), "5", "5"))
    assert "could trade with our own SELL" in reasons("SelfCross", b.intent(), working=exits)


def test_an_order_does_not_count_beside_what_it_replaces() -> None:
    entry = b.working()
    exits = working_exits(entry, "10", "10")
    closing = replace(b.intent(side="SELL"), replaces=tuple(order.client_order_id for order in exits))
    context = b.context(working=exits, **holding())
    assert is_reducing(closing, context)
    assert all(decision.is_approved for decision in decide([closing], context))
    assert not is_reducing(replace(closing, replaces=()), context)


def test_a_replacement_is_no_cross_and_no_duplicate_of_what_it_replaces() -> None:
    old = b.working()
    new = replace(b.intent(), replaces=(old.client_order_id,))
    recent = (b.submission(old.client_order_id),)
    for control in ("DuplicateOrder", "MaxOpenOrders", "SelfCross"):
        assert not reasons(control, new, working=(old,), recent_submissions=recent, limits=Limits(max_open_orders=1))
    assert "a duplicate" in reasons("DuplicateOrder", b.intent(), working=(old,))


def test_a_working_stop_is_valued_at_its_price() -> None:
    high = replace(b.working(), stop_price=D(140))
    assert valuation_price("TSLA", b.context(working=(high,))) == 140


@pytest.mark.parametrize(("minutes", "is_late"), [(11, False), (10, True), (1, True)])
@pytest.mark.parametrize("kind", [{"order_type": "MOC"}, {"order_type": "LOC", "limit_price": D(100)}])
def test_an_order_for_the_close_must_be_in_time_for_the_auction(
    kind: dict[str, Any], minutes: int, is_late: bool
) -> None:
    context = b.context(**holding())
    assert context.session is not None
    session = replace(context.session, close_utc=b.NOW + timedelta(minutes=minutes))
    reason = reasons("OrderHours", b.intent(side="SELL", **kind), session=session, **holding())
    assert ("must be sent 10 minutes before the close" in reason) == is_late


def test_prices_must_be_on_the_increment_of_their_level() -> None:
    steps = (PriceStep(D(0), D("0.0001")), PriceStep(D(1), D("0.01")))
    instruments = {"TSLA": replace(b.details(), price_steps=steps)}
    low = b.intent(order_type="LMT", limit_price=D("0.1234"))
    high = b.intent(order_type="LMT", limit_price=D("1.2345"))
    assert not reasons("TickAndLot", low, instruments=instruments)
    assert "not a multiple of the tick 0.01" in reasons("TickAndLot", high, instruments=instruments)


@pytest.mark.parametrize(
    "distance", [{}, {"trail_amount": D(1), "trail_percent": D(1)}, {"trail_percent": D(0)}, {"trail_amount": D("NaN")}]
)
def test_a_trailing_stop_needs_one_distance(distance: dict[str, Any]) -> None:
    order = b.intent(order_type="TRAIL", stop_price=D(98), **distance)
    (decision,) = decide([order], b.context(), [CONTROLS["TickAndLot"]])
    assert not decision.is_approved


def test_a_trailing_stop_without_a_first_price_can_not_be_judged() -> None:
    assert "needs a stop price" in reasons("TickAndLot", b.intent(order_type="TRAIL", trail_percent=D(1)))


@given(st.lists(st.sampled_from(["entry", "t", "s"]), max_size=6))
def test_however_a_bracket_fills_an_exit_never_reaches_beyond_flat(fills: list[str]) -> None:
    """The law behind it: what risk counts covers every order in which the legs can fill."""
    position, left = D(0), {"entry": D(10), "t": D(10), "s": D(10)}
    for leg in fills:
        done = min(D(5), left[leg], position if leg != "entry" else D(5))
        left[leg] -= done
        position += done if leg == "entry" else -done
        if leg != "entry":
            other = "s" if leg == "t" else "t"
            left[other] = min(left[other], left[leg])
    entry = b.working(quantity=str(left["entry"]))
    exits = working_exits(b.working(), str(left["t"]), str(left["s"]))
    working = tuple(order for order in (entry, *exits) if order.remaining_quantity)
    context: RiskContext = b.context(working=working, **holding(str(position)))
    reach = strategy_reach("TSLA", None, "tsla", context)
    assert reach.lowest >= 0
    assert reach.highest <= 10
