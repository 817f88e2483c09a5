"""What the assets of the orders stage show in Dagit: blotter, candles with fills, verdicts, and the way back by links.

Imported inside the assets only: it draws. What is true is decided in ``execution``; here it is made readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.features.assets import features_key
from trading_platform.defs.market_data.assets import raw_key, validated_key
from trading_platform.defs.orders.assets import orders_key, risk_decisions_key
from trading_platform.defs.signals.assets import recent_bars, signals_key
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.execution.tables import refusal_counts
from trading_platform.execution.versions import SignalVersion
from trading_platform.ops.links import asset_path, cell, link, linked_table, run_path
from trading_platform.ops.metadata import table_metadata
from trading_platform.ops.order_plots import refusals_by_reason, slippage_histogram
from trading_platform.ops.plots import Marker, candles

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.resources.lake_io_manager import LakeResource
    from trading_platform.storage.ledger import Fill, Ledger

CANDLE_SYMBOLS = 2
REFUSAL_SPAN = timedelta(days=42)
LATEST_FILLS = 20


def blotter(orders: pd.DataFrame) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """The orders as a trader reads them, the newest first."""
    import pandas as pd

    newest = orders.sort_values(["tick_utc", "symbol"], ascending=[False, True])
    return table_metadata(
        pd.DataFrame(
            {
                "time_utc": _times(newest["sent_at_utc"].where(newest["sent_at_utc"].notna(), newest["tick_utc"])),
                "symbol": newest["symbol"],
                "side": newest["side"],
                "quantity": newest["quantity"],
                "type": newest["order_type"],
                "limit": newest["limit_price"].round(6),
                "status": newest["status"],
                "filled": newest["filled_quantity"],
                "avg_price": newest["average_price_usd"].round(6),
                "slippage_bps": newest["slippage_bps"].round(2),
                "commission": newest["commission_usd"].round(2),
                "why": newest["reason"],
                "note": newest["note"],
            }
        )
    )


def order_facts(orders: pd.DataFrame) -> dict[str, Any]:
    """Counts and costs of the orders; they become plots over time in Dagit."""
    filled = orders[orders["filled_quantity"] > 0]
    notional = filled["filled_quantity"] * filled["average_price_usd"]
    return {
        "filled_orders": len(filled),
        "filled_notional_usd": float(notional.sum()),
        "commission_usd": float(orders["commission_usd"].sum()),
        **(
            {"slippage_bps": float((filled["slippage_bps"] * notional).sum() / notional.sum())}
            if notional.sum() > 0
            else {}
        ),
    }


def fills_on_candles(
    lake: LakeResource, spec: StrategySpec, orders: pd.DataFrame, fills: Sequence[Fill]
) -> dict[str, dg.MarkdownMetadataValue]:
    """Candles of the symbols with the largest orders, with an arrow at each fill of the newest session."""
    if orders.empty or not fills:
        return {}
    newest = orders[orders["session"] == orders["session"].max()]
    names = set(newest["client_order_id"])
    executed = [fill.execution for fill in fills if fill.execution.client_order_id in names]
    bars = recent_bars(lake, spec, date.fromisoformat(newest["session"].iloc[0]))
    notional = (newest["filled_quantity"] * newest["decision_price_usd"]).groupby(newest["symbol"]).sum()
    pictures = {}
    for symbol in notional[notional > 0].sort_values(ascending=False).head(CANDLE_SYMBOLS).index:
        markers = [Marker(one.ts_utc, one.side) for one in executed if one.symbol == symbol]
        prices = ", ".join(f"{one.side} {one.quantity:f} @ {one.price:f}" for one in executed if one.symbol == symbol)
        pictures[f"fills {symbol}"] = candles(
            bars[bars["symbol"] == symbol], markers, title=f"{symbol} · {prices[:60]}", time_zone=_zone(spec)
        )
    return pictures


def decision_facts(decisions: pd.DataFrame) -> dict[str, Any]:
    """How many orders passed and failed at each stage, the reasons counted, and the refusals as a table."""
    import pandas as pd

    verdicts = decisions.drop_duplicates(["client_order_id", "stage", "attempt"])
    refused = decisions[~decisions["is_approved"]]
    counts = refused["reason_code"].value_counts()
    newest = refused.sort_values("decided_at_utc", ascending=False, kind="stable")
    return {
        **{
            f"{word}_at_{stage}": int((verdicts[verdicts["stage"] == stage]["is_approved"] == is_approved).sum())
            for stage in ("decision", "submission")
            for word, is_approved in (("approved", True), ("refused", False))
        },
        "reasons": table_metadata([{"reason_code": code, "refusals": int(count)} for code, count in counts.items()])
        if len(counts)
        else "none refused",
        "refused": table_metadata(
            pd.DataFrame(
                {
                    "time_utc": _times(newest["decided_at_utc"]),
                    "stage": newest["stage"],
                    "symbol": newest["symbol"],
                    "side": newest["side"],
                    "quantity": newest["quantity"],
                    "reason_code": newest["reason_code"],
                    "reason": newest["reason"],
                    "numbers": newest["numbers"],
                }
            )
        )
        if len(refused)
        else "none",
    }


def refusals_over_time(
    ledger: Ledger, account: str, last_session: str, *, strategy: str | None = None
) -> dg.MarkdownMetadataValue:
    """Refusals of the six weeks up to a session by reason code; of the whole account unless a strategy is named."""
    first = (date.fromisoformat(last_session) - REFUSAL_SPAN).isoformat()
    counted = refusal_counts(ledger, account, first_session=first, strategy=strategy)
    return refusals_by_reason(
        {session: found for session, found in counted.items() if session <= last_session},
        title=f"{strategy or 'All strategies'}: refused by risk",
    )


def fills_table(executions: pd.DataFrame) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """The newest fills of all strategies, the newest first."""
    import pandas as pd

    newest = executions.tail(LATEST_FILLS).iloc[::-1]
    return table_metadata(
        pd.DataFrame(
            {
                "time_utc": newest["ts_utc"].dt.strftime("%Y-%m-%d %H:%M:%S"),
                "strategy": newest["strategy"].where(newest["strategy"] != "", "(by hand)"),
                "symbol": newest["symbol"],
                "side": newest["side"],
                "quantity": newest["quantity"],
                "price": newest["price_usd"],
                "slippage_bps": newest["slippage_bps"].round(2),
                "commission": newest["commission_usd"],
                "order": newest["client_order_id"],
            }
        )
    )


def slippage_facts(executions: pd.DataFrame) -> dict[str, Any]:
    """Mean slippage weighted by notional, and how the fills spread around it."""
    known = executions[executions["slippage_bps"].notna()]
    if known.empty:
        return {}
    notional = known["quantity"] * known["price_usd"]
    return {
        "mean_slippage_bps": float((known["slippage_bps"] * notional).sum() / notional.sum()),
        "slippage": slippage_histogram(known["slippage_bps"].tolist()),
    }


def trace_of_fills(executions: pd.DataFrame, specs: Mapping[str, StrategySpec]) -> dg.MarkdownMetadataValue:
    """From each of the newest fills back to its bars, by links."""
    rows = []
    for fill in executions.tail(LATEST_FILLS).iloc[::-1].to_dict("records"):
        what = f"{fill['side']} {fill['quantity']:g} {fill['symbol']} @ {fill['price_usd']:g}"
        words = f"{fill['ts_utc']:%m-%d %H:%M:%S} {what}"
        rows.append(
            {"fill": cell(words), "recorded": link("run", run_path(fill["recorded_by_run"])), **_way_back(fill, specs)}
        )
    return linked_table(rows)


def trace_of_orders(orders: pd.DataFrame, specs: Mapping[str, StrategySpec]) -> dg.MarkdownMetadataValue:
    """From each of the newest orders back to its bars, by links."""
    newest = orders.sort_values(["tick_utc", "symbol"], ascending=[False, True]).head(LATEST_FILLS)
    rows = []
    for order in newest.to_dict("records"):
        words = f"{order['tick_utc']:%H:%M} {order['side']} {order['quantity']:g} {order['symbol']}: {order['status']}"
        rows.append({"order": cell(words), **_way_back(order, specs)})
    return linked_table(rows)


def _way_back(row: Mapping[Any, Any], specs: Mapping[str, StrategySpec]) -> dict[str, str]:
    """Links of one fill or order, from the nearest to the farthest. What was placed by hand has none."""
    strategy, session = row["strategy"], row["session"] or None
    spec = specs.get(strategy)
    version = SignalVersion.parse(row["signal_version"]) if row["signal_version"] else None
    made_by = run_path(version.run_id) if version is not None and version.run_id else None

    def page(words: str, key: tuple[str, str]) -> str:
        return link(words, asset_path(key, session) if spec is not None else None)

    feed = spec.feed if spec is not None else ""
    return {
        "order": page("order", orders_key(strategy)),
        "risk": page("verdicts", risk_decisions_key(strategy)),
        "decided": link("run", run_path(row["decided_by_run"]) if row["decided_by_run"] else None),
        "signal": page("signals", signals_key(strategy)),
        "made": link("run", made_by),
        "model": cell(row["model_version"] or ("rule" if spec is not None else "")),
        "features": page("features", features_key(feed)),
        "bars": page("validated", validated_key(feed)),
        "raw": page("raw", raw_key(feed)),
        "MLflow": page("run", ("research", f"{strategy}_session_run")),
    }


def _times(stamps: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(stamps, utc=True).dt.strftime("%Y-%m-%d %H:%M:%S")


def _zone(spec: StrategySpec) -> str:
    return "UTC" if get_calendar(spec.calendar).is_always_open else "America/New_York"
