"""The ledger as tables: what the assets of the orders stage return, in the columns of ``schemas.orders``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from trading_platform.domain.orders.model import OrderStatus, RiskDecision
from trading_platform.domain.orders.risk.cutting import CUT
from trading_platform.domain.portfolio.performance import slippage_bps
from trading_platform.schemas.base import empty
from trading_platform.schemas.orders import Executions, OrderIntents, Orders, RiskDecisions
from trading_platform.storage.ledger import Ledger, LedgerOrder, OrderEvent

APPROVED = "approved"
"""Reason code of a verdict in which every control passed."""
NO_CONTROL = "no_control"
"""Reason code of a verdict without any control, which approves nothing."""
_ORIGIN = ("decided_by_run", "signal_version", "model_version", "code_version")


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
                **_identity(order),
                **_kind(order),
                "limit_price": _number(order.intent.request.limit_price),
                "stop_price": _number(order.intent.request.stop_price),
                "replaces": ", ".join(order.intent.replaces),
                "decision_price_usd": float(order.intent.decision_price),
                "notional_usd": float(order.intent.notional_usd),
                **_cut(order, decision),
                "is_approved": decision is not None and decision.is_approved,
                "reason_codes": ", ".join(decision.reason_codes) if decision is not None else "Undecided",
                "reasons": "; ".join(decision.reasons) if decision is not None else "no risk decision is stored",
                **_origin(order),
            }
        )
    return pd.DataFrame(rows) if rows else empty(OrderIntents)


def orders_table(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> pd.DataFrame:
    """All orders of the strategy in the sessions that risk approved, with their state."""
    orders = [o for o in _orders(ledger, account, strategy, sessions) if o.status != OrderStatus.REJECTED]
    names = [order.client_order_id for order in orders]
    notes = {event.client_order_id: event.message for event in _events(ledger, account, names) if event.message}
    commissions = _commissions(ledger, account, names)
    rows = [
        {
            **_identity(order),
            **_kind(order),
            "account": account,
            "status": order.status.value,
            "perm_id": order.perm_id or 0,
            "filled_quantity": float(order.filled_quantity),
            "average_price_usd": _number(order.average_fill_price),
            "slippage_bps": _slippage(order, order.average_fill_price),
            "limit_price": _number(order.intent.request.limit_price),
            "decision_price_usd": float(order.intent.decision_price),
            "commission_usd": _number(commissions.get(order.client_order_id)),
            "sent_at_utc": pd.Timestamp(order.submitting_at) if order.submitting_at is not None else pd.NaT,
            "reason": order.intent.reason,
            "note": notes.get(order.client_order_id, ""),
            **_origin(order),
        }
        for order in orders
    ]
    return pd.DataFrame(rows) if rows else empty(Orders)


def risk_decisions_table(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> pd.DataFrame:
    """Every verdict on the strategy's intents of the sessions: a row per control that refused, one per approval."""
    orders = {order.client_order_id: order for order in _orders(ledger, account, strategy, sessions)}
    decisions = ledger.risk_decisions(account, client_order_ids=list(orders)) if orders else []
    attempts: Counter[tuple[str, str]] = Counter()
    rows = []
    for stored in decisions:
        decision = stored.decision
        attempts[decision.client_order_id, stored.stage] += 1
        common = {
            **_identity(orders[decision.client_order_id]),
            "account": account,
            "stage": stored.stage,
            "attempt": attempts[decision.client_order_id, stored.stage],
            "decided_at_utc": pd.Timestamp(stored.decided_at),
            "is_approved": decision.is_approved,
            "controls_asked": len(decision.results),
            "dagster_run_id": stored.dagster_run_id,
        }
        rows += [{**common, **verdict} for verdict in _verdicts(decision)]
    return pd.DataFrame(rows) if rows else empty(RiskDecisions)


def executions_table(ledger: Ledger, account: str, *, client_order_ids: Collection[str] | None = None) -> pd.DataFrame:
    """All fills of the account, or of some orders, oldest first, each with what its order was made of."""
    fills = ledger.fills(account, client_order_ids=client_order_ids)
    names = {fill.execution.client_order_id for fill in fills if fill.strategy is not None}
    found = ledger.orders(account, client_order_ids=names) if names else []
    orders = {order.client_order_id: order for order in found}
    rows = []
    for fill in fills:
        order = orders.get(fill.execution.client_order_id)
        rows.append(
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
                "session": order.intent.session if order else "",
                "slippage_bps": _slippage(order, fill.execution.price) if order else float("nan"),
                "recorded_by_run": fill.dagster_run_id,
                **(_origin(order) if order else dict.fromkeys(_ORIGIN, "")),
            }
        )
    return pd.DataFrame(rows) if rows else empty(Executions)


def _cut(order: LedgerOrder, decision: RiskDecision | None) -> dict[str, Any]:
    """The quantity that was wanted, and what it was cut for if it was."""
    for result in decision.results if decision is not None else ():
        if result.control == CUT:
            return {
                "wanted_quantity": float(result.numbers["wanted_quantity"]),
                "cut_by": result.numbers["binding_control"],
            }
    return {"wanted_quantity": float(order.intent.request.quantity), "cut_by": ""}


def refusal_counts(
    ledger: Ledger, account: str, *, first_session: str, strategy: str | None = None
) -> dict[str, Counter[str]]:
    """Of every session with intents since ``first_session`` (ISO date): how many orders each reason code refused.

    An order that several controls refused counts for each of them; however often it was tried, once.
    """
    orders = ledger.orders(account, strategy=strategy, first_session=first_session)
    counts: dict[str, Counter[str]] = {order.intent.session: Counter() for order in orders}
    session_of = {order.client_order_id: order.intent.session for order in orders if order.submitting_at is None}
    refusals = {
        (stored.decision.client_order_id, result.reason_code)
        for stored in (ledger.risk_decisions(account, client_order_ids=session_of) if session_of else [])
        for result in stored.decision.results
        if not result.is_passed
    }
    for name, code in refusals:
        counts[session_of[name]][code] += 1
    return counts


def _verdicts(decision: RiskDecision) -> list[dict[str, str]]:
    """A row for each control that refused, or one for all that passed."""
    refused = [result for result in decision.results if not result.is_passed]
    if refused:
        return [
            {
                "control": result.control,
                "reason_code": result.reason_code,
                "reason": result.reason,
                "numbers": json.dumps(dict(result.numbers)),
            }
            for result in refused
        ]
    by_control = {result.control: dict(result.numbers) for result in decision.results if result.numbers}
    code, why = (APPROVED, "") if decision.is_approved else (NO_CONTROL, "no control judged it")
    return [{"control": "", "reason_code": code, "reason": why, "numbers": json.dumps(by_control)}]


def _origin(order: LedgerOrder) -> dict[str, str]:
    """What made the order."""
    return {
        "decided_by_run": order.dagster_run_id,
        "signal_version": order.signal_version or "",
        "model_version": order.model_version or "",
        "code_version": order.code_version or "",
    }


def _events(ledger: Ledger, account: str, names: Sequence[str]) -> list[OrderEvent]:
    return ledger.order_events(account, names) if names else []


def _commissions(ledger: Ledger, account: str, names: Sequence[str]) -> dict[str, Decimal]:
    """Commissions by order, of orders with at least one report."""
    paid: dict[str, Decimal] = {}
    for fill in ledger.fills(account, client_order_ids=names) if names else []:
        if fill.execution.commission is not None:
            name = fill.execution.client_order_id
            paid[name] = paid.get(name, Decimal(0)) + fill.execution.commission
    return paid


def _slippage(order: LedgerOrder, price: Decimal | None) -> float:
    """Slippage of a price the order was filled at, in basis points, NaN without a fill."""
    if price is None:
        return float("nan")
    return float(slippage_bps(order.intent.request.side, order.intent.decision_price, price))


def _orders(ledger: Ledger, account: str, strategy: str, sessions: Sequence[str]) -> list[LedgerOrder]:
    wanted = set(sessions)
    only = sessions[0] if len(wanted) == 1 else None
    found = ledger.orders(account, strategy=strategy, session=only)
    return [order for order in found if order.intent.session in wanted]


def _identity(order: LedgerOrder) -> dict[str, Any]:
    intent, request = order.intent, order.intent.request
    return {
        "client_order_id": order.client_order_id,
        "strategy": intent.strategy,
        "symbol": request.symbol,
        "session": intent.session,
        "tick_utc": pd.Timestamp(intent.tick_utc),
        "side": request.side,
        "quantity": float(request.quantity),
    }


def _kind(order: LedgerOrder) -> dict[str, Any]:
    request = order.intent.request
    return {
        "order_type": request.order_type,
        "time_in_force": request.time_in_force,
        "bracket": request.oca_group,
    }


def _number(value: Decimal | None) -> float:
    return float("nan") if value is None else float(value)
