"""From a wanted weight to a wanted quantity. The same code sizes backtests, paper and live orders."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal, localcontext

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import BAR_MINUTES, SizingSpec, StrategySpec

_SIGN_OF_SIDE = {"LONG": 1, "SHORT": -1, "FLAT": 0}
_TOWARD_ZERO = Context(prec=60, rounding=ROUND_DOWN)
"""The default context rounds half up at 28 digits, which could lift 2.999… lots to 3."""


class SizingError(ValueError):
    """A signal can't be sized: a number is missing, not finite, or contradicts another."""


def target_quantity(
    signal: Signal,
    sizing: SizingSpec,
    *,
    equity: Decimal,
    price: Decimal,
    lot_size: Decimal,
    bars_per_year: Decimal | None = None,
) -> Decimal:
    """The signed quantity the strategy should hold of the signal's symbol.

    The weight scales every method alike: at weight ±1 the holding has its full size, at 0 it is none. The
    result is a whole number of lots, rounded toward zero, so a target is never exceeded. Methods that measure risk
    hold at most what ``equity_fraction`` of the equity buys.

    Args:
        signal: its ``side`` and the sign of its ``target_weight`` must agree. ``volatility``, ``atr`` or
            ``confidence`` must be there if the method reads it.
        sizing: the method and its numbers.
        equity: net liquidation value of the account in USD.
        price: decision price in USD per unit.
        lot_size: smallest step of the quantity.
        bars_per_year: needed by ``volatility_target``; see :func:`bars_per_year_of`.

    Raises:
        SizingError: says which number is wrong.
    """
    weight = _weight(signal)
    if weight == 0:
        return Decimal(0)
    _require_positive(price, f"price of {signal.symbol}")
    _require_positive(lot_size, f"lot size of {signal.symbol}")
    with localcontext(_TOWARD_ZERO):
        full_size = _full_size(signal, sizing, equity, price, bars_per_year)
        return round_to_lots(weight * full_size, lot_size)


def _full_size(
    signal: Signal, sizing: SizingSpec, equity: Decimal, price: Decimal, bars_per_year: Decimal | None
) -> Decimal:
    """Unsigned units at weight 1, before rounding."""
    if sizing.method == "fixed_notional":
        return fixed_notional(_given(sizing.notional_usd, "notional_usd"), price)
    if sizing.method == "fixed_quantity":
        return fixed_quantity(_given(sizing.quantity, "quantity"))
    capital = percent_of_equity(equity, sizing.equity_fraction, price)
    if sizing.method == "volatility_target":
        annual = annualised_volatility(
            _measured(signal.volatility, sizing.volatility_feature, signal.symbol),
            _given(bars_per_year, "bars_per_year"),
        )
        return min(
            capital, volatility_target(equity, _given(sizing.target_volatility, "target_volatility"), annual, price)
        )
    if sizing.method == "atr_risk":
        atr = _measured(signal.atr, sizing.atr_feature, signal.symbol)
        return min(capital, atr_risk(equity, _given(sizing.risk_fraction, "risk_fraction"), sizing.atr_multiple, atr))
    if sizing.method == "fractional_kelly":
        probability = to_decimal(signal.confidence, f"confidence of {signal.symbol}")
        if not 0 <= probability <= 1:
            msg = f"confidence of {signal.symbol} is {probability}: it must lie between 0 and 1"
            raise SizingError(msg)
        bet = kelly_bet(probability, _given(sizing.payoff_ratio, "payoff_ratio")) * sizing.kelly_fraction
        return min(capital, percent_of_equity(equity, bet, price))
    return capital


def percent_of_equity(equity: Decimal, fraction: Decimal, price: Decimal) -> Decimal:
    """Units that ``fraction`` of ``equity`` buys at ``price``: ``equity × fraction ÷ price``.

    Source: fixed-fractional sizing, R. Vince, *Portfolio Management Formulas* (1990), with the whole
    fraction invested instead of risked; zipline's ``order_target_percent``.

    Raises:
        SizingError: equity is not positive: an account without equity opens nothing.
    """
    _require_positive(equity, "equity of the account")
    return equity * fraction / price


def fixed_notional(notional_usd: Decimal, price: Decimal) -> Decimal:
    """Units that a constant sum buys at ``price``: ``notional ÷ price``.

    Source: "equal value units", V. K. Tharp, *Trade Your Way to Financial Freedom* (1998), ch. on position
    sizing; zipline's ``order_target_value``.
    """
    return notional_usd / price


def fixed_quantity(quantity: Decimal) -> Decimal:
    """A constant number of units whatever their price.

    Source: fixed-unit sizing, the baseline of Vince (1990) and Tharp (1998); zipline's ``order_target``.
    """
    return quantity


def volatility_target(equity: Decimal, target: Decimal, annual_volatility: Decimal, price: Decimal) -> Decimal:
    """Units that alone give the account ``target`` volatility a year: ``equity × target ÷ volatility ÷ price``.

    Source: T. J. Moskowitz, Y. H. Ooi, L. H. Pedersen, "Time series momentum", *Journal of Financial Economics* 104
    (2012), where each position is scaled by 40 % ÷ σ; R. Carver, *Systematic Trading* (2015), ch. 9 and 10.

    Args:
        target, annual_volatility: annualised, as fractions.

    Raises:
        SizingError: equity is not positive.
    """
    _require_positive(equity, "equity of the account")
    return equity * target / annual_volatility / price


def annualised_volatility(per_bar: Decimal, bars_per_year: Decimal) -> Decimal:
    """``σ per bar × √(bars per year)``, which holds for returns without autocorrelation.

    Source: J. C. Hull, *Options, Futures, and Other Derivatives*, "Estimating volatility from historical data".
    """
    return per_bar * bars_per_year.sqrt()


def bars_per_year_of(spec: StrategySpec) -> Decimal:
    """Bars of the strategy's size in a year of its calendar.

    Daily bars: 252 on an exchange, 365 around the clock. Intraday bars: trading minutes of a year over minutes of a
    bar, where a year on an exchange is 252 usual sessions (XNYS: 98,280 minutes), and 365 days around the clock.
    """
    calendar = get_calendar(spec.calendar)
    if spec.is_daily:
        return Decimal(calendar.sessions_per_year)
    minutes = calendar.sessions_per_year * calendar.usual_session_minutes
    return Decimal(minutes) / BAR_MINUTES[spec.bar_size]


def atr_risk(equity: Decimal, risk_fraction: Decimal, atr_multiple: Decimal, atr: Decimal) -> Decimal:
    """Units that lose ``risk_fraction`` of ``equity`` if the price moves ``atr_multiple`` average true ranges against.

    ``equity × risk fraction ÷ (multiple × ATR)``. The size supposes an exit at that distance; it places no stop.

    Source: the unit of the Turtles, C. Faith, *Way of the Turtle* (2007), 1 % of equity per ATR ("N"); the "percent
    volatility model" of Tharp (1998). ATR: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978).

    Args:
        atr: in USD per unit.

    Raises:
        SizingError: equity is not positive.
    """
    _require_positive(equity, "equity of the account")
    return equity * risk_fraction / (atr_multiple * atr)


def kelly_bet(probability: Decimal, payoff_ratio: Decimal) -> Decimal:
    """The fraction of capital that maximises its long-run growth, 0 where the odds are not in our favour.

    The binary form ``p − (1 − p) ÷ b``: a win of ``b`` times the stake with probability ``p``, else the stake is lost.
    The continuous form μ ÷ σ² is not offered: no signal names an expected return, and a mean of past returns is none.

    Source: J. L. Kelly, "A new interpretation of information rate", *Bell System Technical Journal* 35 (1956); in this
    form E. O. Thorp, "The Kelly criterion in blackjack, sports betting, and the stock market" (2006). Full Kelly
    supposes that ``p`` and ``b`` are known; estimates are why only a fraction of it is bet.
    """
    return max(probability - (1 - probability) / payoff_ratio, Decimal(0))


def round_to_lots(quantity: Decimal, lot_size: Decimal) -> Decimal:
    """The whole number of lots nearest to ``quantity`` on the side of zero; exact, never minus zero."""
    with localcontext(_TOWARD_ZERO):
        lots = (abs(quantity) / lot_size).to_integral_value()
        rounded = lots * lot_size
        return -rounded if quantity < 0 and rounded else rounded


def to_decimal(value: float, what: str) -> Decimal:
    """The decimal a person would write for a float: ``0.1`` becomes ``Decimal("0.1")``.

    Raises:
        SizingError: the value is NaN or infinite.
    """
    number = Decimal(str(float(value)))
    if not number.is_finite():
        msg = f"{what} is {value}: it must be a finite number"
        raise SizingError(msg)
    return number


def _weight(signal: Signal) -> Decimal:
    weight = to_decimal(signal.target_weight, f"target weight of {signal.symbol}")
    if abs(weight) > 1:
        msg = f"target weight of {signal.symbol} is {weight}: it must lie between -1 and 1"
        raise SizingError(msg)
    sign = (weight > 0) - (weight < 0)
    if sign != _SIGN_OF_SIDE[signal.side]:
        msg = f"signal for {signal.symbol} contradicts itself: side {signal.side}, target weight {weight}"
        raise SizingError(msg)
    return weight


def _given(value: Decimal | None, field: str) -> Decimal:
    if value is None:
        msg = f"the sizing method needs {field} in the strategy's spec"
        raise SizingError(msg)
    return value


def _measured(value: float | None, feature: str, symbol: str) -> Decimal:
    if value is None:
        msg = f"{feature} of {symbol} has no value at the decision's bar: too little history, or its newest bar is late"
        raise SizingError(msg)
    number = to_decimal(value, f"{feature} of {symbol}")
    _require_positive(number, f"{feature} of {symbol}")
    return number


def _require_positive(value: Decimal, what: str) -> None:
    if not value.is_finite() or value <= 0:
        msg = f"{what} is {value}: it must be a positive number"
        raise SizingError(msg)
