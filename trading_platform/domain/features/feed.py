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


def bars_to_see(bars: pd.DataFrame, *, is_daily: bool) -> pd.DataFrame:
    """Without an intraday feed's bar in progress, which would change until it ends; a daily one is the day so far."""
    return bars if is_daily else bars[bars["is_final"]]


def feed_features(
    bars: pd.DataFrame,
    names: Iterable[str],
    sessions: Collection[str],
    *,
    is_daily: bool,
    actions: Sequence[CorporateAction] = (),
) -> pd.DataFrame:
    """Features of ``sessions`` (ISO dates); see :func:`~.compute.compute_features` for the columns.

    Args:
        bars: validated bars of the sessions and of the history before them, with ``is_final``.
        actions: splits and dividends; see :func:`~.adjusted.compute_adjusted_features`.
    """
    as_of = date.fromisoformat(max(sessions))
    computed = compute_adjusted_features(bars_to_see(bars, is_daily=is_daily), names, actions, as_of=as_of)
    return computed[computed["session"].isin(sessions)]
