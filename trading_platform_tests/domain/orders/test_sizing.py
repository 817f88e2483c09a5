from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.sizing import (
    SizingError,
    annualised_volatility,
    bars_per_year_of,
    kelly_bet,
    round_to_lots,
    target_quantity,
)
from trading_platform.domain.signals.spec import SizingSpec
from trading_platform_tests.domain.orders.builders import signal, spec

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


VOLATILITY = {"method": "volatility_target", "target_volatility": "0.10", "equity_fraction": "1"}
ATR = {"method": "atr_risk", "risk_fraction": "0.01", "atr_multiple": "2", "equity_fraction": "1"}
KELLY = {"method": "fractional_kelly", "payoff_ratio": "1", "kelly_fraction": "0.25", "equity_fraction": "1"}


def by_risk(sizing: dict[str, Any], *, weight: float = 1.0, equity: str = "100000", **inputs: Any) -> Decimal:
    """The target of a method that measures risk, at a price of 100 and on daily bars."""
    return target_quantity(
        replace(signal(weight=weight), **inputs),
        SizingSpec.model_validate(sizing),
        equity=D(equity),
        price=D(100),
        lot_size=D(1),
        bars_per_year=D(252),
    )


@pytest.mark.parametrize(
    ("sizing", "weight", "inputs", "expected"),
    [
        # 100,000 × 10 % ÷ (2 % × √252 = 31.75 %) ÷ 100
        (VOLATILITY, 1.0, {"volatility": 0.02}, "314"),
        (VOLATILITY, -0.5, {"volatility": 0.02}, "-157"),
        (VOLATILITY, 1.0, {"volatility": 0.0001}, "1000"),
        (VOLATILITY | {"equity_fraction": "0.2"}, 0.5, {"volatility": 0.0001}, "100"),
        # 100,000 × 1 % ÷ (2 × 4)
        (ATR, 1.0, {"atr": 4.0}, "125"),
        (ATR, -1.0, {"atr": 4.0}, "-125"),
        (ATR, 1.0, {"atr": 0.01}, "1000"),
        (ATR | {"atr_multiple": "3"}, 1.0, {"atr": 4.0}, "83"),
        # a quarter of 0.6 − 0.4 ÷ 1
        (KELLY, 1.0, {"confidence": 0.6}, "50"),
        (KELLY, 0.5, {"confidence": 0.6}, "25"),
        (KELLY | {"payoff_ratio": "2"}, 1.0, {"confidence": 0.6}, "100"),
        (KELLY | {"equity_fraction": "0.02"}, 1.0, {"confidence": 0.99}, "20"),
        (KELLY, 1.0, {"confidence": 0.5}, "0"),
        (KELLY, 1.0, {"confidence": 0.3}, "0"),
    ],
)
def test_methods_that_measure_risk_size_by_their_formula_up_to_their_cap(
    sizing: dict[str, Any], weight: float, inputs: dict[str, Any], expected: str
) -> None:
    assert by_risk(sizing, weight=weight, **inputs) == D(expected)


@pytest.mark.parametrize(
    ("sizing", "inputs", "says"),
    [
        (VOLATILITY, {}, "volatility_20 of TSLA has no value at the decision's bar"),
        (VOLATILITY, {"volatility": float("nan")}, "volatility_20 of TSLA is nan"),
        (VOLATILITY, {"volatility": 0.0}, "volatility_20 of TSLA is 0.0: it must be a positive number"),
        (VOLATILITY | {"volatility_feature": "volatility_60"}, {}, "volatility_60 of TSLA has no value"),
        (ATR, {}, "atr_14 of TSLA has no value"),
        (ATR, {"atr": float("inf")}, "atr_14 of TSLA is inf"),
        (KELLY, {"confidence": float("nan")}, "confidence of TSLA is nan"),
        (KELLY, {"confidence": 1.5}, "confidence of TSLA is 1.5: it must lie between 0 and 1"),
    ],
)
def test_a_measure_that_is_missing_or_senseless_sizes_nothing(
    sizing: dict[str, Any], inputs: dict[str, Any], says: str
) -> None:
    with pytest.raises(SizingError, match=says):
        by_risk(sizing, **inputs)
    assert by_risk(sizing, weight=0.0, **inputs) == 0, "what is to be flat needs no measure"


@pytest.mark.parametrize("sizing", [VOLATILITY, ATR, KELLY])
def test_an_account_without_equity_opens_nothing_by_any_method(sizing: dict[str, Any]) -> None:
    with pytest.raises(SizingError, match="equity of the account is -1"):
        by_risk(sizing, equity="-1", volatility=0.02, atr=4.0)


measures = st.fixed_dictionaries(
    {"volatility": st.floats(1e-6, 5), "atr": st.floats(1e-4, 1e4), "confidence": st.floats(0, 1)}
)


@given(
    st.sampled_from([VOLATILITY, ATR, KELLY]),
    measures,
    weights,
    st.integers(0, 10**7),
    st.decimals("0.01", "1", places=2),
)
def test_no_measure_lifts_a_holding_above_its_cap_and_more_equity_never_makes_it_smaller(
    sizing: dict[str, Any], inputs: dict[str, float], weight: float, equity: int, fraction: Decimal
) -> None:
    capped = sizing | {"equity_fraction": str(fraction)}
    smaller, larger = (by_risk(capped, weight=weight, equity=str(1 + e), **inputs) for e in (equity, 2 * equity))
    assert abs(smaller) * 100 <= (1 + equity) * fraction * abs(D(str(weight)))
    assert abs(larger) >= abs(smaller)
    assert smaller * D(str(weight)) >= 0


@given(st.sampled_from([("volatility", VOLATILITY), ("atr", ATR)]), st.floats(1e-4, 10), st.floats(1, 100))
def test_what_moves_more_is_held_less(method: tuple[str, dict[str, Any]], measure: float, factor: float) -> None:
    name, sizing = method
    assert by_risk(sizing, **{name: measure * factor}) <= by_risk(sizing, **{name: measure})


def test_kelly_is_the_bet_that_grows_fastest() -> None:
    """The growth rate p ln(1 + b f) + (1 − p) ln(1 − f) is largest at f*, by its definition."""
    for p, odds in ((D("0.6"), D(1)), (D("0.4"), D(3)), (D("0.9"), D("0.5"))):
        best = kelly_bet(p, odds)
        rates = [p * (1 + odds * f).ln() + (1 - p) * (1 - f).ln() for f in (best - D("0.01"), best, best + D("0.01"))]
        assert max(rates) == rates[1]


@pytest.mark.parametrize(
    ("changes", "bars"),
    [
        ({"bar_size": "1 day", "cadence_minutes": None}, "252"),
        ({"bar_size": "5 mins"}, "19656"),  # 252 × 390 ÷ 5
        ({"bar_size": "1 hour", "calendar": "24/7"}, "8760"),
        ({"bar_size": "1 day", "cadence_minutes": None, "calendar": "24/7"}, "365"),
    ],
)
def test_a_year_has_as_many_bars_as_its_calendar_trades(changes: dict[str, Any], bars: str) -> None:
    assert bars_per_year_of(spec(**changes)) == D(bars)


def test_one_percent_a_day_is_sixteen_a_year() -> None:
    assert round(annualised_volatility(D("0.01"), D(252)), 4) == D("0.1587")
