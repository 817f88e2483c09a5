"""What can be traded: value types for instruments. No prices, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from trading_platform.domain.price_grid import PriceGrid, PriceStep

SecurityType = Literal["STK", "CRYPTO", "CASH"]
"""TWS security types in use: stocks and ETFs, crypto-currencies, foreign exchange."""


@dataclass(frozen=True)
class Instrument:
    """How to ask the broker for one instrument.

    ``calendar`` is an ``exchange_calendars`` name ("XNYS") or "24/7". ``lot_size`` is the smallest
    quantity step of an order. ``sector`` is what concentration is limited by; empty: unclassified.
    """

    symbol: str
    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    calendar: str = "XNYS"
    lot_size: Decimal = Decimal(1)
    sector: str = ""


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
