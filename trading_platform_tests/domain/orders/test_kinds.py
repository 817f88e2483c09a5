from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.ids import client_order_id
from trading_platform.domain.orders.kinds import (
    NoPriceError,
    Trade,
    closing_request,
    entry_requests,
    limit_price_at,
)
from trading_platform.domain.orders.model import OrderRequest, Quote, Side
from trading_platform.domain.price_grid import PriceGrid, PriceStep
from trading_platform.domain.signals.spec import OrderSpec
from trading_platform_tests.domain.orders import builders as b

D = Decimal
PENNIES = PriceGrid.uniform(D("0.01"))
SUB_PENNY = PriceGrid((PriceStep(D(0), D("0.0001")), PriceStep(D(1), D("0.01"))))


def trade(side: Side = "BUY", quote: Quote | None = None, grid: PriceGrid = PENNIES) -> Trade:
    return Trade(
        name=lambda leg: client_order_id("tsla", "TSLA", b.TICK, 0, leg),
        symbol="TSLA",
        side=side,
        quantity=D(10),
        quote=quote or b.quote(),
        grid=grid,
        decision_price=D(100),
        as_of=b.NOW,
    )


def order(side: Side = "BUY", **spec: Any) -> OrderRequest:
    return entry_requests(trade(side), OrderSpec.model_validate(spec))[0]


def test_a_stop_entry_waits_above_the_ask_to_buy_and_below_the_bid_to_sell() -> None:
    assert order(order_type="STP", stop_offset_bps=50).stop_price == D("100.52")
    assert order("SELL", order_type="STP", stop_offset_bps=50).stop_price == D("99.49")


def test_a_stop_limits_limit_is_beyond_its_stop() -> None:
    buy = order(order_type="STP LMT", stop_offset_bps=50, limit_offset_bps=10)
    sell = order("SELL", order_type="STP LMT", stop_offset_bps=50, limit_offset_bps=10)
    assert (buy.stop_price, buy.limit_price) == (D("100.52"), D("100.62"))
    assert (sell.stop_price, sell.limit_price) == (D("99.49"), D("99.40"))


def test_a_trailing_order_has_its_percentage_and_a_first_stop_to_be_judged_by() -> None:
    request = order("SELL", order_type="TRAIL", trail_percent=2)
    assert (request.trail_percent, request.stop_price, request.limit_price) == (D(2), D("97.99"), None)


def test_orders_for_the_close_have_a_limit_or_none() -> None:
    assert order(order_type="MOC").limit_price is None
    assert order(order_type="LOC", limit_offset_bps=10).limit_price == D("100.11")


def test_good_till_is_whole_seconds_after_the_decision() -> None:
    request = order(order_type="LMT", time_in_force="GTD", good_till_minutes=90)
    assert request.good_till_utc == b.NOW.replace(microsecond=0) + timedelta(minutes=90)


@pytest.mark.parametrize("kind", [{"order_type": "STP", "stop_offset_bps": 5}, {"order_type": "LOC"}])
def test_without_a_touch_there_is_no_price(kind: dict[str, Any]) -> None:
    with pytest.raises(NoPriceError, match="no ask to place the"):
        entry_requests(trade(quote=b.quote(ask=None)), OrderSpec.model_validate(kind))


def test_a_stop_below_zero_is_no_price() -> None:
    cheap = b.quote(bid="0.01", ask="0.02", last="0.01")
    with pytest.raises(NoPriceError, match="must be positive"):
        entry_requests(trade("SELL", cheap), OrderSpec.model_validate({"order_type": "STP", "stop_offset_bps": 5000}))


def test_a_trailing_bracket_protects_by_a_trailing_stop() -> None:
    spec = OrderSpec.model_validate({"order_type": "LMT", "bracket": {"target_pct": 5, "trail_pct": 2}})
    entry, target, stop = entry_requests(trade("SELL"), spec)
    assert entry.limit_price == D("99.95")
    assert (target.side, target.limit_price) == ("BUY", D("94.95"))
    assert (stop.order_type, stop.trail_percent, stop.stop_price) == ("TRAIL", D(2), D("101.95"))


@pytest.mark.parametrize(("entry", "exit_type"), [("MKT", "MKT"), ("LMT", "LMT"), ("STP LMT", "LMT")])
def test_a_holding_is_ended_at_a_limit_only_where_the_entries_have_one(entry: str, exit_type: str) -> None:
    spec = OrderSpec.model_validate({"order_type": entry} | ({"stop_offset_bps": 50} if entry == "STP LMT" else {}))
    request = closing_request(trade("SELL"), spec)
    assert (request.order_type, request.time_in_force, request.stop_price) == (exit_type, "DAY", None)
    assert (request.limit_price is None) == (exit_type == "MKT")


kinds = st.sampled_from(
    [
        {"order_type": "LMT"},
        {"order_type": "LOC"},
        {"order_type": "STP", "stop_offset_bps": 25},
        {"order_type": "STP LMT", "stop_offset_bps": 25},
        {"order_type": "TRAIL", "trail_percent": 3},
        {"bracket": {"target_pct": 3, "stop_pct": 1}},
        {"order_type": "LMT", "bracket": {"target_pct": 3, "trail_pct": 1}},
    ]
)


@given(
    st.sampled_from(["BUY", "SELL"]), kinds, st.decimals("0.3", "500", places=4), st.sampled_from([PENNIES, SUB_PENNY])
)
def test_every_price_is_on_the_grid_and_on_its_side_of_the_market(
    side: Side, kind: dict[str, Any], price: Decimal, grid: PriceGrid
) -> None:
    quote = replace(b.quote(), bid=price, ask=price, last=price)
    requests = entry_requests(trade(side, quote, grid), OrderSpec.model_validate(kind))
    for request in requests:
        for named in (request.limit_price, request.stop_price):
            assert named is None or grid.is_on(named)
    if requests[0].stop_price is not None:
        assert requests[0].stop_price >= price if side == "BUY" else requests[0].stop_price <= price
    if len(requests) == 3:
        entry, target, stop = requests
        reference = entry.limit_price or price
        assert target.limit_price is not None
        assert stop.stop_price is not None
        low, high = sorted((target.limit_price, stop.stop_price))
        assert low < reference < high
        assert (target.limit_price > stop.stop_price) == (side == "BUY")


@given(
    st.decimals("0.01", "5000", places=4),
    st.decimals("0", "100", places=1),
    st.sampled_from([D("0.01"), D("0.05"), D("0.0001"), D(1)]),
)
def test_rounding_a_limit_never_makes_it_worse_than_its_offset(
    touch: Decimal, offset: Decimal, min_tick: Decimal
) -> None:
    quote = b.flat_quote("TSLA", touch)
    buy = limit_price_at("BUY", quote, offset, PriceGrid.uniform(min_tick))
    sell = limit_price_at("SELL", quote, offset, PriceGrid.uniform(min_tick))
    reach = touch * offset / 10_000
    assert buy is None or (buy % min_tick == 0 and touch + reach - min_tick < buy <= touch + reach)
    assert sell is not None
    assert sell % min_tick == 0
    assert touch - reach <= sell < touch - reach + min_tick
