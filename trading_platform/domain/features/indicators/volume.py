"""Volume, and prices weighted by it."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import (
    BarArrays,
    Floats,
    ratio,
    so_far_in_session,
    window_mean,
    window_sum,
)
from trading_platform.domain.features.indicators.shared import (
    PERIOD,
    close_change,
    period_bars,
    period_changes,
    typical_price,
)
from trading_platform.domain.features.registry import indicator


@indicator("volume_ratio", (20,), parameters=PERIOD, units="multiple", warm_up=period_bars)
def volume_ratio(bars: BarArrays, period: int) -> Floats:
    """Volume against its mean over the last `period` bars, this one included; 1 where nothing was traded."""
    return ratio(bars.volume, window_mean(bars.volume, period), when_flat=1.0)


@indicator("obv", (20,), parameters=PERIOD, units="shares or coins", warm_up=period_changes)
def obv(bars: BarArrays, period: int) -> Floats:
    """On-balance volume of the last `period` bars: volume of rising closes less that of falling ones.

    The change of Granville's running total (1963, TA-Lib OBV) over ``period`` bars; the total itself depends on
    where the history begins.
    """
    return window_sum(np.sign(close_change(bars)) * bars.volume, period)


@indicator("vwap_distance", units="fraction", warm_up=lambda: 1, is_session_anchored=True)
def vwap_distance(bars: BarArrays) -> Floats:
    """How far the close is above the session's volume-weighted average price so far: close / VWAP − 1.

    VWAP of typical prices (high + low + close) / 3; 0 until something is traded.
    """
    turnover = so_far_in_session(typical_price(bars) * bars.volume, bars.since_open, np.add)
    volume = so_far_in_session(bars.volume, bars.since_open, np.add)
    return bars.close / ratio(turnover, volume, when_flat=bars.close) - 1
