"""What persons decided about bars, held against the rows at hand."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.model import BarDecision, bar_ids
from trading_platform.domain.market_data.validation.table import BarTable


def latest_by_bar(decisions: Sequence[BarDecision]) -> dict[str, BarDecision]:
    """The decision that holds for each bar: the newest one."""
    return {one.bar_id: one for one in sorted(decisions, key=lambda one: (one.at, one.verdict))}


def apply_decisions(table: BarTable, raw: pd.DataFrame, found: Findings, decisions: Sequence[BarDecision]) -> None:
    """Mark released rows, and set confirmed ones aside.

    A row without structure stays convicted whatever was decided: it can't be a bar.
    """
    for decision in latest_by_bar(decisions).values():
        rows = table.rows_at(decision.symbol, int(pd.Timestamp(decision.ts_utc).as_unit("ns").value))
        rows = rows[~table.is_context[rows] & ~found.is_out[rows]]
        if not len(rows):
            continue
        ids = bar_ids(raw.iloc[table.order[rows]])
        mine = [int(row) for row, bar_id in zip(rows, ids, strict=True) if bar_id == decision.bar_id]
        if decision.verdict == "released":
            found.is_released[mine] = True
        else:
            found.convict(
                decision.reason,
                mine,
                f"confirmed by {decision.who} at {decision.at:%Y-%m-%d %H:%M} UTC: {decision.why}",
                is_blocking=False,
            )
