"""Risk decisions and order events: what is only ever added, within a transaction that the caller opens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from trading_platform.domain.orders.model import ControlResult, OrderStatus, RiskDecision
from trading_platform.storage.ledger.model import DecisionStage, OrderEvent, StoredDecision
from trading_platform.storage.ledger.tables import order_events, risk_decisions


def insert_decisions(
    connection: sa.Connection,
    account: str,
    decisions: Sequence[RiskDecision],
    *,
    stage: DecisionStage,
    at: datetime,
    run_id: str,
) -> None:
    """Append risk decisions."""
    connection.execute(
        sa.insert(risk_decisions),
        [
            {
                "account": account,
                "client_order_id": decision.client_order_id,
                "stage": stage,
                "is_approved": decision.is_approved,
                "results": [
                    {
                        "control": result.control,
                        "is_passed": result.is_passed,
                        "reason": result.reason,
                        "numbers": dict(result.numbers),
                    }
                    for result in decision.results
                ],
                "decided_at": at,
                "dagster_run_id": run_id,
            }
            for decision in decisions
        ],
    )


def select_decisions(
    connection: sa.Connection,
    account: str,
    *,
    client_order_ids: Collection[str] | None = None,
    stage: DecisionStage | None = None,
) -> list[StoredDecision]:
    """Risk decisions, oldest first."""
    query = sa.select(risk_decisions).where(risk_decisions.c.account == account).order_by(risk_decisions.c.id)
    if client_order_ids is not None:
        query = query.where(risk_decisions.c.client_order_id.in_(list(client_order_ids)))
    if stage is not None:
        query = query.where(risk_decisions.c.stage == stage)
    return [
        StoredDecision(
            RiskDecision(row["client_order_id"], tuple(ControlResult(**result) for result in row["results"])),
            row["stage"],
            row["decided_at"],
            row["dagster_run_id"],
        )
        for row in connection.execute(query).mappings()
    ]


def select_events(
    connection: sa.Connection, account: str, client_order_ids: Collection[str] | None = None
) -> list[OrderEvent]:
    """Order events, oldest first."""
    query = sa.select(order_events).where(order_events.c.account == account).order_by(order_events.c.id)
    if client_order_ids is not None:
        query = query.where(order_events.c.client_order_id.in_(list(client_order_ids)))
    return [
        OrderEvent(
            row["client_order_id"],
            None if row["from_status"] is None else OrderStatus(row["from_status"]),
            OrderStatus(row["to_status"]),
            row["raw_status"],
            row["perm_id"],
            row["filled_quantity"],
            row["message"],
            row["ts_utc"],
            row["dagster_run_id"],
        )
        for row in connection.execute(query).mappings()
    ]
