"""What can be traded: value types for instruments. No prices, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from trading_platform.domain.price_grid import PriceGrid, PriceStep
from trading_platform.domain.tickers import TickerError, TickerSpan

SecurityType = Literal["STK", "CRYPTO", "CASH"]
"""TWS security types in use: stocks and ETFs, crypto-currencies, foreign exchange."""


@dataclass(frozen=True)
class Instrument:
    """One instrument and how to ask the broker for it.

    ``symbol`` is the platform's name for it, which stays whatever its ticker becomes; of foreign exchange the pair,
    such as EUR.USD. ``calendar`` is an ``exchange_calendars`` name ("XNYS"), "24/7" or "FX". ``lot_size`` is the
    smallest quantity step of an order. ``sector`` is what concentration is limited by; empty: unclassified.
    ``bar_sizes`` are those it may be collected in; empty: all.

    ``tickers`` are its names at its exchange with their dates, oldest first; empty: it always had the same one.
    ``ticker`` is the one of the day that matters (:meth:`on`), empty: the symbol. ``con_id`` is IBKR's contract id;
    where it is known it decides whom the broker is asked about, since a ticker may have gone to somebody else.
    """

    symbol: str
    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    calendar: str = "XNYS"
    lot_size: Decimal = Decimal(1)
    sector: str = ""
    bar_sizes: tuple[str, ...] = ()
    ticker: str = ""
    con_id: int | None = None
    tickers: tuple[TickerSpan, ...] = ()

    @property
    def broker_symbol(self) -> str | None:
        """What the broker calls it; ``None``: it has no ticker, or nobody said of which day (:meth:`on`)."""
        if self.ticker or self.tickers:
            return self.ticker or None
        return self.symbol.partition(".")[0] if self.security_type == "CASH" else self.symbol

    def on(self, day: date) -> Instrument:
        """The same instrument under its ticker of ``day``."""
        return replace(self, ticker=self.ticker_on(day) or "") if self.tickers else self

    def since(self, day: date) -> Instrument:
        """The same instrument under the first ticker that it has on ``day`` or later.

        So the paper market calls it that starts on ``day``. At a broker it may be somebody else's until then.
        """
        ticker = next((span.ticker for span in self.tickers if span.end >= day), "")
        return replace(self, ticker=ticker) if self.tickers else self

    def ticker_on(self, session: date) -> str | None:
        """Its ticker in the session; ``None`` where it had none."""
        if not self.tickers:
            return self.ticker or self.symbol
        return next((span.ticker for span in self.tickers if span.holds(session)), None)

    def is_listed(self, session: date) -> bool:
        """Whether it could trade in the session: bars of another one are somebody else's."""
        return self.ticker_on(session) is not None

    @property
    def why_not_tradable(self) -> str:
        """Why no order may be sent for it, whatever a strategy says; empty: nothing speaks against it.

        Risk limits, cash and equity are in USD, and nothing converts.
        """
        if self.security_type == "CASH":
            return "it is foreign exchange, and the account's cash is followed in USD only"
        if self.currency != "USD":
            return f"it is priced in {self.currency}, and risk limits, cash and equity are in USD only"
        return ""


@dataclass(frozen=True, eq=False)
class BrokerNames:
    """From the broker's names to the platform's. Without instruments every name stays as it is.

    ``symbols`` maps ticker, security type and currency to the symbol; ``own`` are all symbols of the platform.
    """

    symbols: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> BrokerNames:
        """The names of ``instruments``, whose tickers are those of the day.

        Raises:
            TickerError: two of them are one and the same at the broker.
        """
        symbols: dict[tuple[str, str, str], str] = {}
        own: set[str] = set()
        for one in instruments:
            own.add(one.symbol)
            if one.broker_symbol is None:
                continue
            key = (one.broker_symbol, one.security_type, one.currency)
            if key in symbols:
                msg = f"{symbols[key]} and {one.symbol} are both {' '.join(key)} at the broker"
                raise TickerError(msg)
            symbols[key] = one.symbol
        return cls(symbols, frozenset(own))

    def symbol_of(self, ticker: str, security_type: str, currency: str) -> str:
        """The platform's symbol of a contract.

        A contract that is no instrument keeps its ticker, unless that is the symbol of an instrument: the option on a
        share is not the share, nor is the company that has its former ticker now.
        """
        known = self.symbols.get((ticker, security_type, currency))
        if known is not None:
            return known
        return f"{ticker}@{security_type}.{currency}" if ticker in self.own else ticker


@dataclass(frozen=True)
class InstrumentDetails:
    """What the broker knows of one instrument.

    ``min_tick`` is in the instrument's currency; ``price_steps`` say how it grows with the price (IBKR's market
    rule), and are empty where the broker told none. ``data_origin`` says where its prices come from:
    "broker" at IBKR; at the paper gateway a sentence such as "real daily bars 2000-03-01..2013-03-01,
    shifted by 3437 sessions" or "synthetic path, seed 7".
    """

    instrument: Instrument
    con_id: int
    local_symbol: str
    trading_class: str
    long_name: str
    min_tick: Decimal
    lot_size: Decimal
    time_zone: str
    industry: str
    category: str
    data_origin: str
    price_steps: tuple[PriceStep, ...] = ()

    @property
    def price_grid(self) -> PriceGrid:
        """The prices an order may name."""
        return PriceGrid(self.price_steps) if self.price_steps else PriceGrid.uniform(self.min_tick)
