"""Table of the features stage."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from trading_platform.schemas.base import SESSION_PATTERN, Table, UTCStamp


class Features(Table):
    """Indicators per bar. Key: symbol, ts_utc. One float column more for each feature of the feed's strategies."""

    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    ts_utc: Series[UTCStamp] = pa.Field(description="Start of the bar")
    close: Series[float] = pa.Field(gt=0, lt=1e9, description="Last price of the bar, in the instrument's currency")

    class Config:
        strict = False
        unique = ["symbol", "ts_utc"]  # noqa: RUF012 - Pandera reads a plain class
