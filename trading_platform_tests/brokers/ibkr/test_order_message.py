"""Order requests become the library's orders, to the last digit."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.brokers.ibkr import client  # noqa: F401 - loads ib_insync on the broker's loop
from trading_platform.brokers.ibkr.order_message import to_order
from trading_platform.brokers.ibkr.translate import to_decimal
from trading_platform.domain.orders.model import OrderRequest

UNSET = sys.float_info.max


@pytest.mark.parametrize("order_type", ["MKT", "LMT", "STP", "STP LMT", "MOC", "LOC"])
@pytest.mark.parametrize("time_in_force", ["DAY", "GTC", "IOC"])
def test_orders_carry_time_in_force_reference_account_and_their_own_prices(order_type: Any, time_in_force: Any) -> None:
    request = OrderRequest("ref", "AAPL", "SELL", Decimal(3), order_type, time_in_force, Decimal("1.5"), Decimal("1.2"))
    order = to_order(request, "DU1")
    assert (order.tif, order.orderRef, order.account, order.transmit) == (time_in_force, "ref", "DU1", True)
    assert (order.action, order.totalQuantity, order.orderType) == ("SELL", 3.0, order_type)
    assert order.lmtPrice == (1.5 if order_type in ("LMT", "STP LMT", "LOC") else UNSET)
    assert order.auxPrice == (1.2 if "STP" in order_type else UNSET)


def test_a_trailing_order_carries_its_distance_and_its_first_stop() -> None:
    request = OrderRequest("ref", "AAPL", "SELL", Decimal(3), "TRAIL", stop_price=Decimal(98), trail_percent=Decimal(2))
    order = to_order(request, "DU1")
    assert (order.trailStopPrice, order.trailingPercent, order.auxPrice) == (98.0, 2.0, UNSET)
    by_amount = to_order(replace(request, trail_percent=None, trail_amount=Decimal("1.5")), "DU1")
    assert (by_amount.trailingPercent, by_amount.auxPrice) == (UNSET, 1.5)
    with pytest.raises(ValueError, match="and not both"):
        to_order(replace(request, trail_amount=Decimal(1)), "DU1")


def test_good_till_date_is_written_in_utc() -> None:
    moment = datetime(2013, 2, 28, 15, 45, tzinfo=ZoneInfo("America/New_York"))
    request = OrderRequest("ref", "AAPL", "BUY", Decimal(3), time_in_force="GTD", good_till_utc=moment)
    assert to_order(request, "DU1").goodTillDate == "20130228-20:45:00"
    with pytest.raises(ValueError, match="good_till_utc"):
        to_order(replace(request, good_till_utc=None), "DU1")


def test_an_exit_waits_for_its_entry_and_excludes_the_others() -> None:
    request = OrderRequest("x.r0t", "AAPL", "SELL", Decimal(3), parent_id="x.r0", oca_group="x.r0")
    order = to_order(request, "DU1", parent_id=7, transmit=False)
    assert (order.parentId, order.transmit, order.ocaGroup, order.ocaType) == (7, False, "x.r0", 2)


@given(st.decimals("0.00000001", "99999.99999999", places=8))
def test_every_quantity_of_coins_is_sent_and_read_to_the_last_decimal(quantity: Decimal) -> None:
    sent = str(to_order(OrderRequest("ref", "BTC", "BUY", quantity), "DU1").totalQuantity)
    assert Decimal(sent) == quantity
    assert to_decimal(float(sent)) == quantity


def test_a_number_with_more_digits_than_can_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="more digits"):
        to_order(OrderRequest("ref", "BTC", "BUY", Decimal("12345678.123456789012")), "DU1")
