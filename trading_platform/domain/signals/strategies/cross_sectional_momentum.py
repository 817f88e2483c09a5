"""Cross-sectional momentum on daily bars: hold the strongest of a universe, equally weighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import TYPE_CHECKING

from trading_platform.domain.signals.latest import latest_rows, logistic, require
from trading_platform.domain.signals.model import Signal

if TYPE_CHECKING:
    import pandas as pd

SESSIONS_PER_YEAR = 252


@dataclass(frozen=True)
class CrossSectionalMomentum:
    """Long the ``top_n`` symbols whose price rose most, if it rose more than ``min_momentum``.

    Momentum is the return from ``lookback`` to ``skip`` bars ago; the newest bars are left out because of
    short-term reversal (Jegadeesh and Titman 1993, there 12 months and 1). Each held symbol gets 1 / ``top_n``
    of the capital; what finds no symbol stays cash. With ``target_volatility`` above zero (a fraction per year)
    a weight shrinks in proportion when the symbol is more volatile than that; it never grows.
    """

    lookback: int = 63
    skip: int = 5
    top_n: int = 2
    min_momentum: float = 0.0
    volatility_period: int = 20
    target_volatility: float = 0.0

    def __post_init__(self) -> None:
        require(self.skip >= 0, f"skip must not be negative, but is {self.skip}")
        require(self.lookback > self.skip, f"lookback ({self.lookback}) must be longer than skip ({self.skip})")
        require(self.top_n >= 1, f"top_n must be at least 1, but is {self.top_n}")
        require(self.min_momentum > -1, f"min_momentum must be above -1, but is {self.min_momentum}")
        require(self.volatility_period >= 2, f"volatility_period must be at least 2, but is {self.volatility_period}")
        require(self.target_volatility >= 0, f"target_volatility must not be negative: {self.target_volatility}")

    @property
    def features(self) -> Sequence[str]:
        recent = (f"return_{self.skip}",) if self.skip else ()
        return (f"return_{self.lookback}", *recent, f"volatility_{self.volatility_period}")

    def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
        rows = latest_rows(features, self.features, as_of)
        momentum = {row["symbol"]: self._momentum(row) for row in rows}
        ranking = sorted(momentum, key=lambda symbol: (-momentum[symbol], symbol))
        held = [symbol for symbol in ranking[: self.top_n] if momentum[symbol] > self.min_momentum]
        signals = []
        for row in rows:
            symbol = row["symbol"]
            yearly = row[f"volatility_{self.volatility_period}"] * sqrt(SESSIONS_PER_YEAR)
            expected = max(yearly, 1e-6) * sqrt((self.lookback - self.skip) / SESSIONS_PER_YEAR)
            score = (momentum[symbol] - self.min_momentum) / expected
            place = (
                f"{momentum[symbol]:+.1%} in {self.lookback} sessions, rank {ranking.index(symbol) + 1} of {len(rows)}"
            )
            if symbol in held:
                signals.append(
                    Signal(symbol, "LONG", self._weight(yearly), logistic(score), row["close"], f"momentum {place}")
                )
            else:
                why = "too weak" if symbol in ranking[: self.top_n] else f"not among the top {self.top_n}"
                signals.append(Signal(symbol, "FLAT", 0.0, logistic(-score), row["close"], f"momentum {place}: {why}"))
        return signals

    def _momentum(self, row: dict[str, float]) -> float:
        recent = row[f"return_{self.skip}"] if self.skip else 0.0
        return (1 + row[f"return_{self.lookback}"]) / (1 + recent) - 1

    def _weight(self, yearly_volatility: float) -> float:
        equal = 1 / self.top_n
        if self.target_volatility == 0 or yearly_volatility <= self.target_volatility:
            return equal
        return equal * self.target_volatility / yearly_volatility


STRATEGY = CrossSectionalMomentum
