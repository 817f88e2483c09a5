"""The numbers that sizing reads beside a signal, taken from the bar that the decision rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import SizingSpec

if TYPE_CHECKING:
    import pandas as pd


def with_sizing_inputs(
    signals: Sequence[Signal], sizing: SizingSpec, features: pd.DataFrame, *, as_of: datetime
) -> list[Signal]:
    """The signals, each with the volatility or range that the sizing method reads.

    The value is that of the symbol's newest bar, if this is also the newest bar of all symbols: the row a strategy
    decides on (``latest.latest_rows``). An older one, a missing one or one still warming up leaves ``None``, and
    sizing refuses the symbol with that reason.

    Args:
        features: as the strategy sees them; must have a column for each of ``sizing.features``.
        as_of: tz-aware UTC; bars that start at it or later are not seen.

    Raises:
        KeyError: the features lack a column that the method reads.
    """
    if not sizing.features:
        return list(signals)
    (name,) = sizing.features
    known = features.loc[features["ts_utc"] < as_of, ["symbol", "ts_utc", name]]
    newest = known[known["ts_utc"] == known["ts_utc"].max()]
    values = {str(symbol): float(value) for symbol, value in zip(newest["symbol"], newest[name], strict=True)}
    if sizing.method == "volatility_target":
        return [replace(signal, volatility=_finite(values.get(signal.symbol))) for signal in signals]
    return [replace(signal, atr=_finite(values.get(signal.symbol))) for signal in signals]


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
