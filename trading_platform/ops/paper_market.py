"""The paper market as a backtest sees it: in memory, without a gateway. The gateway's replay shows the same prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from trading_platform.brokers.ibkr.translate import to_price
from trading_platform.domain.backtest.market import Minute
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.market_data.bars import session_labels
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.orders.model import Quote
from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market import Market, choose_anchor, load_market_data
from trading_platform.paper_gateway.model import Bar, Contract
from trading_platform.paper_gateway.prices import exact

UTC = timezone.utc
PRICES = ("open", "high", "low", "close", "volume")
_QUOTES_AT_HAND = 4096


class PaperMarket:
    """A :class:`~trading_platform.domain.backtest.market.Market` over the bundled bars and those of a directory.

    ``start`` (tz-aware) is where the history begins: with the same data and seed, a paper gateway that is started at
    that moment serves the same market.

    Raises:
        DatasetError: the directory or a file in it is not what it should be.
    """

    def __init__(
        self, instruments: Mapping[str, Instrument], *, data_dir: Path | None, seed: int, start: datetime
    ) -> None:
        self._market = Market(load_market_data(data_dir), seed, choose_anchor(start), start)
        self._book = ContractBook(self._market)
        self._instruments = instruments
        self._contracts: dict[str, Contract | None] = {}
        self._details: dict[str, InstrumentDetails | None] = {}
        self._quote = lru_cache(maxsize=_QUOTES_AT_HAND)(self._make_quote)

    def bars(self, feed: Feed, sessions: Sequence[date], now: datetime) -> pd.DataFrame:
        """See the protocol."""
        calendar = get_calendar(feed.calendar)
        first = calendar.open_of(sessions[0])
        if feed.is_daily:
            first = datetime.combine(sessions[0], time(), UTC)
        end = max(calendar.close_of(sessions[-1]), first + timedelta(microseconds=1))
        symbols: list[str] = []
        bars: list[Bar] = []
        for symbol in feed.symbols:
            contract = self._contract(symbol)
            if contract is not None:
                found = self._market.bars(contract, feed.bar_size, first, end, now)
                symbols += [symbol] * len(found)
                bars += found
        seconds = np.array([int(bar.ts_utc.timestamp()) for bar in bars], dtype=np.int64)
        stamps = pd.DatetimeIndex(seconds.astype("datetime64[s]").astype("datetime64[ns]"), tz=UTC)
        values = {name: np.array([getattr(bar, name) for bar in bars], dtype=np.float64) for name in PRICES}
        frame = pd.DataFrame({"symbol": pd.array(symbols, dtype=object), "ts_utc": stamps, **values})
        if len(sessions) == 1:
            return frame.assign(session=sessions[0].isoformat())
        frame["session"] = session_labels(frame["ts_utc"], feed.bar_size, calendar)
        return frame[frame["session"].isin({session.isoformat() for session in sessions})]

    def quote(self, symbol: str, moment: datetime) -> Quote | None:
        """See the protocol."""
        return self._quote(symbol, moment)

    def details(self, symbol: str) -> InstrumentDetails | None:
        """See the protocol."""
        if symbol not in self._details:
            contract = self._contract(symbol)
            self._details[symbol] = None if contract is None else self._describe(self._instruments[symbol], contract)
        return self._details[symbol]

    def minute(self, symbol: str, start: datetime) -> Minute | None:
        """See the protocol."""
        contract = self._contract(symbol)
        bar = None if contract is None else self._market.minute_bar(contract, start)
        if bar is None or contract is None:
            return None
        return Minute(exact(bar.high), exact(bar.low), self._market.minute_volume(contract, start))

    def origin_of(self, symbol: str) -> str:
        """The sentence that says where the symbol's prices come from."""
        contract = self._contract(symbol)
        return self._market.origin_of(symbol if contract is None else contract.listed_as)

    def _make_quote(self, symbol: str, moment: datetime) -> Quote | None:
        contract = self._contract(symbol)
        top = None if contract is None else self._market.top_of_book(contract, moment)
        if top is None or contract is None:
            return None
        is_open = self._market.is_open(contract, moment)
        return Quote(
            symbol=symbol,
            bid=_as_read(top.bid) if is_open else None,
            ask=_as_read(top.ask) if is_open else None,
            last=_as_read(top.last),
            ts_utc=top.ts_utc.replace(microsecond=0),
        )

    def _contract(self, symbol: str) -> Contract | None:
        if symbol not in self._contracts:
            instrument = self._instruments.get(symbol)
            ticker = None if instrument is None else instrument.broker_symbol
            found = (
                self._book.find(symbol=ticker, security_type=instrument.security_type, currency=instrument.currency)
                if instrument is not None and ticker is not None
                else []
            )
            self._contracts[symbol] = found[0] if len(found) == 1 else None
        return self._contracts[symbol]

    @staticmethod
    def _describe(instrument: Instrument, contract: Contract) -> InstrumentDetails:
        lot = contract.size_increment
        return InstrumentDetails(
            instrument=instrument,
            con_id=contract.con_id,
            local_symbol=contract.local_symbol,
            trading_class=contract.trading_class,
            long_name=contract.long_name,
            min_tick=contract.min_tick,
            lot_size=max(lot, Decimal(1)) if instrument.security_type == "STK" else lot,
            time_zone=contract.time_zone,
            industry="",
            category="",
            data_origin=contract.data_origin,
        )


def _as_read(price: Decimal) -> Decimal | None:
    """The price as a client reads it off the wire: the same number, and written the same in risk's reasons."""
    return to_price(float(price))
