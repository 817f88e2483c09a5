"""The features of a feed's sessions: all that its strategies read, from the session and its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import pandas as pd

from trading_platform.domain.features.adjusted import compute_adjusted_features
from trading_platform.domain.market_data.corporate_actions import CorporateAction
from trading_platform.domain.signals.loading import features_of, load_strategy
from trading_platform.domain.signals.spec import StrategySpec


def feature_names(specs: Iterable[StrategySpec]) -> list[str]:
    """The features that any of the strategies or its sizing reads, sorted.

    Raises:
        StrategyError: a spec does not fit its strategy, or gives it too little history.
    """
    names: set[str] = set()
    for spec in specs:
        load_strategy(spec)  # refuses too little history
        names.update(features_of(spec))
    return sorted(names)


def feed_features(
    bars: pd.DataFrame,
    names: Iterable[str],
    sessions: Collection[str],
    *,
    is_daily: bool,
    actions: Sequence[CorporateAction] = (),
) -> pd.DataFrame:
    """Features of ``sessions`` (ISO dates); see :func:`~.compute.compute_features` for the columns.

    The bar in progress of an intraday feed is left out, since it would change until it ends; a daily feed's is the
    day so far.

    Args:
        bars: validated bars of the sessions and of the history before them, with ``is_final``.
        actions: splits and dividends; see :func:`~.adjusted.compute_adjusted_features`.
    """
    seen = bars if is_daily else bars[bars["is_final"]]
    as_of = date.fromisoformat(max(sessions))
    computed = compute_adjusted_features(seen, names, actions, as_of=as_of)
    return computed[computed["session"].isin(sessions)]
