"""Tables of the portfolio stage."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from trading_platform.schemas.base import Table, UTCStamp


class Positions(Table):
    """Holdings at the broker beside what the ledger's fills add up to. Key: account, symbol."""

    account: Series[str] = pa.Field(description="Account")
    symbol: Series[str] = pa.Field(description="Ticker")
    quantity: Series[float] = pa.Field(description="Signed holding at the broker, shares or coins")
    ledger_quantity: Series[float] = pa.Field(description="Signed sum of the fills in the ledger")
    average_price_usd: Series[float] = pa.Field(ge=0, description="Average cost at the broker")
    last_price_usd: Series[float] = pa.Field(nullable=True, gt=0, description="Last price")
    market_value_usd: Series[float] = pa.Field(nullable=True, description="Signed quantity times last price")
    unrealized_pnl_usd: Series[float] = pa.Field(nullable=True, description="Market value less cost")
    ts_utc: Series[UTCStamp] = pa.Field(description="When it was read")

    class Config:
        unique = ["account", "symbol"]  # noqa: RUF012 - Pandera reads a plain class


class Performance(Table):
    """The account's equity over time, one row per reading. Key: account, ts_utc."""

    account: Series[str] = pa.Field(description="Account")
    ts_utc: Series[UTCStamp] = pa.Field(description="When it was read")
    equity_usd: Series[float] = pa.Field(description="Net liquidation value")
    cash_usd: Series[float] = pa.Field(description="Cash")
    gross_exposure_usd: Series[float] = pa.Field(ge=0, description="Sum of absolute position values")
    drawdown_pct: Series[float] = pa.Field(
        le=0, description="Fall below the highest time-weighted value so far, percent"
    )
    net_exposure_usd: Series[float] = pa.Field(description="Signed value of all holdings: equity less cash")
    cash_from_fills_usd: Series[float] = pa.Field(
        description="Cash that the first reading and the fills since come to, commissions paid"
    )
    external_flow_usd: Series[float] = pa.Field(
        description="Cash that came (or went) since the reading before and no fill explains: deposit, dividend, …"
    )
    growth_of_1_usd: Series[float] = pa.Field(gt=0, description="Value of 1 USD of the first reading, time-weighted")

    class Config:
        unique = ["account", "ts_utc"]  # noqa: RUF012 - Pandera reads a plain class
