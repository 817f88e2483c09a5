"""What Dagit is told of a run that collected bars: who did not answer, and where the source contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.ingest.collect import Collected

EVERY_SYMBOL_ANSWERED = "every_symbol_answered"
NOTHING_REWRITTEN = "nothing_rewritten"
DESCRIPTIONS = {
    EVERY_SYMBOL_ANSWERED: "The source had bars for every symbol.",
    NOTHING_REWRITTEN: "The source says the same of finished bars as when they were stored, or known splits explain "
    "the difference. All differences are kept in `<feed>_revised_bars` in the lake.",
}
MAX_ROWS = 50
SHOWN = ["symbol", "session", "ts_utc", "kind", "detail", "is_explained", "found_in", "old_received_at_utc"]


def raw_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of raw bars beside their contract."""
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in DESCRIPTIONS.items()]


def raw_metadata(done: Collected, bars: pd.DataFrame, left_out: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """What was asked for, what came from where, and what a source had and did not hand out."""
    from trading_platform.ops.metadata import table_metadata

    return {
        "requests": done.requests,
        "bars_received": done.bars,
        "symbol_sessions_asked": done.asked,
        "bars_revised": len(done.revisions),
        "sources": bars["source"].value_counts().sort_index().to_dict(),
        **({"rows_left_out": table_metadata(left_out)} if left_out else {}),
    }


def raw_checks(key: dg.AssetKey, done: Collected) -> list[dg.AssetCheckResult]:
    """The results of :func:`raw_check_specs`."""
    from trading_platform.ops.metadata import table_metadata

    failures = [{"symbol": symbol, "reason": why} for symbol, why in sorted(done.failures.items())]
    rows = done.revisions
    doubtful = rows[~rows["is_explained"].astype(bool)]
    counts = rows.groupby(["kind", "found_in"], observed=True).size().reset_index(name="rows")
    shown = {
        "differences": table_metadata(counts),
        "rows": table_metadata(rows[SHOWN], max_rows=MAX_ROWS),
        "symbols": ", ".join(sorted(set(rows["symbol"]))[:MAX_ROWS]),
    }
    return [
        dg.AssetCheckResult(
            asset_key=key,
            check_name=EVERY_SYMBOL_ANSWERED,
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failures": table_metadata(failures)} if failures else {},
        ),
        dg.AssetCheckResult(
            asset_key=key,
            check_name=NOTHING_REWRITTEN,
            passed=doubtful.empty,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"revised": len(rows), **(shown if len(rows) else {})},
        ),
    ]
