"""How a strategy or an account did: figures of an equity curve and of its trades.

Figures are floats; one that can't be computed from what is given (a single point, no variance, no trade) is
``None``, never NaN. Definitions are those of the library empyrical (a test holds them to it), annualised with 252
sessions a year unless told otherwise. A curve with deposits or withdrawals is made free of them first, by
:func:`time_weighted_index`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from trading_platform.domain.orders.model import Side
from trading_platform.domain.portfolio.accounting import Book

SESSIONS_PER_YEAR = 252
DAYS_PER_YEAR = 365
"""Periods per year of markets that never close."""

_NEGLIGIBLE = 1e-14
"""A deviation this small relative to one is rounding of equal returns, not variance."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CurveFigures:
    """Figures of one equity curve. Returns and volatility are fractions (0.01 is 1 %), drawdown is ≤ 0."""

    periods: int
    first_equity: float | None
    last_equity: float | None
    total_return: float | None
    annual_return: float | None
    annual_volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float | None
    current_drawdown: float | None
    calmar_ratio: float | None


@dataclass(frozen=True)
class TradeFigures:
    """Figures of the trades in a book. Money is USD.

    ``turnover`` is traded notional over mean equity; ``commission_bps`` commissions per traded notional;
    ``profit_factor`` what winners brought over what losers cost.
    """

    closes: int
    hit_rate: float | None
    average_win_usd: float | None
    average_loss_usd: float | None
    traded_notional_usd: float
    turnover: float | None
    commissions_usd: float
    commission_bps: float | None
    profit_factor: float | None


def returns_of(equity: Sequence[float]) -> FloatArray:
    """Simple returns ``E[t] / E[t−1] − 1``, one fewer than points.

    Raises:
        ValueError: a point is not finite, or not positive: then a return has no meaning.
    """
    curve = np.asarray(equity, dtype=np.float64)
    if not np.isfinite(curve).all() or (curve <= 0).any():
        msg = "an equity curve must hold finite, positive values: look for missing prices in the valuation"
        raise ValueError(msg)
    result: FloatArray = curve[1:] / curve[:-1] - 1 if len(curve) > 1 else np.empty(0)
    return result


def time_weighted_index(equity: Sequence[float], flows: Sequence[float]) -> FloatArray:
    """Value of 1 USD that was there at the first point, whatever was paid in or out since.

    The return of a period is ``(E[t] − F[t]) / E[t−1] − 1``, with the flow F taken to arrive at the period's end;
    returns are linked by multiplication. The shorter the period around a flow, the nearer this is to the true
    time-weighted return, which values the account at the very moment of the flow.

    Source: D. Spaulding, "Measuring Investment Performance" (1997), time-weighted return with end-of-period flows;
    CFA Institute, GIPS Standards (2020), 2.A.

    Args:
        equity: account value at each point, USD, oldest first.
        flows: what arrived since the point before (positive) or left (negative), USD; the first is ignored.

    A period that begins without money, such as before the first deposit, has no return and counts as none.

    Raises:
        ValueError: lengths differ, a value is not finite, or all was lost: from there on there is no return.
    """
    curve, moved = np.asarray(equity, dtype=np.float64), np.asarray(flows, dtype=np.float64)
    if curve.shape != moved.shape:
        msg = f"{len(curve)} points of equity and {len(moved)} flows: there must be one flow for each point"
        raise ValueError(msg)
    if not len(curve):
        return curve
    begun, earned = curve[:-1], curve[1:] - moved[1:]
    has_money = begun > 0
    if not np.isfinite(curve).all() or not np.isfinite(earned).all() or (earned[has_money] <= 0).any():
        msg = "equity must be finite, and positive with flows taken away: look for missing prices in the valuation"
        raise ValueError(msg)
    index: FloatArray = np.cumprod(np.append(1.0, np.where(has_money, earned, 1.0) / np.where(has_money, begun, 1.0)))
    return index


def annual_return(returns: FloatArray, periods_per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Compound growth per year: ``(Π (1 + r))^(periods per year / n) − 1`` (CAGR)."""
    if not len(returns):
        return None
    growth = float(np.log1p(returns).sum()) * periods_per_year / len(returns)
    # A few good minutes, annualised, exceed what a float can hold: that is no figure.
    return math.expm1(growth) if growth < 700 else None


def annual_volatility(returns: FloatArray, periods_per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Standard deviation of returns (sample, n − 1) times ``√periods per year``."""
    if len(returns) < 2:
        return None
    return float(np.std(returns, ddof=1)) * math.sqrt(periods_per_year)


def sharpe_ratio(
    returns: FloatArray, periods_per_year: int = SESSIONS_PER_YEAR, risk_free_per_period: float = 0.0
) -> float | None:
    """Mean excess return over its standard deviation, annualised.

    Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), with the sample
    standard deviation. ``None`` for fewer than two returns or for returns without variance.
    """
    if len(returns) < 2:
        return None
    excess = returns - risk_free_per_period
    deviation = float(np.std(excess, ddof=1))
    if deviation <= _NEGLIGIBLE:
        return None
    return float(np.mean(excess)) / deviation * math.sqrt(periods_per_year)


def sortino_ratio(
    returns: FloatArray, periods_per_year: int = SESSIONS_PER_YEAR, target_per_period: float = 0.0
) -> float | None:
    """Mean return above the target over the downside deviation, annualised.

    Source: F. Sortino and L. Price, "Performance Measurement in a Downside Risk Framework", Journal of
    Investing 3 (1994): the downside deviation is the root of the mean over *all* periods of
    ``min(r − target, 0)²``. ``None`` for fewer than two returns or when none is below the target.
    """
    if len(returns) < 2:
        return None
    excess = returns - target_per_period
    deviation = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    if deviation <= _NEGLIGIBLE:
        return None
    return float(np.mean(excess)) / deviation * math.sqrt(periods_per_year)


def calmar_ratio(returns: FloatArray, periods_per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Annual return over the worst drawdown, unsigned.

    Source: T. W. Young, "Calmar Ratio: A Smoother Tool", Futures 20 (1991), over the whole span instead of 36 months,
    as empyrical has it. ``None`` without a drawdown.
    """
    growth = annual_return(returns, periods_per_year)
    worst = float(drawdowns(np.cumprod(np.append(1.0, 1 + returns)).tolist()).min())
    return growth / -worst if growth is not None and worst < -_NEGLIGIBLE else None


def drawdowns(equity: Sequence[float]) -> FloatArray:
    """Distance below the highest equity so far, as a fraction ≤ 0: ``E[t] / max(E[0..t]) − 1``."""
    curve = np.asarray(equity, dtype=np.float64)
    result: FloatArray = curve / np.maximum.accumulate(curve) - 1
    return result


def curve_figures(equity: Sequence[float], periods_per_year: int = SESSIONS_PER_YEAR) -> CurveFigures:
    """All figures of an equity curve.

    Args:
        equity: account or strategy value at the end of each period, USD, oldest first; may be empty.
        periods_per_year: 252 for daily values of an exchange, 365 for markets that never close.

    Raises:
        ValueError: a value is not finite and positive.
    """
    returns = returns_of(equity)
    below = drawdowns(equity) if len(equity) else np.empty(0)
    return CurveFigures(
        periods=len(returns),
        first_equity=float(equity[0]) if len(equity) else None,
        last_equity=float(equity[-1]) if len(equity) else None,
        total_return=float(equity[-1] / equity[0] - 1) if len(returns) else None,
        annual_return=annual_return(returns, periods_per_year),
        annual_volatility=annual_volatility(returns, periods_per_year),
        sharpe_ratio=sharpe_ratio(returns, periods_per_year),
        sortino_ratio=sortino_ratio(returns, periods_per_year),
        max_drawdown=float(below.min()) if len(returns) else None,
        current_drawdown=float(below[-1]) if len(returns) else None,
        calmar_ratio=calmar_ratio(returns, periods_per_year),
    )


def trade_figures(book: Book, equity: Sequence[float] = ()) -> TradeFigures:
    """All figures of the trades in ``book``.

    A *hit* is a fill that closed at a profit before commissions; break-even counts as a miss. Turnover is
    purchases plus sales over mean equity (as pyfolio's with denominator ``portfolio_value``), over the
    whole span of the book, not per year.
    """
    pnls = [float(close.pnl) for close in book.closes]
    wins = [pnl for pnl in pnls if pnl > 0]
    losses = [pnl for pnl in pnls if pnl < 0]
    traded, commissions = float(book.traded_notional), float(book.commissions)
    return TradeFigures(
        closes=len(pnls),
        hit_rate=len(wins) / len(pnls) if pnls else None,
        average_win_usd=sum(wins) / len(wins) if wins else None,
        average_loss_usd=sum(losses) / len(losses) if losses else None,
        traded_notional_usd=traded,
        turnover=traded / float(np.mean(equity)) if len(equity) and np.mean(equity) > 0 else None,
        commissions_usd=commissions,
        commission_bps=commissions / traded * 10_000 if traded else None,
        profit_factor=sum(wins) / -sum(losses) if losses else None,
    )


def slippage_bps(side: Side, decision_price: Decimal, fill_price: Decimal) -> Decimal:
    """How much worse than the decision price an order was filled, in basis points; negative is better.

    Source: the execution part of implementation shortfall, A. Perold, "The Implementation Shortfall: Paper
    versus Reality", Journal of Portfolio Management 14 (1988).

    Raises:
        ValueError: the decision price is not positive.
    """
    if not decision_price > 0:
        msg = f"decision price {decision_price} must be positive"
        raise ValueError(msg)
    difference = fill_price - decision_price if side == "BUY" else decision_price - fill_price
    return difference / decision_price * 10_000
