"""What became of a stretch of history, in the words that replay and backtest share, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from trading_platform.domain.orders.intents import SkippedSignal
from trading_platform.domain.orders.model import Execution, OrderIntent, OrderStatus, RiskDecision
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.ticks import Decision


@dataclass(frozen=True)
class DecidedIntent:
    """One intent with risk's verdict on it when the tick was decided."""

    intent: OrderIntent
    verdict: RiskDecision


@dataclass(frozen=True)
class TickOutcome:
    """One tick: what the strategy wanted, what was to be traded for it, and what risk said.

    ``intents`` are sorted by client order id. ``refused`` holds what the last check before sending kept back, with
    its reasons. ``note`` says in words why nothing was decided; empty when something was.
    """

    strategy: str
    decision: Decision
    signals: tuple[Signal, ...] = ()
    intents: tuple[DecidedIntent, ...] = ()
    skipped: tuple[SkippedSignal, ...] = ()
    refused: Mapping[str, tuple[str, ...]] | None = None
    note: str = ""


@dataclass(frozen=True)
class OrderOutcome:
    """An approved order and its end. Prices in the instrument's currency."""

    intent: OrderIntent
    status: OrderStatus
    filled_quantity: Decimal
    average_price: Decimal | None


@dataclass(frozen=True)
class EquityReading:
    """The account's money at one instant, USD."""

    ts_utc: datetime
    equity_usd: Decimal
    cash_usd: Decimal
    gross_exposure_usd: Decimal


@dataclass(frozen=True)
class Record:
    """All of it. ``fills`` by time; ``readings`` by time, the first at the start; ``notes`` for people."""

    account: str
    first: date
    last: date
    ticks: tuple[TickOutcome, ...]
    orders: tuple[OrderOutcome, ...]
    fills: tuple[Execution, ...]
    readings: tuple[EquityReading, ...]
    positions: Mapping[str, Decimal]
    quarantined_bars: int
    notes: tuple[str, ...]
