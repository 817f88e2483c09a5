"""Tables of the market data stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from trading_platform.schemas.base import SESSION_PATTERN, Table, UTCStamp

# inf passes Pandera's gt(0): bound prices from above too
PRICE: dict[str, Any] = {"gt": 0.0, "lt": 1e9}


class Instruments(Table):
    """What the broker knows of each instrument. Key: symbol."""

    symbol: Series[str] = pa.Field(unique=True, description="Ticker")
    con_id: Series[int] = pa.Field(gt=0, unique=True, description="IBKR contract id")
    security_type: Series[str] = pa.Field(isin=["STK", "CRYPTO", "CASH"], description="TWS security type")
    exchange: Series[str] = pa.Field(description="Where orders are routed")
    primary_exchange: Series[str] = pa.Field(description="Listing exchange; may be empty")
    currency: Series[str] = pa.Field(str_length=3, description="Currency of prices")
    calendar: Series[str] = pa.Field(description="Trading calendar: exchange_calendars code or 24/7")
    min_tick: Series[float] = pa.Field(**PRICE, description="Smallest price step, in the currency")
    lot_size: Series[float] = pa.Field(gt=0, description="Smallest quantity step")
    long_name: Series[str] = pa.Field(description="Name of the company or fund")
    time_zone: Series[str] = pa.Field(description="Time zone of the trading hours")
    data_origin: Series[str] = pa.Field(description="Where prices come from: broker, or what the paper market replays")


class FeedMembers(Table):
    """Symbols that a watch list or a scan added to a feed for one session. Key: symbol, session. Never taken away."""

    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    con_id: Series[int] = pa.Field(gt=0, description="IBKR contract id")
    security_type: Series[str] = pa.Field(isin=["STK", "CRYPTO", "CASH"], description="TWS security type")
    exchange: Series[str] = pa.Field(description="Where orders would be routed")
    primary_exchange: Series[str] = pa.Field(description="Listing exchange; may be empty")
    currency: Series[str] = pa.Field(str_length=3, description="Currency of prices")
    source: Series[str] = pa.Field(description="Which list named it first: watch list <name> or scan <code>")
    why: Series[str] = pa.Field(description="The person's reason, or the scan")
    rank: Series[float] = pa.Field(
        ge=1, nullable=True, description="Rank in the scan when it was first seen, 1 is the best; null: watch list"
    )
    first_seen_utc: Series[UTCStamp] = pa.Field(description="When it became a member, platform clock")
    left_utc: Series[UTCStamp] = pa.Field(
        nullable=True, description="Look that first found it on no list any more; it stays a member; null: on a list"
    )

    class Config:
        unique = ["symbol", "session"]  # noqa: RUF012 - Pandera reads a plain class


class RawBars(Table):
    """Bars as the source sent them. Key: symbol, ts_utc. Any number may be wrong or missing."""

    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    ts_utc: Series[UTCStamp] = pa.Field(description="Start of the bar; daily bars: midnight UTC of the session")
    open: Series[float] = pa.Field(nullable=True, description="First price, in the instrument's currency")
    high: Series[float] = pa.Field(nullable=True, description="Highest price, in the instrument's currency")
    low: Series[float] = pa.Field(nullable=True, description="Lowest price, in the instrument's currency")
    close: Series[float] = pa.Field(nullable=True, description="Last price, in the instrument's currency")
    volume: Series[float] = pa.Field(
        nullable=True, description="Traded quantity, shares or coins; 0 for foreign exchange"
    )
    is_final: Series[bool] = pa.Field(description="Whether the bar had ended when it was received")
    source: Series[str] = pa.Field(description="Who sent it")
    received_at_utc: Series[UTCStamp] = pa.Field(description="When it was received, platform clock")


class ValidatedBars(RawBars):
    """Bars that passed validation. Key: symbol, ts_utc."""

    open: Series[float] = pa.Field(**PRICE, description="First price, in the instrument's currency")
    high: Series[float] = pa.Field(**PRICE, description="Highest price, in the instrument's currency")
    low: Series[float] = pa.Field(**PRICE, description="Lowest price, in the instrument's currency")
    close: Series[float] = pa.Field(**PRICE, description="Last price, in the instrument's currency")
    volume: Series[float] = pa.Field(
        ge=0, lt=1e15, description="Traded quantity, shares or coins; 0 for foreign exchange"
    )

    @pa.dataframe_check(name="high is the highest and low the lowest")
    def _range_holds(cls, frame: pd.DataFrame) -> Any:  # noqa: N805 - Pandera makes it a classmethod
        ends = frame[["open", "close"]].to_numpy()
        return (frame["high"] >= np.max(ends, axis=1)) & (frame["low"] <= np.min(ends, axis=1))

    class Config:
        unique = ["symbol", "ts_utc"]  # noqa: RUF012 - Pandera reads a plain class


class QuarantinedBars(RawBars):
    """What validation found wrong with bars, each with what convicts it. Key: bar_id, reason; doubles share an id.

    Rows ``quarantined`` are in no other table; ``held`` and ``warned`` ones are valid bars too; of the ``repaired``,
    exact duplicates were removed and the others are valid with another stamp.
    """

    bar_id: Series[str] = pa.Field(description="Name of the row, a function of its values; decisions refer to it")
    reason: Series[str] = pa.Field(description="Reason code, e.g. high_below_low")
    detail: Series[str] = pa.Field(description="The numbers that convicted the row")
    action: Series[str] = pa.Field(
        isin=["quarantined", "held", "warned", "repaired"], description="What was done about it"
    )
    is_blocking: Series[bool] = pa.Field(description="Whether the symbol gets no orders in the session for it")


class RevisedBars(Table):
    """What the source said differently of a stored final bar. Key: symbol, ts_utc, kind, noticed_at_utc."""

    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Session of the bar, ISO date")
    ts_utc: Series[UTCStamp] = pa.Field(description="Start of the bar; of a rescaled session, of its first bar")
    kind: Series[str] = pa.Field(
        isin=["revised", "vanished", "appeared", "rescaled"],
        description="revised: other values; vanished, appeared: a bar less, more; rescaled: a session by a factor",
    )
    factor: Series[float] = pa.Field(nullable=True, description="Of a rescaled session: new price over stored price")
    is_explained: Series[bool] = pa.Field(description="Whether known splits explain the factor")
    old_open: Series[float] = pa.Field(nullable=True, description="Stored open, USD")
    old_high: Series[float] = pa.Field(nullable=True, description="Stored high, USD")
    old_low: Series[float] = pa.Field(nullable=True, description="Stored low, USD")
    old_close: Series[float] = pa.Field(nullable=True, description="Stored close, USD")
    old_volume: Series[float] = pa.Field(nullable=True, description="Stored volume")
    new_open: Series[float] = pa.Field(nullable=True, description="Open now, USD")
    new_high: Series[float] = pa.Field(nullable=True, description="High now, USD")
    new_low: Series[float] = pa.Field(nullable=True, description="Low now, USD")
    new_close: Series[float] = pa.Field(nullable=True, description="Close now, USD")
    new_volume: Series[float] = pa.Field(nullable=True, description="Volume now")
    detail: Series[str] = pa.Field(description="The difference in words")
    found_in: Series[str] = pa.Field(
        isin=["tick", "settling", "overlap", "refetch"],
        description="tick, settling: in the run's session; overlap: beside it; refetch: when asked again on purpose",
    )
    old_received_at_utc: Series[UTCStamp] = pa.Field(nullable=True, description="When the stored bar was received")
    noticed_at_utc: Series[UTCStamp] = pa.Field(description="When the source said something else, platform clock")


class UnansweredBars(Table):
    """What the source had no bars for when it was asked last. Key: symbol, session."""

    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Session that was asked for, ISO date")
    kind: Series[str] = pa.Field(
        isin=["unknown", "failed", "no_bars"],
        description="unknown instrument; failed: no answer, or refused; no_bars: an answer without a bar of it",
    )
    reason: Series[str] = pa.Field(description="What the source said")
    attempts: Series[int] = pa.Field(gt=0, description="Times asked in vain")
    asked_at_utc: Series[UTCStamp] = pa.Field(description="When it was asked last, platform clock")

    class Config:
        unique = ["symbol", "session"]  # noqa: RUF012 - Pandera reads a plain class


class CorporateActions(Table):
    """Splits and cash dividends. Key: symbol, ex_session, kind."""

    symbol: Series[str] = pa.Field(description="Ticker")
    ex_session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="First session that trades without it")
    kind: Series[str] = pa.Field(isin=["split", "dividend"], description="split or dividend")
    value: Series[float] = pa.Field(
        **PRICE,
        description="Split: new shares per old. Dividend: cash per share before the ex-session, in the currency",
    )
    source: Series[str] = pa.Field(description="How it was learned")
    first_seen_utc: Series[UTCStamp] = pa.Field(description="When the platform first learned of it, platform clock")
    last_confirmed_utc: Series[UTCStamp] = pa.Field(description="When the source last showed it")

    class Config:
        unique = ["symbol", "ex_session", "kind"]  # noqa: RUF012 - Pandera reads a plain class
