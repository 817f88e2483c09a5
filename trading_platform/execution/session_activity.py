"""What a strategy did in a session, as an experiment's record takes it: figures, tables, and what made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.portfolio import slippage_usd
from trading_platform.execution.tables import executions_table, intents_table, orders_table, risk_decisions_table
from trading_platform.storage.ledger import Ledger

ENDED_WITHOUT_A_FILL = (OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.BROKER_REJECTED, OrderStatus.UNKNOWN)


@dataclass(frozen=True)
class SessionActivity:
    """Figures by name (counts, USD, basis points), tables by name, and texts that say what made them."""

    metrics: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame]
    tags: Mapping[str, str]


def read_activity(ledger: Ledger, account: str, strategy: str, session: str) -> SessionActivity:
    """Read the strategy's session (ISO date) from the ledger. Costs in USD, slippage weighted by notional."""
    intents = intents_table(ledger, account, strategy, [session])
    orders = orders_table(ledger, account, strategy, [session])
    decisions = risk_decisions_table(ledger, account, strategy, [session])
    names = list(intents["client_order_id"])
    fills = executions_table(ledger, account, client_order_ids=names)
    notional = float((fills["quantity"] * fills["price_usd"]).sum())
    slippage = slippage_usd(ledger, account, ledger.fills(account, client_order_ids=names) if names else [])
    metrics: dict[str, float] = {
        "intents": len(intents),
        "approved": int(intents["is_approved"].sum()),
        "refused": int((~intents["is_approved"].astype(bool)).sum()),
        "refused_at_submission": _refused_orders(decisions, "submission"),
        "orders": len(orders),
        "filled_orders": int((orders["filled_quantity"] > 0).sum()),
        "fills": len(fills),
        "traded_notional_usd": notional,
        "commissions_usd": float(fills["commission_usd"].sum()),
        "slippage_usd": slippage,
    }
    metrics |= {f"orders_{s.value}": int((orders["status"] == s.value).sum()) for s in ENDED_WITHOUT_A_FILL}
    if notional:
        metrics["mean_slippage_bps"] = slippage / notional * 10_000
        metrics["commission_bps"] = metrics["commissions_usd"] / notional * 10_000
    refused = decisions[~decisions["is_approved"].astype(bool)].drop_duplicates(["client_order_id", "reason_code"])
    codes = Counter(str(code).replace(":", ".") for code in refused["reason_code"])  # MLflow's names have no colon
    metrics |= {f"refused.{code}": count for code, count in codes.items()}
    tags = {
        "decided_by_runs": _distinct(intents["decided_by_run"]),
        "filled_by_runs": _distinct(fills["recorded_by_run"]),
        "signal_versions": _distinct(intents["signal_version"]),
        "model_versions": _distinct(intents["model_version"]),
        "code_versions": _distinct(intents["code_version"]),
    }
    return SessionActivity(metrics, {"orders": orders, "risk_decisions": decisions, "fills": fills}, tags)


def _refused_orders(decisions: pd.DataFrame, stage: str) -> int:
    refused = decisions[(decisions["stage"] == stage) & ~decisions["is_approved"].astype(bool)]
    return int(refused["client_order_id"].nunique())


def _distinct(texts: pd.Series) -> str:
    """The different texts in order of appearance, empty ones left out."""
    return ",".join(text for text in dict.fromkeys(texts) if text)
