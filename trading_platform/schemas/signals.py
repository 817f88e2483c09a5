"""Table of the signals stage."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from trading_platform.schemas.base import SESSION_PATTERN, Table, UTCStamp


class Signals(Table):
    """What a strategy wants to hold. Key: symbol, tick_utc."""

    strategy: Series[str] = pa.Field(description="Strategy name")  # type: ignore[assignment]  # hides a helper for hypothesis
    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    tick_utc: Series[UTCStamp] = pa.Field(description="The tick decided at; daily strategies: the session's open")
    as_of_utc: Series[UTCStamp] = pa.Field(description="Nothing after this moment was seen")
    side: Series[str] = pa.Field(isin=["LONG", "SHORT", "FLAT"], description="Direction of the wanted holding")
    target_weight: Series[float] = pa.Field(
        ge=-1, le=1, description="Wanted holding as a fraction of the strategy's capital"
    )
    confidence: Series[float] = pa.Field(ge=0, le=1, description="How sure the strategy is, 0 to 1")
    price: Series[float] = pa.Field(gt=0, lt=1e9, description="Last close the strategy saw, USD")
    reason: Series[str] = pa.Field(description="Why, in words")
    volatility: Series[float] = pa.Field(
        nullable=True, ge=0, description="Volatility that sizing reads, fraction per bar; null where it reads none"
    )
    atr: Series[float] = pa.Field(
        nullable=True, ge=0, description="Average true range that sizing reads, USD; null where it reads none"
    )

    class Config:
        unique = ["symbol", "tick_utc"]  # noqa: RUF012 - Pandera reads a plain class
