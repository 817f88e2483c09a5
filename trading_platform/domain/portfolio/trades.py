"""Closed trades: what each order that closed (some of) a holding earned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trading_platform.domain.orders.model import Execution
from trading_platform.domain.portfolio.accounting import book_from_fills


@dataclass(frozen=True)
class ClosedTrade:
    """What one order closed, all its partial fills together. ``pnl_usd`` is before commissions."""

    client_order_id: str
    symbol: str
    pnl_usd: Decimal
    ts_utc: datetime


def closed_trades(fills: Iterable[Execution]) -> tuple[ClosedTrade, ...]:
    """The closed trades among ``fills``, by the time of their last fill. ``fills`` must begin with a flat book.

    Raises:
        ConflictingFillsError: one execution id with two different contents.
    """
    executions = tuple(fills)
    order_of = {fill.execution_id: fill.client_order_id or fill.execution_id for fill in executions}
    trades: dict[str, ClosedTrade] = {}
    for close in book_from_fills(executions).closes:
        name = order_of[close.execution_id]
        earned = trades[name].pnl_usd if name in trades else Decimal(0)
        trades[name] = ClosedTrade(name, close.symbol, earned + close.pnl, close.ts_utc)
    return tuple(sorted(trades.values(), key=lambda trade: (trade.ts_utc, trade.client_order_id)))
