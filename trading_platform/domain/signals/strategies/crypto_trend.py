"""Trend of a market that never closes, on hourly bars: hold what stands high in its recent range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trading_platform.domain.signals.latest import latest_rows, logistic, require
from trading_platform.domain.signals.model import Signal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CryptoTrend:
    """Long while the price is in the upper part of its channel and above its slow average. Never short.

    The channel is the range of the last ``channel`` bars (Donchian): long from ``entry`` on, where 0 is the
    lowest low and 1 the highest high. The weight shrinks in proportion once volatility exceeds
    ``max_volatility``, a fraction per bar. Depends on the newest bar only, so that a decision can be repeated.
    """

    channel: int = 48
    slow: int = 48
    entry: float = 0.6
    volatility_period: int = 24
    max_volatility: float = 0.01

    def __post_init__(self) -> None:
        require(self.channel >= 2, f"channel must be at least 2, but is {self.channel}")
        require(self.slow >= 2, f"slow must be at least 2, but is {self.slow}")
        require(0.5 <= self.entry < 1, f"entry must be at least 0.5 and below 1, but is {self.entry}")
        require(self.volatility_period >= 2, f"volatility_period must be at least 2, but is {self.volatility_period}")
        require(self.max_volatility > 0, f"max_volatility must be above 0, but is {self.max_volatility}")

    @property
    def features(self) -> Sequence[str]:
        return (f"channel_position_{self.channel}", f"ema_{self.slow}", f"volatility_{self.volatility_period}")

    def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
        return [self._decide(row) for row in latest_rows(features, self.features, as_of)]

    def _decide(self, row: dict[str, Any]) -> Signal:
        position = row[f"channel_position_{self.channel}"]
        slow, close = row[f"ema_{self.slow}"], row["close"]
        volatility = row[f"volatility_{self.volatility_period}"]
        relation = "above" if close > slow else "not above"
        seen = f"at {position:.0%} of its {self.channel}-bar range, {relation} EMA {self.slow}"
        certainty = logistic((position - self.entry) * 6)
        if position >= self.entry and close > slow:
            weight = min(1.0, self.max_volatility / volatility) if volatility > 0 else 1.0
            return Signal(row["symbol"], "LONG", weight, certainty, close, f"up-trend: {seen}")
        return Signal(row["symbol"], "FLAT", 0.0, 1 - certainty, close, f"no up-trend: {seen}")


STRATEGY = CryptoTrend
