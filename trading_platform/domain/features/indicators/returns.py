"""Returns, momentum, gaps and drawdowns."""

from __future__ import annotations

import numpy as np

from trading_platform.domain.features.arrays import BarArrays, Floats, at_session_open, highest, shifted
from trading_platform.domain.features.indicators.shared import PERIOD, log_change, period_bars, period_changes
from trading_platform.domain.features.registry import indicator


@indicator("return", (63,), parameters=PERIOD, units="fraction", warm_up=period_changes)
def simple_return(bars: BarArrays, period: int) -> Floats:
    """Simple return over `period` bars: close[t] / close[t − period] − 1."""
    result = np.empty_like(bars.close)
    result[:period] = np.nan
    np.divide(bars.close[period:], bars.close[:-period], out=result[period:])
    result[period:] -= 1
    return result


@indicator("log_return", (1,), parameters=PERIOD, units="log points", warm_up=period_changes)
def log_return(bars: BarArrays, period: int) -> Floats:
    """Logarithmic return over `period` bars: ln(close[t] / close[t − period])."""
    return log_change(bars) if period == 1 else np.log1p(simple_return(bars, period))


@indicator("roc", (10,), parameters=PERIOD, units="percent", warm_up=period_changes)
def rate_of_change(bars: BarArrays, period: int) -> Floats:
    """Rate of change over `period` bars: 100 (close[t] / close[t − period] − 1). TA-Lib ROC."""
    return 100 * simple_return(bars, period)


@indicator("momentum", (10,), parameters=PERIOD, units="price", warm_up=period_changes)
def momentum(bars: BarArrays, period: int) -> Floats:
    """Change of the close over `period` bars: close[t] − close[t − period]. TA-Lib MOM."""
    return bars.close - shifted(bars.close, period)


@indicator("drawdown", (63,), parameters=PERIOD, units="fraction, 0 or less", warm_up=period_bars, minimum=2)
def drawdown(bars: BarArrays, period: int) -> Floats:
    """Close against the highest close of the last `period` bars: close / max − 1. TA-Lib MAX."""
    return bars.close / highest(bars.close, period) - 1


@indicator("gap", units="fraction", warm_up=lambda: 2)
def gap(bars: BarArrays) -> Floats:
    """Open against the close of the bar before: open[t] / close[t − 1] − 1."""
    return bars.open / shifted(bars.close, 1) - 1


@indicator("session_gap", units="fraction", warm_up=lambda: 2, is_session_anchored=True)
def session_gap(bars: BarArrays) -> Floats:
    """The session's open against the last close of the session before, the same all session: open / close − 1."""
    opened = at_session_open(bars.open, bars.since_open)
    return opened / at_session_open(bars.close, bars.since_open, before=1) - 1


@indicator("session_return", units="fraction", warm_up=lambda: 1, is_session_anchored=True)
def session_return(bars: BarArrays) -> Floats:
    """Return since the session's open: close / open of the session − 1."""
    return bars.close / at_session_open(bars.open, bars.since_open) - 1
