"""A symbol held against another one of the same bars, such as an index fund.

Returns are taken from bar to bar of the symbol; a bar at whose time the reference has none has no value, and
neither has what looks back over it.
"""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import BarArrays, Floats, change, ratio, window_sum
from trading_platform.domain.features.indicators.shared import PERIOD, log_change, period_changes
from trading_platform.domain.features.registry import indicator

FLAT_VARIANCE = 1e-24
"""Squared log returns that sum up to less than this per bar are rounding."""


@indicator("beta", (60,), parameters=PERIOD, units="1", warm_up=period_changes, minimum=2, has_reference=True)
def beta(bars: BarArrays, period: int) -> Floats:
    """Slope of the one-bar log returns on the reference's, over `period` bars; 0 where the reference did not move."""
    covariance, _, variance = _co_moments(bars, period)
    return ratio(covariance, variance, when_flat=0.0)


@indicator(
    "correlation", (60,), parameters=PERIOD, units="−1 to 1", warm_up=period_changes, minimum=2, has_reference=True
)
def correlation(bars: BarArrays, period: int) -> Floats:
    """Pearson's correlation of the one-bar log returns with the reference's; 0 where one did not move."""
    covariance, own, variance = _co_moments(bars, period)
    return np.clip(ratio(covariance, np.sqrt(own * variance), when_flat=0.0), -1.0, 1.0)


def _co_moments(bars: BarArrays, period: int) -> tuple[Floats, Floats, Floats]:
    """Sums of products of distances from the means: own × reference's, own squared, reference's squared."""

    def make() -> tuple[Floats, Floats, Floats]:
        assert bars.reference is not None
        own, other = log_change(bars), change(np.log(bars.reference))
        own_sum, other_sum = window_sum(own, period), window_sum(other, period)
        covariance = window_sum(own * other, period) - own_sum * other_sum / period
        squares = []
        for values, total in ((own, own_sum), (other, other_sum)):
            variance = window_sum(values * values, period) - total * total / period
            variance[variance <= FLAT_VARIANCE * period] = 0.0
            squares.append(variance)
        return covariance, squares[0], squares[1]

    return bars.once(("co_moments", period), make)
