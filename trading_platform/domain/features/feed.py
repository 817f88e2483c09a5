"""The features of a feed's sessions: all that its strategies read, from the session and its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.signals.model import Strategy


def feature_names(strategies: Iterable[Strategy]) -> list[str]:
    """The features that any of the strategies reads, sorted."""
    return sorted({name for strategy in strategies for name in strategy.features})


def feed_features(
    bars: pd.DataFrame, names: Iterable[str], sessions: Collection[str], *, is_daily: bool
) -> pd.DataFrame:
    """Features of ``sessions`` (ISO dates); see :func:`~.compute.compute_features` for the columns.

    The bar in progress of an intraday feed is left out, since it would change until it ends; a daily feed's is the
    day so far.

    Args:
        bars: validated bars of the sessions and of the history before them, with ``is_final``.
    """
    seen = bars if is_daily else bars[bars["is_final"]]
    computed = compute_features(seen, names)
    return computed[computed["session"].isin(sessions)]
