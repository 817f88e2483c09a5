"""Positions and equity as tables: the broker's word beside the ledger's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
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
    frame["drawdown_pct"] = (frame["equity_usd"] / frame["equity_usd"].cummax() - 1) * 100
    return frame


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
