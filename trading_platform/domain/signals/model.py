"""Signals as values, and what a strategy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pandas as pd

SignalSide = Literal["LONG", "SHORT", "FLAT"]


@dataclass(frozen=True)
class Signal:
    """What a strategy wants to hold of one instrument.

    ``target_weight`` is the wanted holding as a fraction of the strategy's capital, negative when short
    (−1 … 1); ``confidence`` is 0 … 1; ``price`` the last close the strategy saw; ``reason`` a short
    sentence a trader understands. Strategies leave the rest alone: it is what sizing reads at the same bar, added by
    ``sizing_inputs``. ``volatility`` is a fraction per bar, ``atr`` in the instrument's currency; ``None`` where the
    method reads no such number, or there is none.
    """

    symbol: str
    side: SignalSide
    target_weight: float
    confidence: float
    price: float
    reason: str
    volatility: float | None = None
    atr: float | None = None


class Strategy(Protocol):
    """One small pure class: features in, signals out.

    A strategy is constructed with its spec's ``parameters`` as keyword arguments and refuses unknown or
    senseless ones with a clear ``ValueError``.
    """

    @property
    def features(self) -> Sequence[str]:
        """Names of the features it reads, in the registry's notation, e.g. ``return_63``, ``ema_12``."""
        ...

    def signals(self, features: pd.DataFrame, *, as_of: datetime) -> list[Signal]:
        """Decide at ``as_of`` (tz-aware UTC).

        Args:
            features: columns ``symbol, session, ts_utc, close`` and one per name in :attr:`features`; rows of
                all symbols up to ``as_of``, sorted by symbol and time. Warm-up values are NaN.
            as_of: the moment of the decision; rows after it must not matter.

        Returns:
            At most one signal per symbol. A symbol with too little history gets none.
        """
        ...


StrategyParameters = Mapping[str, float | int | str | bool]
