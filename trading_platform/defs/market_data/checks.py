"""What the checks of bars say: what was set aside, what is doubtful, what is missing. They judge nothing themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.resources.lake_io_manager import MISSING_SESSIONS

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.domain.market_data.validation import Validation

NOTHING_QUARANTINED = "nothing_quarantined"
NOTHING_DOUBTFUL = "nothing_doubtful"
NO_BARS_MISSING = "no_bars_missing"
RAW_BARS_FETCHED = "raw_bars_fetched"

DESCRIPTIONS = {
    NOTHING_QUARANTINED: "No bar had to be set aside.",
    NOTHING_DOUBTFUL: "No bar is held until somebody decides, and none gave cause for a warning.",
    NO_BARS_MISSING: "Every symbol has all bars that the calendar expects by now, to the minute.",
    RAW_BARS_FETCHED: "Raw bars of every session were fetched; without them a session is empty.",
}
SHOWN = ["bar_id", "symbol", "ts_utc", "reason", "detail", "action", "is_blocking"]
SYMBOLS_SHOWN = 30


def bar_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of validated bars beside their contract."""
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in DESCRIPTIONS.items()]


def bar_checks(
    key: dg.AssetKey,
    judged: Validation,
    absent: tuple[pd.DataFrame, pd.DataFrame],
    raw: pd.DataFrame,
    raw_table: str,
    max_rows: int,
) -> list[dg.AssetCheckResult]:
    """The results of :func:`bar_check_specs`. ``absent``: bars that are missing, and those of symbols not listed then.

    ``raw_table`` is named where something must be materialized.
    """
    return [
        _listed(key, NOTHING_QUARANTINED, judged.quarantined, "quarantined", max_rows, judged.blocked_symbols),
        _listed(key, NOTHING_DOUBTFUL, judged.doubtful, "doubtful", max_rows, judged.blocked_symbols),
        _no_bars_missing(key, *absent, max_rows),
        _raw_bars_fetched(key, raw, raw_table),
    ]


def log_metadata(log: pd.DataFrame, max_rows: int) -> dict[str, Any]:
    """The log of a validation for Dagit: counts by reason and what was done, then the rows, those that block first."""
    from trading_platform.ops.metadata import table_metadata

    counts = log.groupby(["reason", "action"], observed=True).size().reset_index(name="rows")
    first = log.sort_values(["is_blocking", "symbol", "ts_utc"], ascending=[False, True, True], kind="stable")
    return {
        "reasons": table_metadata(counts.sort_values("rows", ascending=False, kind="stable")),
        "blocked_symbols": _names(log.loc[log["is_blocking"].astype(bool), "symbol"]),
        "bars": table_metadata(first[[*SHOWN, "open", "high", "low", "close", "volume"]], max_rows=max_rows),
    }


def _listed(
    key: dg.AssetKey, name: str, rows: pd.DataFrame, count: str, max_rows: int, blocked: frozenset[str]
) -> dg.AssetCheckResult:
    from trading_platform.ops.metadata import table_metadata

    stopped = sorted(set(rows["symbol"].astype(str)) & blocked)
    found = {"rows": table_metadata(rows[SHOWN], max_rows=max_rows), "blocked_symbols": _names(stopped)}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=rows.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={count: len(rows), **(found if len(rows) else {})},
    )


def _no_bars_missing(
    key: dg.AssetKey, missing: pd.DataFrame, unlisted: pd.DataFrame, max_rows: int
) -> dg.AssetCheckResult:
    from trading_platform.ops.metadata import table_metadata

    total = int(missing["missing"].sum()) if len(missing) else 0
    found: dict[str, Any] = {}
    if len(unlisted):
        sessions = unlisted.groupby("symbol", as_index=False)["session"].agg(["count", "min", "max"])
        found["not_listed"] = table_metadata(sessions, max_rows=max_rows)
    if total:
        by_symbol = missing.groupby("symbol", as_index=False)[["expected", "present", "missing"]].sum()
        found |= {
            "by_symbol": table_metadata(by_symbol.sort_values("missing", ascending=False), max_rows=max_rows),
            "by_session": table_metadata(missing, max_rows=max_rows),
        }
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NO_BARS_MISSING,
        passed=not total,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"missing_bars": total, **found},
    )


def _raw_bars_fetched(key: dg.AssetKey, raw: pd.DataFrame, raw_table: str) -> dg.AssetCheckResult:
    """Whether the lake had raw bars of every session, as the IO manager told when it loaded them."""
    missing = raw.attrs.get(MISSING_SESSIONS, ())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=RAW_BARS_FETCHED,
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"materialize {raw_table} for these sessions too" if missing else None,
        metadata={
            "missing_sessions": len(missing),
            **({"first": missing[0], "last": missing[-1]} if missing else {}),
        },
    )


def _names(symbols: Any) -> str:
    """Some symbols in words, few enough to read."""
    names = sorted(set(symbols))
    return ", ".join(names[:SYMBOLS_SHOWN]) + (" …" if len(names) > SYMBOLS_SHOWN else "") or "none"
