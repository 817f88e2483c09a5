"""Features over splits and dividends: each value as someone would compute it who stands at its bar.

At a bar of session *s* the bars before it are adjusted for the actions that went ex by *s*. Computing anew for each
session is not needed: standing later scales all of the past by one number, per symbol, for prices and for volumes. So
everything is computed once, on bars adjusted as of the last session, and a value that scales with the price is brought
back to its own session's scale. Ratios, ranks and oscillators have no scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.registry import parse
from trading_platform.domain.market_data.corporate_actions import CorporateAction, adjust_bars

SCALES_WITH_PRICE = "price"
"""The unit of features whose value doubles when all prices double."""


def compute_adjusted_features(
    bars: pd.DataFrame, names: Iterable[str], actions: Sequence[CorporateAction], *, as_of: date
) -> pd.DataFrame:
    """As :func:`~.compute.compute_features`, with ``actions`` that went ex among the bars taken out of their history.

    Args:
        bars: as traded, none of a session after ``as_of``.
        actions: of any symbols; those after ``as_of`` are not known and left out.

    Returns:
        As ``compute_features``; ``close`` is as traded.

    Raises:
        CorporateActionError: an action contradicts the bars.
    """
    names = list(names)
    adjusted = adjust_bars(bars, actions, as_of=as_of)
    result = compute_features(adjusted, names)
    if adjusted is bars:
        return result
    as_traded = bars.sort_values(["symbol", "ts_utc"], kind="stable")["close"].to_numpy(dtype=np.float64)
    scale = as_traded / result["close"].to_numpy(dtype=np.float64)
    priced = [name for name in names if parse(name).units == SCALES_WITH_PRICE]
    return result.assign(close=as_traded, **{name: result[name].to_numpy(dtype=np.float64) * scale for name in priced})
