"""Validation of a whole feed: each instrument by the rules of its security type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pandas as pd

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument, SecurityType
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.market_data.validation.model import BarDecision, Validation
from trading_platform.domain.market_data.validation.series import Splits
from trading_platform.domain.market_data.validation.validate import validate_bars

CONTEXT_SESSIONS = {True: 5, False: 1}
"""Sessions before that lend daily bars, and shorter ones, their neighbours."""


def validate_feed(
    raw: pd.DataFrame,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    quality: DataQuality,
    *,
    as_of: datetime,
    context: pd.DataFrame | None = None,
    splits: Splits | None = None,
    stored: pd.DataFrame | None = None,
    decisions: Sequence[BarDecision] = (),
) -> Validation:
    """:func:`validate_bars` for a feed. Rows of symbols that nobody knows are judged as stocks."""
    kinds: dict[str, SecurityType] = {symbol: one.security_type for symbol, one in instruments.items()}
    types = raw["symbol"].map(kinds).fillna("STK") if set(kinds.values()) != {"STK"} else None
    listings = {symbol: one.tickers for symbol, one in instruments.items() if one.tickers}
    present: list[SecurityType] = sorted(types.unique()) if types is not None and len(raw) else ["STK"]

    def judged(part: pd.DataFrame, security_type: SecurityType) -> Validation:
        return validate_bars(
            part,
            bar_size=feed.bar_size,
            calendar=get_calendar(feed.calendar),
            as_of=as_of,
            rules=quality.rules_for(feed.bar_size, security_type=security_type, feed=feed.name),
            context=context[context["symbol"].isin(part["symbol"].unique())] if context is not None else None,
            splits=splits,
            stored=stored,
            decisions=decisions,
            listings=listings,
        )

    if len(present) == 1 or types is None:
        return judged(raw, present[0])
    return merged([judged(raw[types == kind].reset_index(drop=True), kind) for kind in present])


def merged(parts: Sequence[Validation]) -> Validation:
    """Several outcomes as one; there must be one at least."""
    by = ["symbol", "ts_utc"]
    return Validation(
        pd.concat([part.valid for part in parts]).sort_values(by, kind="stable", ignore_index=True),
        pd.concat([part.log for part in parts]).sort_values(by, kind="stable", ignore_index=True),
        sum(part.removed for part in parts),
        sum(part.reordered for part in parts),
    )
