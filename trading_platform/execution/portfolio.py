"""Positions and equity as tables: the broker's word beside the ledger's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.portfolio.accounting import book_from_fills
from trading_platform.domain.portfolio.exposure import exposure_of
from trading_platform.domain.portfolio.performance import curve_figures, drawdowns, trade_figures
from trading_platform.schemas.base import empty
from trading_platform.schemas.portfolio import Performance, Positions
from trading_platform.storage.ledger import Ledger


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
    """The account's equity readings, oldest first, with the drawdown from the highest so far.

    The drawdown treats deposits and withdrawals as gains and losses: it is the account's, not a strategy's.
    """
    history = ledger.equity_history(account)
    if not history:
        return empty(Performance)
    frame = pd.DataFrame(
        {
            "account": account,
            "ts_utc": [pd.Timestamp(point.ts_utc) for point in history],
            "equity_usd": [float(point.net_liquidation) for point in history],
            "cash_usd": [float(point.total_cash) for point in history],
            "gross_exposure_usd": [float(point.gross_position_value) for point in history],
        }
    )
    frame["drawdown_pct"] = drawdowns(frame["equity_usd"].tolist()) * 100
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

    A figure that can't be had yet is left out.
    """
    if performance.empty:
        return {}
    account = str(performance["account"].iloc[0])
    days = performance.groupby(performance["ts_utc"].dt.date)["equity_usd"].last().tolist()
    book = book_from_fills([fill.execution for fill in ledger.fills(account)])
    figures = {
        **asdict(curve_figures(days)),
        **asdict(trade_figures(book, days)),
        "realized_pnl_usd": book.realized_pnl,
    }
    return {name: value for name, value in figures.items() if value is not None}


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
