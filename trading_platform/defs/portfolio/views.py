"""What the assets of the portfolio stage show in Dagit. Imported inside the assets only: it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.execution.equity import EquityAgreement
from trading_platform.execution.portfolio import account_figures
from trading_platform.ops.links import frame_in_full
from trading_platform.ops.metadata import clean, table_metadata
from trading_platform.ops.order_plots import exposure_over_time
from trading_platform.ops.plots import equity_curve

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.storage.ledger import Ledger

CENTS = 2
PERCENT = ("total_return", "annual_return", "annual_volatility", "max_drawdown", "current_drawdown", "hit_rate")
"""Figures that are fractions: they are shown in percent."""
IN_WORDS = {
    "periods": "days with a return",
    "total_return": "return, time-weighted",
    "annual_return": "return per year",
    "annual_volatility": "volatility per year",
    "sharpe_ratio": "Sharpe ratio",
    "sortino_ratio": "Sortino ratio",
    "calmar_ratio": "Calmar ratio",
    "max_drawdown": "worst drawdown",
    "current_drawdown": "drawdown now",
    "closes": "closing fills",
    "hit_rate": "hit rate",
    "profit_factor": "profit factor",
    "average_win_usd": "average win, USD",
    "average_loss_usd": "average loss, USD",
    "realized_pnl_usd": "realized P&L before commissions, USD",
    "commissions_usd": "commissions, USD",
    "commission_bps": "commissions, bps of traded notional",
    "slippage_usd": "slippage against decision prices, USD",
    "traded_notional_usd": "traded notional, USD",
    "turnover": "turnover, times mean equity",
    "external_flows_usd": "cash in or out that no fill explains, USD",
}
"""Figures in the order in which they are shown, as a trader calls them."""


def holdings(positions: pd.DataFrame, equity: float) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """The open positions, the largest first, with what each is of equity and what it earned."""
    import pandas as pd

    held = positions[positions["quantity"] != 0].sort_values("market_value_usd", key=abs, ascending=False)
    return table_metadata(
        pd.DataFrame(
            {
                "symbol": held["symbol"],
                "quantity": held["quantity"],
                "avg_price": held["average_price_usd"].round(4),
                "last": held["last_price_usd"],
                "value_usd": held["market_value_usd"].round(CENTS),
                "equity_pct": (held["market_value_usd"] / equity * 100).round(2),
                "unrealized": held["unrealized_pnl_usd"].round(CENTS),
            }
        )
    )


def performance_facts(ledger: Ledger, performance: pd.DataFrame, strategies: pd.DataFrame) -> dict[str, Any]:
    """Figures, curves and each strategy's part."""
    latest = performance.iloc[-1]
    figures = account_figures(ledger, performance)
    figures["slippage_usd"] = float(strategies["slippage"].sum()) if len(strategies) else 0.0
    curve = list(zip(performance["ts_utc"], performance["equity_usd"], strict=True))
    exposure = performance[["ts_utc", "gross_exposure_usd", "net_exposure_usd", "equity_usd"]]
    return {
        "equity_usd": float(latest["equity_usd"]),
        "cash_usd": float(latest["cash_usd"]),
        "gross_exposure_usd": float(latest["gross_exposure_usd"]),
        "drawdown_pct": round(float(latest["drawdown_pct"]), 4),
        "return_pct": round(float(latest["growth_of_1_usd"] - 1) * 100, 4),
        "equity": equity_curve(curve, growth=performance["growth_of_1_usd"].tolist()),
        "exposure": exposure_over_time(list(exposure.itertuples(index=False, name=None))),
        **strategy_tables(strategies),
        "figures": figures_table(figures),
    }


def figures_table(figures: dict[str, Any]) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """The figures in words, those that there are; fractions in percent. What can't be had yet is named."""
    rows = []
    for name, words in IN_WORDS.items():
        value = figures.get(name)
        if value is None:
            rows.append({"figure": words, "value": "not yet"})
        elif name in PERCENT:
            rows.append({"figure": words, "value": f"{float(value) * 100:.2f} %"})
        else:
            rows.append({"figure": words, "value": f"{value:,}" if isinstance(value, int) else f"{float(value):,.2f}"})
    return table_metadata(rows)


def strategy_tables(strategies: pd.DataFrame) -> dict[str, Any]:
    """Each strategy's profit and costs, to the cent: what matters most beside each other, and all of it in a dialog."""
    if strategies.empty:
        return {"by_strategy": "no fills yet"}
    rounded = strategies.round(CENTS).assign(hit_rate=(strategies["hit_rate"].astype(float) * 100).round(1))
    rounded = rounded.rename(columns={"hit_rate": "hit_rate_pct"})
    return {
        "by_strategy": table_metadata(rounded[["strategy", "net_pnl", "realized", "unrealized", "commissions"]]),
        "by_strategy_in_full": frame_in_full(rounded),
    }


def cash_check(key: dg.AssetKey, name: str, performance: pd.DataFrame, recent: pd.DataFrame) -> dg.AssetCheckResult:
    """Whether fills explain the broker's cash. Money that came or went is no error: it is said."""
    latest = performance.iloc[-1]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=recent.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=clean(
            {
                "cash_at_broker_usd": latest["cash_usd"],
                "cash_from_fills_usd": latest["cash_from_fills_usd"],
                "unexplained_cash_usd": round(latest["cash_usd"] - latest["cash_from_fills_usd"], CENTS),
                "came_or_went_lately": table_metadata(recent[["ts_utc", "external_flow_usd", "cash_usd"]])
                if len(recent)
                else "nothing",
            }
        ),
    )


def equity_check(key: dg.AssetKey, name: str, agreement: EquityAgreement) -> dg.AssetCheckResult:
    """Whether positions from fills are worth what the broker says. What can't be compared warns."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=agreement.is_agreed,
        severity=dg.AssetCheckSeverity.ERROR if agreement.is_comparable else dg.AssetCheckSeverity.WARN,
        metadata=clean(
            {
                "equity_at_broker_usd": agreement.at_broker,
                "equity_from_fills_usd": agreement.from_fills,
                "difference_usd": agreement.difference,
                "quotes_explain_usd": agreement.tolerance,
                "not_comparable": list(agreement.obstacles) or "no",
            }
        ),
    )
