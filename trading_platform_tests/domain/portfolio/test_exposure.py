from __future__ import annotations

from decimal import Decimal

import pytest

from trading_platform.domain.portfolio.exposure import MissingMarkError, exposure_of

D = Decimal


def test_long_short_gross_and_net_are_told_apart() -> None:
    exposure = exposure_of(
        {"IBM": D(10), "AAPL": D(-5), "FB": D(0)}, {"IBM": D(200), "AAPL": D(450), "FB": D("NaN")}, D(10_000)
    )
    assert exposure.by_symbol == {"AAPL": D(-2250), "IBM": D(2000)}
    assert list(exposure.by_symbol) == ["AAPL", "IBM"]
    assert (exposure.long_usd, exposure.short_usd) == (2000, -2250)
    assert (exposure.gross_usd, exposure.net_usd, exposure.leverage) == (4250, -250, D("0.425"))


def test_nothing_held_is_no_exposure_and_no_equity_no_leverage() -> None:
    exposure = exposure_of({}, {}, D(0))
    assert (exposure.gross_usd, exposure.net_usd, exposure.leverage) == (0, 0, None)


@pytest.mark.parametrize("marks", [{}, {"IBM": D("NaN")}, {"IBM": D(0)}])
def test_a_holding_without_a_price_is_not_counted_as_zero(marks: dict[str, Decimal]) -> None:
    with pytest.raises(MissingMarkError, match="no price to value 3 IBM at"):
        exposure_of({"IBM": D(3)}, marks, D(1000))
