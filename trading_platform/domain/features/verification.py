"""Whether features depend on the past only, tried on a sample of the very values that go to the strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from trading_platform.domain.features.adjusted import compute_adjusted_features
from trading_platform.domain.features.compute import reference_symbols, warm_up
from trading_platform.domain.features.registry import parse
from trading_platform.domain.market_data.corporate_actions import CorporateAction

SHARE = 0.03
"""At most this fraction of the bars is computed again."""

LEAST_ROWS = 3_000
"""So many bars may always be computed again: a few milliseconds."""

SYMBOLS, TIMES = 3, 3
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Sample:
    """``checked`` values were computed again; ``differing`` lists those that came out otherwise.

    ``skipped``: features across symbols whose universe was too large to compute again.
    """

    checked: int
    skipped: tuple[str, ...]
    differing: list[dict[str, str | float]]


def verify_sample(
    bars: pd.DataFrame, features: pd.DataFrame, names: Sequence[str], actions: Sequence[CorporateAction] = ()
) -> Sample:
    """Compute some of ``features`` again, from the bars up to their time and no older ones than they need.

    Three times and three symbols, spread evenly, so far as :data:`SHARE` of the bars allows; features across symbols
    for the newest of these times, if all symbols' bars are few enough.

    Args:
        bars: what ``compute_features`` was given, in any order.
        features: rows of what it returned.
        names: the columns to look at.
        actions: the splits and dividends that were taken out; at each time only those known then count.

    Raises:
        UnknownFeatureError: a name is not in the registry.
    """
    if features.empty or not names:
        return Sample(0, (), [])
    own = [name for name in names if not parse(name).cross_section]
    compared = [name for name in names if parse(name).cross_section]
    all_symbols = sorted(features["symbol"].unique())
    rows = max(SHARE * len(bars), LEAST_ROWS)
    moments = _spread(sorted(features["ts_utc"].unique()), TIMES)
    chosen = _spread(all_symbols, max(1, min(SYMBOLS, int(rows / len(moments) / warm_up(names)))))
    few = bars[bars["symbol"].isin({*chosen, *reference_symbols(names)})]
    checked = 0
    differing: list[dict[str, str | float]] = []
    for moment in moments:
        checked += _compare(_known_at(few, moment, warm_up(own)), features, moment, chosen, own, actions, differing)
    if compared and len(all_symbols) * warm_up(compared) <= rows:
        known = _known_at(bars, moments[-1], warm_up(compared))
        checked += _compare(known, features, moments[-1], all_symbols, compared, actions, differing)
        compared = []
    return Sample(checked, tuple(compared), differing)


def _spread(values: Sequence[object], count: int) -> list[object]:
    """The last of ``values`` and others at even distances before it, ``count`` in all."""
    places = {round(place) for place in np.linspace(len(values) - 1, 0, min(count, len(values)))}
    return [values[place] for place in sorted(places)]


def _known_at(bars: pd.DataFrame, moment: object, rows: int) -> pd.DataFrame:
    """What was known at ``moment``: each symbol's newest ``rows`` bars, from the session before them on."""
    past = bars[bars["ts_utc"] <= moment]
    sessions = sorted(past["session"].unique())
    count, recent = 2, past
    while count < len(sessions):
        recent = past[past["session"] >= sessions[-count]]
        if recent.groupby("symbol").size().reindex(past["symbol"].unique(), fill_value=0).min() >= rows:
            break
        count, recent = 2 * count, past
    first = recent.sort_values("ts_utc").groupby("symbol").tail(rows)["session"].min()
    result: pd.DataFrame = past[past["session"] >= sessions[max(sessions.index(first) - 1, 0)]]
    return result


def _compare(
    known: pd.DataFrame,
    features: pd.DataFrame,
    moment: object,
    symbols: Sequence[object],
    names: Sequence[str],
    actions: Sequence[CorporateAction],
    differing: list[dict[str, str | float]],
) -> int:
    """Append to ``differing`` where features of ``symbols`` at ``moment`` differ; return how many were looked at."""
    as_of = date.fromisoformat(max(known["session"]))
    again = compute_adjusted_features(known, names, actions, as_of=as_of)
    again = again[(again["ts_utc"] == moment) & again["symbol"].isin(symbols)].set_index("symbol")
    given = features[(features["ts_utc"] == moment) & features["symbol"].isin(symbols)].set_index("symbol")
    for name in names:
        then, now = again[name].reindex(given.index).to_numpy(), given[name].to_numpy()
        size = np.maximum(np.abs(now), given["close"].to_numpy() if parse(name).units == "price" else 1.0)
        is_same = (np.abs(then - now) <= TOLERANCE * size) | (np.isnan(then) & np.isnan(now))
        differing.extend(
            {
                "symbol": str(given.index[place]),
                "ts_utc": str(moment),
                "feature": name,
                "value": float(now[place]),
                "from_the_past_only": float(then[place]),
            }
            for place in np.flatnonzero(~is_same).tolist()
        )
    return len(given) * len(names)
