"""The prices an instrument can be quoted at: steps that may grow with the price (IBKR's market rules). Pure, exact."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


class InvalidPriceGridError(ValueError):
    """Steps that are no grid: none at all, not positive, or not sorted by the price they begin at."""


@dataclass(frozen=True)
class PriceStep:
    """From ``low_edge`` on (in the instrument's currency) prices are multiples of ``increment``."""

    low_edge: Decimal
    increment: Decimal


@dataclass(frozen=True)
class PriceGrid:
    """Steps sorted by their low edge. The first one also holds below its edge.

    Source: IBKR, TWS API, "Minimum Price Increment": a market rule is a list of (low edge, increment).

    Raises:
        InvalidPriceGridError: the steps are no grid.
    """

    steps: tuple[PriceStep, ...]

    def __post_init__(self) -> None:
        edges = [step.low_edge for step in self.steps]
        if not self.steps or any(not step.increment.is_finite() or step.increment <= 0 for step in self.steps):
            msg = f"price increments {self._written()} are no grid: each must be positive, and there must be one"
            raise InvalidPriceGridError(msg)
        if edges != sorted(set(edges)):
            msg = f"price increments {self._written()} are no grid: sort them by low edge, each edge once"
            raise InvalidPriceGridError(msg)

    @classmethod
    def uniform(cls, increment: Decimal) -> PriceGrid:
        """The same increment at every price."""
        return cls((PriceStep(Decimal(0), increment),))

    def increment_at(self, price: Decimal) -> Decimal:
        """The increment at ``price``."""
        return self._step(price).increment

    def is_on(self, price: Decimal) -> bool:
        """Whether ``price`` is a multiple of the increment that holds at it."""
        return price.is_finite() and price % self.increment_at(price) == 0

    def floor(self, price: Decimal) -> Decimal:
        """The highest price of the grid that is not above ``price``."""
        step = self._step(price)
        below = _round(price, step.increment, ROUND_FLOOR)
        if below >= step.low_edge or step is self.steps[0]:
            return below
        # The edge is no multiple of the increment that begins there: what is below it has the finer one.
        lower = self.steps[self.steps.index(step) - 1]
        found = _round(step.low_edge, lower.increment, ROUND_FLOOR)
        return found if found < step.low_edge else found - lower.increment

    def ceiling(self, price: Decimal) -> Decimal:
        """The lowest price of the grid that is not below ``price``."""
        above = _round(price, self._step(price).increment, ROUND_CEILING)
        # Rounding up can lead into the next step, whose grid need not hold that price.
        return above if self.is_on(above) else self.ceiling(above)

    def _step(self, price: Decimal) -> PriceStep:
        position = bisect_right([step.low_edge for step in self.steps], price)
        return self.steps[max(position - 1, 0)]

    def _written(self) -> str:
        return ", ".join(f"{step.increment} from {step.low_edge}" for step in self.steps) or "none"


def _round(price: Decimal, increment: Decimal, rounding: str) -> Decimal:
    return (price / increment).to_integral_value(rounding=rounding) * increment
