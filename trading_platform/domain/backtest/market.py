"""What a backtest must be told of the market. Implementations live outside: ``ops/paper_market.py`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.orders.model import Quote

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Minute:
    """The trades of one whole minute: its extremes in the instrument's currency, its volume in units."""

    high: Decimal
    low: Decimal
    volume: Decimal


class Market(Protocol):
    """Market data as they were known at a moment. All moments are tz-aware UTC.

    Nothing returned for a moment may depend on what came after it, but :meth:`minute`, which is asked about a minute
    only when it is over, or for the volume that an order at its start can take part in.
    """

    def bars(self, feed: Feed, sessions: Sequence[date], now: datetime) -> pd.DataFrame:
        """Raw bars of the feed's symbols in ``sessions`` that had started by ``now``, as a broker would send them.

        Columns ``symbol, session`` (ISO date) ``, ts_utc`` (the bar's start) ``, open, high, low, close, volume``.
        The bar in progress holds what had traded by ``now``. Once a bar is complete it never changes.
        """
        ...

    def quote(self, symbol: str, moment: datetime) -> Quote | None:
        """The top of the book; without bid and ask while the market is closed; ``None`` without any price."""
        ...

    def details(self, symbol: str) -> InstrumentDetails | None:
        """Tick and lot of the instrument, ``None`` if the market does not know it."""
        ...

    def minute(self, symbol: str, start: datetime) -> Minute | None:
        """The whole minute that begins at ``start``, ``None`` when nothing traded in it."""
        ...
