"""A market made by hand: one price path per symbol, minute by minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd

from trading_platform.domain.backtest.market import Minute
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.orders.model import Quote

OPEN = datetime(2012, 1, 3, 14, 30, tzinfo=timezone.utc)
CLOSE = datetime(2012, 1, 3, 21, 0, tzinfo=timezone.utc)
HALF_SPREAD = Decimal("0.05")


def minute(number: int) -> datetime:
    """The start of the ``number``-th minute of the session."""
    return OPEN + timedelta(minutes=number)


@dataclass
class HandMadeMarket:
    """``lasts``: the price at the start of a minute, by its number; the newest one goes on. ``minutes``: whole minutes
    by number; others trade nothing."""

    lasts: Mapping[int, str]
    minutes: Mapping[int, tuple[str, str, int]] = field(default_factory=dict)
    lot: str = "1"

    def bars(self, feed: Feed, sessions: Sequence[date], now: datetime) -> pd.DataFrame:
        raise NotImplementedError

    def quote(self, symbol: str, moment: datetime) -> Quote | None:
        known = [number for number in self.lasts if minute(number) <= moment]
        if not known:
            return None
        last = Decimal(self.lasts[max(known)])
        is_open = OPEN <= moment < CLOSE
        bid, ask = (last - HALF_SPREAD, last + HALF_SPREAD) if is_open else (None, None)
        return Quote(symbol, bid, ask, last, moment)

    def details(self, symbol: str) -> InstrumentDetails | None:
        instrument = Instrument(symbol)
        return InstrumentDetails(
            instrument, 1, symbol, symbol, symbol, Decimal("0.01"), Decimal(self.lot), "UTC", "", "", "by hand"
        )

    def minute(self, symbol: str, start: datetime) -> Minute | None:
        found = self.minutes.get(int((start - OPEN) / timedelta(minutes=1)))
        if found is None:
            return None
        low, high, volume = found
        return Minute(Decimal(high), Decimal(low), Decimal(volume))
