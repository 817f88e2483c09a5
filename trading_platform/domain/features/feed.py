"""The features of a feed's sessions: all that its strategies read, from the session and its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.signals.spec import StrategySpec


def feature_names(specs: Iterable[StrategySpec]) -> list[str]:
    """The features that any of the strategies reads, sorted.

    Raises:
        StrategyError: a spec does not fit its strategy, or gives it too little history.
    """
    return sorted({name for spec in specs for name in load_strategy(spec).features})


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
