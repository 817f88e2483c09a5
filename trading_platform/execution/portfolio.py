"""Positions and equity as tables: the broker's word beside the ledger's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.portfolio.accounting import book_from_fills
from trading_platform.domain.portfolio.cash import CashReading, explain_cash
from trading_platform.domain.portfolio.exposure import exposure_of
from trading_platform.domain.portfolio.performance import (
    DAYS_PER_YEAR,
    SESSIONS_PER_YEAR,
    curve_figures,
    drawdowns,
    time_weighted_index,
    trade_figures,
)
from trading_platform.schemas.base import empty
from trading_platform.schemas.portfolio import Performance, Positions
from trading_platform.storage.ledger import Fill, Ledger

BY_HAND = "(by hand)"
"""Stands for the strategy of fills that the platform did not ask for."""
SATURDAY = 5


def positions_table(
    ledger: Ledger, broker: Broker, instruments: Mapping[str, Instrument], *, at: datetime, run_id: str
) -> pd.DataFrame:
    """Holdings at the broker and in the ledger, by symbol; what only one of them has is there too.

    The broker's holdings are stored in the ledger as a snapshot.
    """
    held = {position.symbol: position for position in broker.positions()}
    ledger.record_positions(broker.account, list(held.values()), at=at, run_id=run_id)
    in_ledger = ledger.positions_from_fills(broker.account)
    rows = []
    for symbol in sorted({*held, *in_ledger}):
        position = held.get(symbol)
        quantity = float(position.quantity) if position else 0.0
        average = float(position.average_price) if position else 0.0
        last = _last_price(broker, instruments.get(symbol))
        rows.append(
            {
                "account": broker.account,
                "symbol": symbol,
                "quantity": quantity,
                "ledger_quantity": float(in_ledger.get(symbol, 0)),
                "average_price_usd": average,
                "last_price_usd": last,
                "market_value_usd": quantity * last,
                "unrealized_pnl_usd": quantity * (last - average),
                "ts_utc": pd.Timestamp(at),
            }
        )
    return pd.DataFrame(rows) if rows else empty(Positions)


def performance_table(ledger: Ledger, account: str) -> pd.DataFrame:
    """The account's equity readings, oldest first, with what fills explain of its cash and its time-weighted growth.

    Cash that fills do not explain is a flow from outside: it is no gain and no loss (``domain.portfolio.cash``).
    """
    history = ledger.equity_history(account)
    if not history:
        return empty(Performance)
    fills = [fill.execution for fill in ledger.fills(account)]
    explained = explain_cash([CashReading(point.ts_utc, point.total_cash) for point in history], fills)
    frame = pd.DataFrame(
        {
            "account": account,
            "ts_utc": [pd.Timestamp(point.ts_utc) for point in history],
            "equity_usd": [float(point.net_liquidation) for point in history],
            "cash_usd": [float(point.total_cash) for point in history],
            "gross_exposure_usd": [float(point.gross_position_value) for point in history],
            "net_exposure_usd": [float(point.net_liquidation - point.total_cash) for point in history],
            "cash_from_fills_usd": [float(reading.from_fills) for reading in explained],
            "external_flow_usd": [float(reading.flow) for reading in explained],
        }
    )
    growth = time_weighted_index(frame["equity_usd"].tolist(), frame["external_flow_usd"].tolist())
    frame["growth_of_1_usd"] = growth
    frame["drawdown_pct"] = drawdowns(growth.tolist()) * 100
    return frame


def exposure_facts(positions: pd.DataFrame, equity: Decimal) -> dict[str, Any]:
    """Exposure of what has a price, USD; holdings without one are named, they do not count as zero in silence."""
    is_priced = positions["last_price_usd"].notna()
    priced = positions[is_priced]
    exposure = exposure_of(_decimals(priced, "quantity"), _decimals(priced, "last_price_usd"), equity)
    unpriced = positions.loc[~is_priced & (positions["quantity"] != 0), "symbol"].tolist()
    return {
        "long_exposure_usd": exposure.long_usd,
        "short_exposure_usd": exposure.short_usd,
        "gross_exposure_usd": exposure.gross_usd,
        "net_exposure_usd": exposure.net_usd,
        "leverage": exposure.leverage,
        **({"holdings_without_a_price": unpriced} if unpriced else {}),
    }


def account_figures(ledger: Ledger, performance: pd.DataFrame) -> dict[str, Any]:
    """Return, volatility, Sharpe and the like from the last reading of each UTC day; trades from all fills.

    Time-weighted. Annualised with 252 days a year, or with 365 once the account has been read on weekends. A figure
    that can't be had yet is left out.
    """
    if performance.empty:
        return {}
    account = str(performance["account"].iloc[0])
    days = performance.groupby(performance["ts_utc"].dt.date)[["equity_usd", "growth_of_1_usd"]].last()
    has_weekends = any(day.weekday() >= SATURDAY for day in days.index)
    curve = days["growth_of_1_usd"].tolist()
    book = book_from_fills([fill.execution for fill in ledger.fills(account)])
    figures = {
        **asdict(curve_figures(curve, DAYS_PER_YEAR if has_weekends else SESSIONS_PER_YEAR)),
        **asdict(trade_figures(book, days["equity_usd"].tolist())),
        "realized_pnl_usd": book.realized_pnl,
        "first_equity": performance["equity_usd"].iloc[0],
        "last_equity": performance["equity_usd"].iloc[-1],
        "external_flows_usd": performance["external_flow_usd"].sum(),
    }
    return {name: value for name, value in figures.items() if value is not None}


def strategy_figures(ledger: Ledger, account: str, marks: Mapping[str, Decimal]) -> pd.DataFrame:
    """What each strategy earned and cost, from its fills alone; one row per strategy, fills by hand in a last one.

    Money is USD. ``net_pnl`` is realized plus unrealized less commissions; ``slippage`` is what fills cost against
    the decision price and is in the profit already. Without a mark for all it holds, ``unrealized`` is NaN.
    """
    by_strategy: dict[str, list[Fill]] = {}
    for fill in ledger.fills(account):
        by_strategy.setdefault(fill.strategy or BY_HAND, []).append(fill)
    rows = []
    for strategy in sorted(by_strategy, key=lambda name: (name == BY_HAND, name)):
        fills = by_strategy[strategy]
        book = book_from_fills([fill.execution for fill in fills])
        figures = trade_figures(book)
        is_marked = all(symbol in marks for symbol in book.positions)
        unrealized = float(book.unrealized_pnl(marks)) if is_marked else float("nan")
        slippage = slippage_usd(ledger, account, fills)
        rows.append(
            {
                "strategy": strategy,
                "fills": len(fills),
                "net_pnl": float(book.realized_pnl) + unrealized - figures.commissions_usd,
                "realized": float(book.realized_pnl),
                "unrealized": unrealized,
                "commissions": figures.commissions_usd,
                "slippage": slippage,
                "slippage_bps": slippage / figures.traded_notional_usd * 10_000,
                "traded_notional": figures.traded_notional_usd,
                "closes": figures.closes,
                "hit_rate": figures.hit_rate,
                "profit_factor": figures.profit_factor,
            }
        )
    return pd.DataFrame(rows)


def slippage_usd(ledger: Ledger, account: str, fills: Sequence[Fill]) -> float:
    """What the fills cost against their orders' decision prices, USD; negative is better. By hand: nothing."""
    names = {fill.execution.client_order_id for fill in fills if fill.strategy is not None}
    decided = {
        order.client_order_id: order.intent.decision_price
        for order in (ledger.orders(account, client_order_ids=names) if names else [])
    }
    cost = Decimal(0)
    for one in (fill.execution for fill in fills):
        if one.client_order_id in decided:
            difference = (one.price - decided[one.client_order_id]) * one.quantity
            cost += difference if one.side == "BUY" else -difference
    return float(cost)


def _decimals(frame: pd.DataFrame, column: str) -> dict[str, Decimal]:
    return {symbol: Decimal(str(value)) for symbol, value in zip(frame["symbol"], frame[column], strict=True)}


def _last_price(broker: Broker, instrument: Instrument | None) -> float:
    """The instrument's last price, NaN when there is none to be had."""
    if instrument is None:
        return float("nan")
    try:
        quote = broker.quote(instrument)
    except BrokerConnectionError:
        raise
    except BrokerError:
        return float("nan")
    return float(quote.last) if quote.last is not None else float("nan")
