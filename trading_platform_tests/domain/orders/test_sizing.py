from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.sizing import SizingError, round_to_lots, target_quantity
from trading_platform.domain.signals.spec import SizingSpec
from trading_platform_tests.domain.orders.builders import signal

D = Decimal
money = st.decimals("0.01", "1e9", places=2)
lots = st.sampled_from([D(1), D(100), D("0.0001"), D("0.5"), D("1e-8")])
weights = st.floats(-1, 1)


def size(weight: float, sizing: dict[str, Any], price: str = "100", equity: str = "100000", lot: str = "1") -> Decimal:
    spec = SizingSpec.model_validate(sizing)
    return target_quantity(signal(weight=weight), spec, equity=D(equity), price=D(price), lot_size=D(lot))


@pytest.mark.parametrize(
    ("weight", "sizing", "price", "lot", "expected"),
    [
        (1.0, {"equity_fraction": "0.10"}, "100", "1", "100"),
        (0.5, {"equity_fraction": "0.10"}, "100", "1", "50"),
        (-1.0, {"equity_fraction": "0.10"}, "100", "1", "-100"),
        (0.0, {"equity_fraction": "0.10"}, "100", "1", "0"),
        (1.0, {"equity_fraction": "0.10"}, "333", "1", "30"),
        (-1.0, {"equity_fraction": "0.10"}, "333", "1", "-30"),
        (1.0, {"equity_fraction": "0.10"}, "30000", "0.0001", "0.3333"),
        (1.0, {"method": "fixed_notional", "notional_usd": "5000"}, "99", "1", "50"),
        (-0.5, {"method": "fixed_notional", "notional_usd": "5000"}, "99", "1", "-25"),
        (1.0, {"method": "fixed_quantity", "quantity": "7"}, "99", "1", "7"),
        (-0.5, {"method": "fixed_quantity", "quantity": "7"}, "99", "1", "-3"),
        (1.0, {"method": "fixed_quantity", "quantity": "250"}, "99", "100", "200"),
    ],
)
def test_each_method_sizes_as_its_table_says(
    weight: float, sizing: dict[str, Any], price: str, lot: str, expected: str
) -> None:
    assert size(weight, sizing, price, lot=lot) == D(expected)


@given(weights, money, money, st.decimals("0.01", "1", places=2), lots)
def test_a_percentage_of_equity_is_never_exceeded_and_missed_by_less_than_a_lot(
    weight: float, equity: Decimal, price: Decimal, fraction: Decimal, lot: Decimal
) -> None:
    sizing = SizingSpec(equity_fraction=fraction)
    quantity = target_quantity(signal(weight=weight), sizing, equity=equity, price=price, lot_size=lot)
    target = abs(D(str(weight))) * equity * fraction
    assert abs(quantity) * price <= target
    assert (abs(quantity) + lot) * price > target


@given(weights, money, money, lots)
def test_a_fixed_notional_is_never_exceeded(weight: float, notional: Decimal, price: Decimal, lot: Decimal) -> None:
    sizing = SizingSpec(method="fixed_notional", notional_usd=notional)
    quantity = target_quantity(signal(weight=weight), sizing, equity=D(1), price=price, lot_size=lot)
    assert abs(quantity) * price <= notional


@given(weights, money, money)
def test_long_and_short_are_sized_alike(weight: float, equity: Decimal, price: Decimal) -> None:
    long = target_quantity(signal(weight=weight), SizingSpec(), equity=equity, price=price, lot_size=D(1))
    short = target_quantity(signal(weight=-weight), SizingSpec(), equity=equity, price=price, lot_size=D(1))
    assert long == -short


@given(st.decimals("-1e12", "1e12", places=12), lots)
def test_rounding_to_lots_goes_toward_zero_by_less_than_a_lot(quantity: Decimal, lot: Decimal) -> None:
    rounded = round_to_lots(quantity, lot)
    assert rounded % lot == 0
    assert abs(rounded) <= abs(quantity) < abs(rounded) + lot
    assert rounded * quantity >= 0
    assert round_to_lots(rounded, lot) == rounded


def test_a_number_a_hair_below_a_lot_is_not_rounded_up_to_it() -> None:
    assert round_to_lots(D("2." + "9" * 40), D(1)) == 2


@pytest.mark.parametrize(
    ("weight", "price", "equity", "lot", "says"),
    [
        (float("nan"), "100", "1000", "1", "target weight of TSLA is nan"),
        (float("inf"), "100", "1000", "1", "target weight of TSLA is inf"),
        (1.5, "100", "1000", "1", "between -1 and 1"),
        (1.0, "0", "1000", "1", "price of TSLA is 0"),
        (1.0, "NaN", "1000", "1", "price of TSLA is NaN"),
        (1.0, "100", "-5", "1", "equity of the account is -5"),
        (1.0, "100", "NaN", "1", "equity of the account is NaN"),
        (1.0, "100", "1000", "0", "lot size of TSLA is 0"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_name(
    weight: float, price: str, equity: str, lot: str, says: str
) -> None:
    with pytest.raises(SizingError, match=says):
        size(weight, {}, price, equity, lot)


@pytest.mark.parametrize(("side", "weight"), [("LONG", -0.5), ("SHORT", 0.5), ("FLAT", 0.5), ("LONG", 0.0)])
def test_a_signal_that_contradicts_itself_is_refused(side: str, weight: float) -> None:
    contradiction = signal(weight=weight, side=side)
    with pytest.raises(SizingError, match="contradicts itself"):
        target_quantity(contradiction, SizingSpec(), equity=D(1000), price=D(10), lot_size=D(1))


def test_a_flat_signal_needs_no_equity_to_be_sized() -> None:
    assert size(0.0, {}, equity="-100") == 0
