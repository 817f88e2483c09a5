"""The ledger as tables: what the assets of the orders stage return, in the columns of ``schemas.orders``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.portfolio.performance import slippage_bps
from trading_platform.schemas.base import empty
from trading_platform.schemas.orders import Executions, OrderIntents, Orders
from trading_platform.storage.ledger import Ledger, LedgerOrder


def intents_table(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> pd.DataFrame:
    """All intents of the strategy in the sessions, with risk's verdict at the decision."""
    orders = _orders(ledger, account, strategy, sessions)
    names = [order.client_order_id for order in orders]
    decisions = {
        stored.decision.client_order_id: stored.decision
        for stored in (ledger.risk_decisions(account, client_order_ids=names, stage="decision") if names else [])
    }
    rows = []
    for order in orders:
        decision = decisions.get(order.client_order_id)
        rows.append(
            {
                **_common(order),
                "limit_price": _number(order.intent.request.limit_price),
                "stop_price": _number(order.intent.request.stop_price),
                "replaces": ", ".join(order.intent.replaces),
                "decision_price_usd": float(order.intent.decision_price),
                "notional_usd": float(order.intent.notional_usd),
                "is_approved": decision is not None and decision.is_approved,
                "reasons": "; ".join(decision.reasons) if decision is not None else "no risk decision is stored",
            }
        )
    return pd.DataFrame(rows) if rows else empty(OrderIntents)


def orders_table(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> pd.DataFrame:
    """All orders of the strategy in the sessions that risk approved, with their state."""
    rows = [
        {
            **_common(order),
            "account": account,
            "status": order.status.value,
            "perm_id": order.perm_id or 0,
            "filled_quantity": float(order.filled_quantity),
            "average_price_usd": _number(order.average_fill_price),
            "slippage_bps": _slippage(order),
        }
        for order in _orders(ledger, account, strategy, sessions)
        if order.status != OrderStatus.REJECTED
    ]
    return pd.DataFrame(rows) if rows else empty(Orders)


def executions_table(ledger: Ledger, account: str) -> pd.DataFrame:
    """All fills of the account, oldest first."""
    rows = [
        {
            "execution_id": fill.execution.execution_id,
            "client_order_id": fill.execution.client_order_id,
            "perm_id": fill.execution.perm_id,
            "account": fill.execution.account,
            "strategy": fill.strategy or "",
            "symbol": fill.execution.symbol,
            "side": fill.execution.side,
            "quantity": float(fill.execution.quantity),
            "price_usd": float(fill.execution.price),
            "commission_usd": _number(fill.execution.commission),
            "ts_utc": pd.Timestamp(fill.execution.ts_utc),
        }
        for fill in ledger.fills(account)
    ]
    return pd.DataFrame(rows) if rows else empty(Executions)


def _slippage(order: LedgerOrder) -> float:
    """The order's slippage in basis points, NaN without a fill."""
    if order.average_fill_price is None:
        return float("nan")
    return float(slippage_bps(order.intent.request.side, order.intent.decision_price, order.average_fill_price))


def _orders(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> list[LedgerOrder]:
    wanted = set(sessions)
    only = sessions[0] if len(wanted) == 1 else None
    found = ledger.orders(account, strategy=strategy, session=only)
    return [order for order in found if order.intent.session in wanted]


def _common(order: LedgerOrder) -> dict[str, Any]:
    intent, request = order.intent, order.intent.request
    return {
        "client_order_id": order.client_order_id,
        "strategy": intent.strategy,
        "symbol": request.symbol,
        "session": intent.session,
        "tick_utc": pd.Timestamp(intent.tick_utc),
        "side": request.side,
        "quantity": float(request.quantity),
        "order_type": request.order_type,
        "time_in_force": request.time_in_force,
        "bracket": request.oca_group,
    }


def _number(value: Decimal | None) -> float:
    return float("nan") if value is None else float(value)
