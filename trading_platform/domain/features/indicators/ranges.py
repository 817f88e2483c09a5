"""Where the close is in the range of the last bars, or of the session."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import BarArrays, Floats, ratio, so_far_in_session
from trading_platform.domain.features.indicators.shared import PERIOD, period_bars, range_high, range_low
from trading_platform.domain.features.registry import indicator


@indicator("channel_high", (20,), parameters=PERIOD, units="price", warm_up=period_bars, minimum=2)
def channel_high(bars: BarArrays, period: int) -> Floats:
    """Highest high of the last `period` bars, this one included: Donchian's upper channel. TA-Lib MAX."""
    return range_high(bars, period)


@indicator("channel_low", (20,), parameters=PERIOD, units="price", warm_up=period_bars, minimum=2)
def channel_low(bars: BarArrays, period: int) -> Floats:
    """Lowest low of the last `period` bars, this one included: Donchian's lower channel. TA-Lib MIN."""
    return range_low(bars, period)


@indicator(
    "channel_position",
    (48,),
    parameters=PERIOD,
    units="0 at the lowest low, 1 at the highest high",
    warm_up=period_bars,
    minimum=2,
)
def channel_position(bars: BarArrays, period: int) -> Floats:
    """Where the close is in the range of the last `period` bars; 0.5 where no price moved. Donchian, Lane's %K."""
    low = range_low(bars, period)
    return ratio(bars.close - low, range_high(bars, period) - low, when_flat=0.5)


@indicator(
    "session_range_position",
    units="0 at the session's low, 1 at its high",
    warm_up=lambda: 1,
    is_session_anchored=True,
)
def session_range_position(bars: BarArrays) -> Floats:
    """Where the close is in the range of the session so far; 0.5 where no price moved."""
    high = so_far_in_session(bars.high, bars.since_open, np.maximum)
    low = so_far_in_session(bars.low, bars.since_open, np.minimum)
    return ratio(bars.close - low, high - low, when_flat=0.5)
