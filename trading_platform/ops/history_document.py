"""What a replay or a backtest came to, as one document: the summary on screen and ``--json`` say the same.

The keys are documented in docs/replay.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from trading_platform.domain.backtest.record import Record
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.portfolio.accounting import book_from_fills
from trading_platform.domain.portfolio.performance import (
    DAYS_PER_YEAR,
    SESSIONS_PER_YEAR,
    curve_figures,
    slippage_bps,
    trade_figures,
)
from trading_platform.ops.history_request import HistoryRequest

UNFINISHED = {
    OrderStatus.SUBMITTING: "may or may not have been sent",
    OrderStatus.UNKNOWN: "was sent and its fate is not known",
    OrderStatus.BROKER_REJECTED: "was refused by the paper market",
}


@dataclass
class HistoryDocument:
    """The document. Prices and amounts are USD, times ISO 8601 in UTC; ``failures`` empty means exit status 0."""

    command: str
    strategies: list[str]
    first_session: str
    last_session: str
    account: str
    seconds: float
    ticks: int
    ticks_per_second: float
    decided_ticks: int
    prices: dict[str, str]
    quarantined_bars: int
    intents: int
    rejections: dict[str, int] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)
    equity: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float | int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def is_success(self) -> bool:
        """Whether everything that should have happened did."""
        return not self.failures

    def to_json(self) -> str:
        """The document as JSON without NaN."""
        return json.dumps({**self.__dict__, "success": self.is_success}, indent=2, allow_nan=False, default=str)


def document_of(
    command: str, request: HistoryRequest, record: Record, *, seconds: float, prices: Mapping[str, str]
) -> HistoryDocument:
    """Put a record into figures and rows.

    Args:
        command: "replay" or "backtest".
        request: what was asked for.
        record: what came of it.
        seconds: how long the stepping took.
        prices: by symbol, where its prices come from.
    """
    intents = [one for tick in record.ticks for one in tick.intents]
    days = _daily_equity(record)
    is_exchange = any(not get_calendar(spec.calendar).is_always_open for spec in request.specs)
    figures = {
        **asdict(curve_figures(days, SESSIONS_PER_YEAR if is_exchange else DAYS_PER_YEAR)),
        **asdict(trade_figures(book_from_fills(record.fills), days)),
    }
    idle = Counter(tick.note for tick in record.ticks if tick.note)
    return HistoryDocument(
        command=command,
        strategies=[spec.name for spec in request.specs],
        first_session=record.first.isoformat(),
        last_session=record.last.isoformat(),
        account=record.account,
        seconds=round(seconds, 3),
        ticks=len(record.ticks),
        ticks_per_second=round(len(record.ticks) / seconds, 1) if seconds > 0 else 0.0,
        decided_ticks=sum(not tick.note for tick in record.ticks),
        prices=dict(prices),
        quarantined_bars=record.quarantined_bars,
        intents=len(intents),
        rejections=_rejections(record),
        orders=_orders(record),
        fills=_fills(record),
        positions=[{"symbol": symbol, "quantity": float(held)} for symbol, held in record.positions.items()],
        equity=[
            {
                "ts": reading.ts_utc.isoformat(),
                "equity": float(reading.equity_usd),
                "cash": float(reading.cash_usd),
                "gross_exposure": float(reading.gross_exposure_usd),
            }
            for reading in record.readings
        ],
        figures={name: value for name, value in figures.items() if value is not None},
        notes=[*record.notes, *(f"{count} ticks decided nothing: {note}" for note, count in idle.most_common())],
        failures=[
            f"order {order.intent.client_order_id} {UNFINISHED[order.status]}"
            for order in record.orders
            if order.status in UNFINISHED
        ],
    )


def _daily_equity(record: Record) -> list[float]:
    """The account at the start, and at the last reading of each UTC day."""
    days = {reading.ts_utc.date(): float(reading.equity_usd) for reading in record.readings}
    return [float(reading.equity_usd) for reading in record.readings[:1]] + list(days.values())


def _rejections(record: Record) -> dict[str, int]:
    """How often each control said no, when deciding or right before sending; the most frequent first."""
    refused: Sequence[str] = [
        reason.partition(":")[0]
        for tick in record.ticks
        for reasons in (*(one.verdict.reasons for one in tick.intents), *(tick.refused or {}).values())
        for reason in reasons
    ]
    return dict(Counter(refused).most_common())


def _orders(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "client_order_id": order.intent.client_order_id,
            "session": order.intent.session,
            "strategy": order.intent.strategy,
            "symbol": order.intent.request.symbol,
            "side": order.intent.request.side,
            "quantity": float(order.intent.request.quantity),
            "type": order.intent.request.order_type,
            "limit_price": _number(order.intent.request.limit_price),
            "status": order.status.value,
            "filled_quantity": float(order.filled_quantity),
            "average_price": _number(order.average_price),
            "slippage_bps": None
            if order.average_price is None
            else float(slippage_bps(order.intent.request.side, order.intent.decision_price, order.average_price)),
        }
        for order in record.orders
    ]


def _fills(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "client_order_id": fill.client_order_id,
            "symbol": fill.symbol,
            "side": fill.side,
            "quantity": float(fill.quantity),
            "price": float(fill.price),
            "commission": _number(fill.commission),
            "ts": fill.ts_utc.isoformat(),
        }
        for fill in record.fills
    ]


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
