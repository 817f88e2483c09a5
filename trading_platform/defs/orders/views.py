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
from trading_platform.defs.orders.keys import orders_key, risk_decisions_key
from trading_platform.defs.signals.assets import recent_bars, signals_key
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.execution.tables import refusal_counts
from trading_platform.execution.versions import SignalVersion
from trading_platform.ops.links import asset_path, cell, frame_in_full, link, markdown_table, run_path
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
LATEST_ORDERS = 30


def orders_at_a_glance(orders: pd.DataFrame) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """The newest orders in as few and as narrow columns as Dagit shows beside each other; ``blotter`` has the rest."""
    newest = _newest_first(orders)
    return table_metadata(
        [
            {
                "time_utc": f"{row['sent_at_utc'] if row['sent_at_utc'] is not None else row['tick_utc']:%H:%M:%S}",
                "order": _words(row),
                "type": row["order_type"],
                "status": row["status"],
                "filled": f"{row['filled_quantity']:g} @ {row['average_price_usd']:g}"
                if row["filled_quantity"]
                else "",
                "bps": round(row["slippage_bps"], 2),
                "fee": round(row["commission_usd"], 2),
            }
            for row in _rows(newest)
        ]
    )


def blotter(orders: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """The newest orders with everything a trader asks of them."""
    import pandas as pd

    newest = _newest_first(orders)
    return frame_in_full(
        pd.DataFrame(
            {
                "tick, UTC": _times(newest["tick_utc"], "%H:%M"),
                "sent": _times(newest["sent_at_utc"], "%H:%M:%S"),
                "symbol": newest["symbol"],
                "side": newest["side"],
                "quantity": newest["quantity"],
                "type": newest["order_type"],
                "limit": newest["limit_price"].round(6),
                "status": newest["status"],
                "filled": newest["filled_quantity"],
                "average price": newest["average_price_usd"].round(6),
                "decision price": newest["decision_price_usd"].round(6),
                "slippage, bps": newest["slippage_bps"].round(2),
                "commission": newest["commission_usd"].round(2),
                "why": newest["reason"],
                "last word": newest["note"],
            }
        )
    )


def order_facts(orders: pd.DataFrame) -> dict[str, Any]:
    """Counts and costs of the orders; they become plots over time in Dagit."""
    filled = orders[orders["filled_quantity"] > 0]
    notional = filled["filled_quantity"] * filled["average_price_usd"]
    return {
        "filled_orders": len(filled),
        "filled_notional_usd": round(float(notional.sum()), 2),
        "commission_usd": round(float(orders["commission_usd"].sum()), 2),
        **(
            {"slippage_bps": round(float((filled["slippage_bps"] * notional).sum() / notional.sum()), 2)}
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
        markers = [Marker(one.ts_utc, one.side, float(one.price)) for one in executed if one.symbol == symbol]
        prices = ", ".join(f"{one.side} {one.quantity:f} @ {one.price:f}" for one in executed if one.symbol == symbol)
        pictures[f"fills {symbol}"] = candles(
            bars[bars["symbol"] == symbol], markers, title=f"{symbol} · {prices[:60]}", time_zone=_zone(spec)
        )
    return pictures


def decision_facts(decisions: pd.DataFrame) -> dict[str, Any]:
    """How many orders passed and failed at each stage, the reasons counted, and the refusals as tables."""
    import pandas as pd

    verdicts = decisions.drop_duplicates(["client_order_id", "stage", "attempt"])
    counts = {
        f"{word}_at_{stage}": int(((verdicts["stage"] == stage) & (verdicts["is_approved"] == is_approved)).sum())
        for stage in ("decision", "submission")
        for word, is_approved in (("approved", True), ("refused", False))
    }
    refused = decisions[~decisions["is_approved"].astype(bool)]
    if refused.empty:
        return {**counts, "reasons": "none refused"}
    newest = refused.sort_values("decided_at_utc", ascending=False, kind="stable")
    codes = refused["reason_code"].value_counts()
    return {
        **counts,
        "reasons": table_metadata([{"reason_code": code, "refusals": int(count)} for code, count in codes.items()]),
        "refused": table_metadata(
            [
                {
                    "time_utc": f"{row['decided_at_utc']:%H:%M:%S}",
                    "at": row["stage"],
                    "order": _words(row),
                    "reason_code": row["reason_code"],
                }
                for row in _rows(newest)
            ]
        ),
        "refused_in_full": frame_in_full(
            pd.DataFrame(
                {
                    "time (UTC)": _times(newest["decided_at_utc"]),
                    "at": newest["stage"],
                    "order": newest["client_order_id"],
                    "reason code": newest["reason_code"],
                    "reason": newest["reason"],
                    "numbers": newest["numbers"],
                }
            )
        ),
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
    return table_metadata(
        [
            {
                "time_utc": f"{row['ts_utc']:%m-%d %H:%M:%S}",
                "strategy": row["strategy"] or "(by hand)",
                "fill": f"{_words(row)} @ {row['price_usd']:.10g}",
                "bps": round(row["slippage_bps"], 2),
                "fee": round(row["commission_usd"], 2),
            }
            for row in _rows(executions.tail(LATEST_FILLS).iloc[::-1])
        ]
    )


def slippage_facts(executions: pd.DataFrame) -> dict[str, Any]:
    """Mean slippage weighted by notional, and how the fills spread around it."""
    known = executions[executions["slippage_bps"].notna()]
    if known.empty:
        return {}
    notional = known["quantity"] * known["price_usd"]
    return {
        "mean_slippage_bps": round(float((known["slippage_bps"] * notional).sum() / notional.sum()), 2),
        "slippage": slippage_histogram(known["slippage_bps"].tolist()),
    }


def trace_of_fills(executions: pd.DataFrame, specs: Mapping[str, StrategySpec]) -> dg.MarkdownMetadataValue:
    """From each of the newest fills back to its bars, by links."""
    return markdown_table(
        [
            {
                "fill": cell(f"{fill['ts_utc']:%m-%d %H:%M:%S} {_words(fill)} @ {fill['price_usd']:.10g}"),
                "recorded by": link("run", run_path(fill["recorded_by_run"])),
                **_way_back(fill, specs),
            }
            for fill in _rows(executions.tail(LATEST_FILLS).iloc[::-1])
        ]
    )


def trace_of_orders(orders: pd.DataFrame, specs: Mapping[str, StrategySpec]) -> dg.MarkdownMetadataValue:
    """From each of the newest orders back to its bars, by links."""
    return markdown_table(
        [
            {
                "asked for": cell(f"{order['tick_utc']:%H:%M} {_words(order)}: {order['status']}"),
                **_way_back(order, specs),
            }
            for order in _rows(_newest_first(orders))
        ]
    )


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
        "decided by": link("run", run_path(row["decided_by_run"]) if row["decided_by_run"] else None),
        "signal": page("signals", signals_key(strategy)),
        "signal made by": link("run", made_by),
        "model": cell(row["model_version"] or ("rule" if spec is not None else "")),
        "features": page("features", features_key(feed)),
        "bars": page("validated", validated_key(feed)),
        "raw": page("raw", raw_key(feed)),
        "MLflow": page("run", ("research", f"{strategy}_session_run")),
    }


def _newest_first(orders: pd.DataFrame) -> pd.DataFrame:
    return orders.sort_values(["tick_utc", "symbol"], ascending=[False, True]).head(LATEST_ORDERS)


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows as mappings; a time that is missing is ``None``."""
    import pandas as pd

    return [
        {name: None if value is pd.NaT else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


def _at(quantity: float, price: float) -> str:
    return f"{quantity:.10g} @ {price:.10g}"


def _words(row: Mapping[Any, Any]) -> str:
    """What was asked for or done, e.g. "BUY 10 AAPL"."""
    return f"{row['side']} {row['quantity']:.10g} {row['symbol']}"


def _times(stamps: pd.Series, form: str = "%Y-%m-%d %H:%M:%S") -> pd.Series:
    import pandas as pd

    return pd.to_datetime(stamps, utc=True).dt.strftime(form)


def _zone(spec: StrategySpec) -> str:
    return str(get_calendar(spec.calendar).time_zone)
