from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.price_grid import InvalidPriceGridError, PriceGrid, PriceStep

D = Decimal
SUB_PENNY = PriceGrid((PriceStep(D(0), D("0.0001")), PriceStep(D(1), D("0.01"))))
COARSE = PriceGrid((PriceStep(D(0), D("0.01")), PriceStep(D("10.05"), D("0.1")), PriceStep(D(100), D(1))))

grids = st.sampled_from([SUB_PENNY, COARSE, PriceGrid.uniform(D("0.00005"))])
prices = st.decimals("0.001", "250", places=6)


@given(grids, prices)
def test_a_rounded_price_is_on_the_grid_and_no_grid_price_lies_between(grid: PriceGrid, price: Decimal) -> None:
    below, above = grid.floor(price), grid.ceiling(price)
    assert below <= price <= above
    assert grid.is_on(below)
    assert grid.is_on(above)
    assert (below == price) == grid.is_on(price) == (above == price)
    smallest = min(step.increment for step in grid.steps)
    between = below + smallest
    while between < above and not grid.is_on(between):
        between += smallest
    assert between >= above or below == price


@pytest.mark.parametrize(
    ("price", "below", "above"),
    [("0.99995", "0.9999", "1.00"), ("1.005", "1.00", "1.01"), ("0.12345", "0.1234", "0.1235")],
)
def test_the_step_depends_on_the_price(price: str, below: str, above: str) -> None:
    assert (SUB_PENNY.floor(D(price)), SUB_PENNY.ceiling(D(price))) == (D(below), D(above))


def test_an_edge_that_is_on_no_step_belongs_to_neither() -> None:
    assert COARSE.floor(D("10.07")) == D("10.04")
    assert COARSE.ceiling(D("10.045")) == D("10.1")


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (PriceStep(D(0), D(0)),),
        (PriceStep(D(0), D("NaN")),),
        (PriceStep(D(1), D(1)), PriceStep(D(0), D(1))),
        (PriceStep(D(1), D(1)), PriceStep(D(1), D(2))),
    ],
)
def test_steps_that_are_no_grid_are_refused(steps: tuple[PriceStep, ...]) -> None:
    with pytest.raises(InvalidPriceGridError, match="no grid"):
        PriceGrid(steps)
