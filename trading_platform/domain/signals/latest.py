"""What strategies see of a frame of features at a moment. Shared by the strategies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import exp, isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def latest_rows(features: pd.DataFrame, names: Sequence[str], as_of: datetime) -> list[dict[str, Any]]:
    """The newest row of every symbol that is up to date and warm at ``as_of``, sorted by symbol.

    A bar counts when it started before ``as_of``. A symbol whose newest bar is older than that of the others
    is left out, for a decision on it would rest on another time; so is one with a missing value in ``names``.

    Args:
        features: columns ``symbol, ts_utc, close`` and ``names``, in any order.
        names: the features that must have values.
        as_of: tz-aware.
    """
    known = features[features["ts_utc"] < as_of]
    if known.empty:
        return []
    newest = known[known["ts_utc"] == known["ts_utc"].max()].sort_values("symbol")
    rows: list[dict[str, Any]] = newest.to_dict("records")
    return [row for row in rows if all(isfinite(row[name]) for name in ["close", *names])]


def logistic(score: float) -> float:
    """A score as a confidence: 0.5 at 0, 0.73 at 1, 0.95 at 3; never outside 0 … 1."""
    bounded = min(max(score, -50.0), 50.0)
    return 1 / (1 + exp(-bounded))


def require(is_met: bool, rule: str) -> None:
    """Refuse senseless parameters.

    Raises:
        ValueError: with ``rule``, a sentence that says what must hold.
    """
    if not is_met:
        raise ValueError(rule)
