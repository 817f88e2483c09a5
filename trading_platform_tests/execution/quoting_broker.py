"""The recording broker with a market: quotes, instrument details and money, each of which a test can take away."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError, UnknownInstrumentError
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import AccountSummary, Quote
from trading_platform_tests.domain.orders.builders import details
from trading_platform_tests.execution.recording_broker import PRICE, RecordingBroker
from trading_platform_tests.storage.ledger.builders import NOW


class QuotingBroker(RecordingBroker):
    """Every symbol is quoted at 170.50, a moment ago. ``mute`` and ``unknown`` name symbols that are not."""

    def __init__(self, books: Path, *, now: datetime = NOW, fills: bool = False) -> None:
        super().__init__(books, fills=fills)
        self.now = now
        self.mute: set[str] = set()
        self.unknown: set[str] = set()
        self.is_lost = False
        self.equity = Decimal(1_000_000)

    def quote(self, instrument: Instrument) -> Quote:
        if self.is_lost:
            msg = "the connection is lost"
            raise BrokerConnectionError(msg)
        if instrument.symbol in self.mute:
            msg = f"no quote of {instrument.symbol}"
            raise BrokerTimeoutError(msg)
        return Quote(instrument.symbol, PRICE, PRICE, PRICE, self.now)

    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        if instrument.symbol in self.unknown:
            msg = f"{instrument.symbol} is unknown"
            raise UnknownInstrumentError(msg)
        return details(instrument.symbol)

    def account_summary(self) -> AccountSummary:
        return AccountSummary(
            self.account, "USD", self.equity, self.equity, Decimal(0), self.equity, self.equity * 4, self.now
        )
