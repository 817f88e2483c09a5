"""Features over splits and dividends: each value as someone would compute it who stands at its bar.

At a bar of session *s* the bars before it are adjusted for the actions that went ex by *s*. Computing anew for each
session is not needed: standing later scales all of the past by one number, per symbol, for prices and for volumes. So
everything is computed once, on bars adjusted as of the last session, and a value that scales with price or volume is
brought back to its own session's scale. Ratios, ranks and oscillators have no scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.registry import parse
from trading_platform.domain.market_data.corporate_actions import CorporateAction, row_factors, with_factors

SCALES_WITH_PRICE, SCALES_WITH_VOLUME = "price", "shares or coins"
"""Units of features whose value doubles when all prices, or all volumes, double."""


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
    factors = row_factors(bars, actions, as_of=as_of)
    if factors is None:
        return compute_features(bars, names)
    result = compute_features(with_factors(bars, factors), names)
    order = bars.reset_index(drop=True).sort_values(["symbol", "ts_utc"], kind="stable").index
    scales = {SCALES_WITH_PRICE: factors.price[order], SCALES_WITH_VOLUME: factors.volume[order]}
    own = {name: scale for name in names if (scale := scales.get(parse(name).units)) is not None}
    back = {name: result[name].to_numpy(dtype=np.float64) / scale for name, scale in own.items()}
    return result.assign(close=bars["close"].to_numpy(dtype=np.float64)[order], **back)
