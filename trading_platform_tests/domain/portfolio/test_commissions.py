from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.instruments import SecurityType
from trading_platform.domain.portfolio.commissions import fill_commission, order_commission

fills = st.lists(
    st.tuples(st.decimals("0.01", 5000, places=2), st.decimals("0.01", 2000, places=2)), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("security_type", "quantity", "price", "expected"),
    [
        ("STK", "1000", "50", "5"),
        ("STK", "100", "50", "1"),
        ("STK", "1", "30", "0.30"),
        ("STK", "10000", "0.20", "20"),
        ("CRYPTO", "1", "40000", "72"),
        ("CRYPTO", "0.01", "40000", "1.75"),
        ("CRYPTO", "0.001", "40000", "0.40"),
    ],
)
def test_an_order_costs_what_the_commissions_page_says(
    security_type: SecurityType, quantity: str, price: str, expected: str
) -> None:
    notional = Decimal(quantity) * Decimal(price)
    assert order_commission(security_type, Decimal(quantity), notional) == Decimal(expected)


def test_the_minimum_is_charged_once_however_many_fills_an_order_takes() -> None:
    first = fill_commission("STK", Decimal(0), Decimal(0), Decimal(100), Decimal(50))
    second = fill_commission("STK", Decimal(100), Decimal(5000), Decimal(50), Decimal(50))
    third = fill_commission("STK", Decimal(150), Decimal(7500), Decimal(150), Decimal(50))
    assert (first, second, third) == (Decimal(1), Decimal(0), Decimal("0.5"))


@given(security_type=st.sampled_from(["STK", "CRYPTO"]), parts=fills)
def test_fills_add_up_to_the_orders_commission_and_none_is_negative(
    security_type: SecurityType, parts: list[tuple[Decimal, Decimal]]
) -> None:
    quantity = notional = total = Decimal(0)
    for size, price in parts:
        commission = fill_commission(security_type, quantity, notional, size, price)
        assert commission >= 0
        quantity, notional, total = quantity + size, notional + size * price, total + commission
    assert total == order_commission(security_type, quantity, notional)
