"""From a wanted weight to a wanted quantity. The same code sizes backtests, paper and live orders."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal, localcontext

from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import SizingSpec

_SIGN_OF_SIDE = {"LONG": 1, "SHORT": -1, "FLAT": 0}
_TOWARD_ZERO = Context(prec=60, rounding=ROUND_DOWN)
"""The default context rounds half up at 28 digits, which could lift 2.999… lots to 3."""


class SizingError(ValueError):
    """A signal can't be sized: a number is missing, not finite, or contradicts another."""


def target_quantity(
    signal: Signal, sizing: SizingSpec, *, equity: Decimal, price: Decimal, lot_size: Decimal
) -> Decimal:
    """The signed quantity the strategy should hold of the signal's symbol.

    The weight scales every method alike: at weight ±1 the holding has its full size, at 0 it is none. The
    result is a whole number of lots, rounded toward zero, so a target is never exceeded.

    Args:
        signal: its ``side`` and the sign of its ``target_weight`` must agree.
        sizing: the method and its numbers.
        equity: net liquidation value of the account in USD.
        price: decision price in USD per unit.
        lot_size: smallest step of the quantity.

    Raises:
        SizingError: says which number is wrong.
    """
    weight = _weight(signal)
    if weight == 0:
        return Decimal(0)
    _require_positive(price, f"price of {signal.symbol}")
    _require_positive(lot_size, f"lot size of {signal.symbol}")
    with localcontext(_TOWARD_ZERO):
        if sizing.method == "percent_of_equity":
            full_size = percent_of_equity(equity, sizing.equity_fraction, price)
        elif sizing.method == "fixed_notional":
            full_size = fixed_notional(_given(sizing.notional_usd, "notional_usd"), price)
        else:
            full_size = fixed_quantity(_given(sizing.quantity, "quantity"))
        return round_to_lots(weight * full_size, lot_size)


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


def _require_positive(value: Decimal, what: str) -> None:
    if not value.is_finite() or value <= 0:
        msg = f"{what} is {value}: it must be a positive number"
        raise SizingError(msg)
