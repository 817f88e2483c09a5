"""A strategy that reads the usual indicators and holds nothing: what the benchmarks' feed computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.domain.signals.model import Signal


@dataclass(frozen=True)
class ManyFeatures:
    """Seventeen features."""

    @property
    def features(self) -> Sequence[str]:
        """Trend, momentum, volatility, volume, and one rank across the symbols."""
        return (
            "return_1",
            "return_63",
            "log_return_1",
            "gap",
            "sma_20",
            "ema_12",
            "rsi_14",
            "atr_14",
            "volatility_20",
            "zscore_20",
            "macd_12_26_9",
            "macd_signal_12_26_9",
            "bollinger_upper_20_2",
            "bollinger_lower_20_2",
            "drawdown_63",
            "volume_ratio_20",
            "rank_return_63",
        )

    def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
        """Nothing."""
        return []


STRATEGY = ManyFeatures
