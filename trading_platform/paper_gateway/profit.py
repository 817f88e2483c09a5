"""Profit and loss per session, computed from executions: nothing is reset at an open, nothing can drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.paper_gateway.account import ZERO, Position
from trading_platform.paper_gateway.model import Contract, PaperExecution, PositionPnl, TopOfBook
from trading_platform.paper_gateway.time_in_force import trading_day_start

_LONGEST_CLOSURE = timedelta(days=10)
"""No session began longer ago than this: executions older than that are not looked at."""


@dataclass
class SessionTrades:
    """What was traded in one contract since its session began. ``quantity`` and ``notional`` are signed."""

    contract: Contract
    quantity: Decimal = ZERO
    notional: Decimal = ZERO
    commission: Decimal = ZERO
    realized: Decimal = ZERO


def trades_of_session(executions: Sequence[PaperExecution], now: datetime) -> dict[int, SessionTrades]:
    """Sum up, by contract id, the executions since each contract's newest session opened."""
    starts: dict[int, datetime] = {}
    trades: dict[int, SessionTrades] = {}
    for execution in reversed(executions):
        if execution.ts_utc < now - _LONGEST_CLOSURE:
            break
        con_id = execution.contract.con_id
        if con_id not in starts:
            starts[con_id] = trading_day_start(execution.contract, now)
        if execution.ts_utc < starts[con_id]:
            continue
        traded = trades.setdefault(con_id, SessionTrades(execution.contract))
        signed = execution.quantity if execution.action == "BUY" else -execution.quantity
        traded.quantity += signed
        traded.notional += signed * execution.price
        traded.commission += execution.commission
        traded.realized += execution.realized_pnl or ZERO
    return trades


def position_pnl(position: Position, trades: SessionTrades, top: TopOfBook | None) -> PositionPnl:
    """P&L of one position, commissions included.

    Daily: today's value less yesterday's quantity at yesterday's close, less what was paid since. Without a
    price the position stands at its cost.
    """
    price = top.last if top is not None else position.average_cost
    close = top.previous_close if top is not None else price
    value = position.quantity * price
    value_before = (position.quantity - trades.quantity) * close
    return PositionPnl(
        quantity=position.quantity,
        daily=value - value_before - trades.notional - trades.commission,
        unrealized=value - position.cost,
        realized=trades.realized,
        value=value,
    )
