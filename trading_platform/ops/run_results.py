"""What the run meant in trading terms: signals, intents, orders, fills, positions, equity, into the document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from trading_platform.defs.signals.assets import signals_key
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision
from trading_platform.ops.local import configured_lake
from trading_platform.ops.run_document import RunDocument
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger, LedgerOrder

NOT_AS_IT_SHOULD = {
    OrderStatus.APPROVED: "was approved and not sent",
    OrderStatus.SUBMITTING: "may or may not have been sent",
    OrderStatus.UNKNOWN: "was sent and its fate is not known",
    OrderStatus.BROKER_REJECTED: "was refused by the broker",
}


def add_trading_results(
    document: RunDocument, settings: Settings, decisions: Sequence[tuple[StrategySpec, Decision]]
) -> None:
    """Read lake and ledger for the decisions of this run, and judge whether all of it came to an end."""
    if settings.ledger_database_url is None:
        return
    ledger = Ledger(settings.ledger_database_url.get_secret_value())
    lake = configured_lake(settings)
    try:
        for spec, decision in decisions:
            table = lake.read_sessions(signals_key(spec.name), [decision.session.isoformat()], is_missing_ok=True)
            if len(table):
                at_tick = table[table["tick_utc"] == decision.tick_utc]
                document.signals += [_plain(row) for row in at_tick.to_dict("records")]
            _add_orders(document, ledger, spec, decision)
        document.positions = [
            {
                "symbol": position.symbol,
                "quantity": _number(position.quantity),
                "average_price": _number(position.average_price),
            }
            for position in ledger.latest_positions(document.account)
        ]
        equity = ledger.equity_history(document.account)
        document.equity = _number(equity[-1].net_liquidation) if equity else None
    finally:
        ledger.close()
    document.failures += [
        f"{check['asset']}: check {check['check']} failed" for check in document.checks_failed("ERROR")
    ]


def _add_orders(document: RunDocument, ledger: Ledger, spec: StrategySpec, decision: Decision) -> None:
    orders = ledger.orders(document.account, strategy=spec.name, tick_utc=decision.tick_utc)
    names = [order.client_order_id for order in orders]
    if not names:
        return
    verdicts = {
        stored.decision.client_order_id: stored.decision
        for stored in ledger.risk_decisions(document.account, client_order_ids=names, stage="decision")
    }
    for order in orders:
        request = order.intent.request
        verdict = verdicts.get(order.client_order_id)
        document.intents.append(
            {
                "client_order_id": order.client_order_id,
                "strategy": spec.name,
                "symbol": request.symbol,
                "side": request.side,
                "quantity": _number(request.quantity),
                "approved": verdict is not None and verdict.is_approved,
                "reasons": list(verdict.reasons) if verdict is not None else [],
            }
        )
        if order.status is not OrderStatus.REJECTED:
            document.orders.append(_order(order))
        if order.status in NOT_AS_IT_SHOULD:
            document.failures.append(f"order {order.client_order_id} {NOT_AS_IT_SHOULD[order.status]}")
    document.fills += [
        {
            "execution_id": fill.execution.execution_id,
            "client_order_id": fill.execution.client_order_id,
            "symbol": fill.execution.symbol,
            "side": fill.execution.side,
            "quantity": _number(fill.execution.quantity),
            "price": _number(fill.execution.price),
            "commission": _number(fill.execution.commission),
            "ts": fill.execution.ts_utc.isoformat(),
        }
        for fill in ledger.fills(document.account, client_order_ids=names)
    ]


def _order(order: LedgerOrder) -> dict[str, Any]:
    request = order.intent.request
    return {
        "client_order_id": order.client_order_id,
        "perm_id": order.perm_id,
        "strategy": order.intent.strategy,
        "symbol": request.symbol,
        "side": request.side,
        "quantity": _number(request.quantity),
        "type": request.order_type,
        "status": order.status.value,
        "filled_quantity": _number(order.filled_quantity),
        "average_price": _number(order.average_fill_price),
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value.isoformat() if hasattr(value, "isoformat") else None if _is_nan(value) else value
        for name, value in row.items()
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
