from __future__ import annotations

import math
from decimal import Decimal

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading_platform.domain.portfolio.accounting import Book, book_from_fills
from trading_platform.domain.portfolio.performance import (
    annual_return,
    annual_volatility,
    calmar_ratio,
    curve_figures,
    drawdowns,
    returns_of,
    sharpe_ratio,
    slippage_bps,
    sortino_ratio,
    time_weighted_index,
    trade_figures,
)
from trading_platform_tests.domain.portfolio.test_accounting import fill

curves = st.lists(st.floats(1, 1e6), min_size=3, max_size=60)


def test_the_figures_of_a_small_curve_are_those_worked_out_by_hand() -> None:
    figures = curve_figures([100.0, 110.0, 99.0, 108.9], periods_per_year=252)
    assert figures.periods == 3
    assert figures.total_return == pytest.approx(0.089)
    assert figures.max_drawdown == pytest.approx(-0.1)
    assert figures.current_drawdown == pytest.approx(-0.01)
    assert figures.annual_return == pytest.approx(1.089**84 - 1)
    mean, deviation = 0.1 / 3, math.sqrt(((0.1 - 0.1 / 3) ** 2 * 2 + (-0.1 - 0.1 / 3) ** 2) / 2)
    assert figures.annual_volatility == pytest.approx(deviation * math.sqrt(252))
    assert figures.sharpe_ratio == pytest.approx(mean / deviation * math.sqrt(252))
    assert figures.sortino_ratio == pytest.approx(mean / math.sqrt(0.01 / 3) * math.sqrt(252))


RETURNS = st.lists(st.floats(-0.2, 0.25), min_size=3, max_size=120).map(np.array)
LIBRARY = [
    (annual_return, empyrical.annual_return),
    (annual_volatility, empyrical.annual_volatility),
    (sharpe_ratio, empyrical.sharpe_ratio),
    (sortino_ratio, empyrical.sortino_ratio),
    (calmar_ratio, empyrical.calmar_ratio),
]


@pytest.mark.parametrize("days", [252, 365])
@pytest.mark.parametrize(("ours", "theirs"), LIBRARY, ids=lambda function: function.__name__)
@given(returns=RETURNS)
def test_every_figure_is_the_library_empyricals(ours, theirs, days, returns):
    if ours is calmar_ratio:  # one minus a tiny drawdown has lost the drawdown's digits, in the library and here
        assume(empyrical.max_drawdown(returns) < -1e-5)
    mine = ours(returns, days)
    if mine is None:  # no variance, no loss, or more than a float holds: the library has NaN, infinities, or noise
        return
    assert mine == pytest.approx(theirs(returns, annualization=days), rel=1e-9, abs=1e-9)


@given(returns=RETURNS)
def test_total_return_and_worst_drawdown_are_the_library_empyricals(returns):
    figures = curve_figures(np.cumprod(np.append(100.0, 1 + returns)).tolist())
    assert figures.total_return == pytest.approx(empyrical.cum_returns_final(returns), rel=1e-9, abs=1e-9)
    assert figures.max_drawdown == pytest.approx(empyrical.max_drawdown(returns), rel=1e-9, abs=1e-9)


def test_a_years_figures_are_the_library_empyricals_to_nine_digits():
    returns = np.random.default_rng(7).normal(0.0005, 0.012, 252)
    for ours, theirs in LIBRARY:
        assert ours(returns) == pytest.approx(theirs(returns), rel=1e-9), ours.__name__
    assert sharpe_ratio(returns, 252, 0.0001) == pytest.approx(empyrical.sharpe_ratio(returns, 0.0001), rel=1e-9)
    assert sortino_ratio(returns, 252, 0.0001) == pytest.approx(empyrical.sortino_ratio(returns, 0.0001), rel=1e-9)


@given(curves, st.data())
def test_deposits_and_withdrawals_change_no_time_weighted_return(equity, data):
    """The same returns, with money paid in or out at each period's end."""
    returns = returns_of(equity)
    values, flows = [equity[0]], [0.0]
    for each in returns:
        earned = values[-1] * (1 + each)
        flow = data.draw(st.floats(-0.5, 2)) * earned
        values.append(earned + flow)
        flows.append(flow)
    index = time_weighted_index(values, flows)
    assert index == pytest.approx(np.array(equity) / equity[0], rel=1e-9)


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss():
    assert time_weighted_index([100.0, 200.0, 150.0, 165.0], [0, 100.0, -50.0, 0]) == pytest.approx([1, 1, 1, 1.1])


def test_an_account_that_was_empty_before_its_first_deposit_has_returns_from_then_on():
    assert time_weighted_index([0.0, 0.0, 100.0, 110.0], [0, 0, 100.0, 0]) == pytest.approx([1, 1, 1, 1.1])


def test_without_flows_the_index_is_the_equity_itself():
    assert time_weighted_index([100.0, 110.0], [0.0, 0.0]) == pytest.approx([1, 1.1])
    assert len(time_weighted_index([], [])) == 0


@pytest.mark.parametrize(
    ("equity", "flows", "says"),
    [
        ([100.0, 50.0], [0.0, 60.0], "finite, and positive"),
        ([100.0, float("nan")], [0.0, 0.0], "finite, and positive"),
        ([100.0, 0.0], [0.0, 0.0], "finite, and positive"),
        ([100.0], [], "one flow for each point"),
    ],
)
def test_an_index_that_has_no_meaning_is_refused(equity, flows, says):
    with pytest.raises(ValueError, match=says):
        time_weighted_index(equity, flows)


@pytest.mark.parametrize("equity", [[], [100.0]])
def test_too_few_points_give_no_figure_instead_of_nan(equity: list[float]) -> None:
    figures = curve_figures(equity)
    assert figures.periods == 0
    assert (figures.total_return, figures.sharpe_ratio, figures.sortino_ratio, figures.max_drawdown) == (None,) * 4
    assert figures.last_equity == (equity[-1] if equity else None)


def test_one_return_has_a_total_and_no_deviation() -> None:
    figures = curve_figures([100.0, 101.0])
    assert figures.total_return == pytest.approx(0.01)
    assert (figures.annual_volatility, figures.sharpe_ratio) == (None, None)


def test_a_flat_curve_has_no_ratio_instead_of_infinity() -> None:
    figures = curve_figures([100.0] * 5)
    assert (figures.annual_volatility, figures.max_drawdown) == (0.0, 0.0)
    assert (figures.sharpe_ratio, figures.sortino_ratio) == (None, None)


def test_equal_growth_without_variance_has_no_sharpe_ratio() -> None:
    assert curve_figures([100 * 1.01**i for i in range(50)]).sharpe_ratio is None


def test_a_jump_annualised_beyond_what_a_float_holds_is_no_figure() -> None:
    assert curve_figures([1.0, 100.0]).annual_return is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_broken_valuation_is_refused_rather_than_averaged(bad: float) -> None:
    with pytest.raises(ValueError, match="finite, positive"):
        curve_figures([100.0, bad, 101.0])


@given(curves)
def test_figures_are_finite_or_none_and_in_their_ranges(equity: list[float]) -> None:
    figures = curve_figures(equity)
    assert all(value is None or math.isfinite(value) for value in vars(figures).values())
    assert figures.max_drawdown is not None
    assert figures.current_drawdown is not None
    assert -1 <= figures.max_drawdown <= figures.current_drawdown <= 0


@given(curves, st.floats(0.01, 1000))
def test_figures_do_not_depend_on_the_currency_unit(equity: list[float], factor: float) -> None:
    here, there = curve_figures(equity), curve_figures([value * factor for value in equity])
    assert here.total_return == pytest.approx(there.total_return, rel=1e-6, abs=1e-9)
    assert here.max_drawdown == pytest.approx(there.max_drawdown, rel=1e-6, abs=1e-9)


@given(curves)
def test_the_worst_drawdown_is_the_worst_loss_of_any_buyer_and_later_seller(equity: list[float]) -> None:
    worst = min(equity[j] / equity[i] - 1 for i in range(len(equity)) for j in range(i, len(equity)))
    assert float(drawdowns(equity).min()) == pytest.approx(worst, abs=1e-12)


@given(curves)
def test_compounded_returns_lead_from_the_first_to_the_last_equity(equity: list[float]) -> None:
    assume(equity[-1] / equity[0] > 1e-6)
    assert float(np.prod(1 + returns_of(equity))) == pytest.approx(equity[-1] / equity[0], rel=1e-9)


def test_trades_have_a_hit_rate_turnover_and_costs() -> None:
    fills = [("100", "10"), ("-50", "12"), ("-30", "9"), ("-20", "10")]
    book = book_from_fills(fill(i, signed, price) for i, (signed, price) in enumerate(fills))
    figures = trade_figures(book, [10_000.0, 10_140.0])
    assert (figures.closes, figures.hit_rate) == (3, pytest.approx(1 / 3))
    assert (figures.average_win_usd, figures.average_loss_usd) == (100.0, -30.0)
    assert figures.profit_factor == pytest.approx(100 / 30)
    assert figures.traded_notional_usd == 2070
    assert figures.turnover == pytest.approx(2070 / 10_070)
    assert (figures.commissions_usd, figures.commission_bps) == (4.0, pytest.approx(4 / 2070 * 10_000))


def test_a_book_without_trades_has_no_rates_instead_of_nan() -> None:
    figures = trade_figures(Book({}, ()))
    assert (figures.closes, figures.hit_rate, figures.turnover, figures.commission_bps) == (0, None, None, None)


@pytest.mark.parametrize(
    ("side", "price", "bps"), [("BUY", "100.10", 10), ("SELL", "99.90", 10), ("BUY", "99.9", -10), ("SELL", "100", 0)]
)
def test_slippage_is_positive_when_the_fill_was_worse_than_the_decision(side: str, price: str, bps: int) -> None:
    assert slippage_bps(side, Decimal(100), Decimal(price)) == bps  # type: ignore[arg-type]  # a literal of the table


def test_slippage_from_a_senseless_decision_price_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        slippage_bps("BUY", Decimal(0), Decimal(1))
