"""Intraday trend and momentum on bars of some minutes: go with the trend while it has momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trading_platform.domain.signals.latest import latest_rows, logistic, require
from trading_platform.domain.signals.model import Signal

if TYPE_CHECKING:
    import pandas as pd


SAME = 1e-9
"""Averages that are this near to each other, as a fraction, are the same."""


@dataclass(frozen=True)
class TrendMomentum:
    """Long while the fast EMA is above the slow one and the RSI says that buyers lead, but are not exhausted.

    Long: fast EMA above slow EMA, ``rsi_floor`` ≤ RSI ≤ ``rsi_ceiling``. Short, only with ``allow_short``: the
    mirror image, fast below slow and the RSI between 100 − ``rsi_ceiling`` and 100 − ``rsi_floor``. Otherwise
    flat. ``weight`` is the fraction of the strategy's capital at full size. Confidence grows with the distance
    of the averages, measured in average true ranges.
    """

    fast: int = 12
    slow: int = 26
    rsi_period: int = 14
    rsi_floor: float = 50.0
    rsi_ceiling: float = 80.0
    atr_period: int = 14
    weight: float = 1.0
    allow_short: bool = False

    def __post_init__(self) -> None:
        require(self.fast >= 2, f"fast must be at least 2, but is {self.fast}")
        require(self.slow > self.fast, f"slow ({self.slow}) must be longer than fast ({self.fast})")
        require(self.rsi_period >= 2, f"rsi_period must be at least 2, but is {self.rsi_period}")
        require(self.atr_period >= 2, f"atr_period must be at least 2, but is {self.atr_period}")
        require(
            50 <= self.rsi_floor < self.rsi_ceiling <= 100,
            f"50 ≤ rsi_floor < rsi_ceiling ≤ 100 must hold, but they are {self.rsi_floor} and {self.rsi_ceiling}",
        )
        require(0 < self.weight <= 1, f"weight must be above 0 and at most 1, but is {self.weight}")

    @property
    def features(self) -> Sequence[str]:
        return (f"ema_{self.fast}", f"ema_{self.slow}", f"rsi_{self.rsi_period}", f"atr_{self.atr_period}")

    def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
        return [self._decide(row) for row in latest_rows(features, self.features, as_of)]

    def _decide(self, row: dict[str, Any]) -> Signal:
        fast, slow = row[f"ema_{self.fast}"], row[f"ema_{self.slow}"]
        rsi = row[f"rsi_{self.rsi_period}"]
        # averages of a price that stands still differ in their last digits: that is no trend
        distance = fast - slow if abs(fast - slow) > SAME * slow else 0.0
        spread = distance / max(row[f"atr_{self.atr_period}"], SAME * slow)
        seen = f"EMA {self.fast} {'above' if distance > 0 else 'not above'} EMA {self.slow}, RSI {rsi:.0f}"
        if distance > 0 and self.rsi_floor <= rsi <= self.rsi_ceiling:
            return Signal(row["symbol"], "LONG", self.weight, logistic(spread), row["close"], f"up-trend: {seen}")
        if self.allow_short and distance < 0 and self.rsi_floor <= 100 - rsi <= self.rsi_ceiling:
            return Signal(row["symbol"], "SHORT", -self.weight, logistic(-spread), row["close"], f"down-trend: {seen}")
        return Signal(row["symbol"], "FLAT", 0.0, logistic(-abs(spread)) * 2, row["close"], f"no trade: {seen}")


STRATEGY = TrendMomentum
