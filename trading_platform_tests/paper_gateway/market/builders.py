"""Small markets for tests."""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market.datasets import Dataset, MarketData, SymbolHistory, load_directory
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.sessions import session_index
from trading_platform.paper_gateway.model import Contract

UTC = timezone.utc


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, *, second: int = 0) -> datetime:
    """A UTC instant."""
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def contract_of(market: Market, symbol: str) -> Contract:
    """The one contract that the market lists as ``symbol``, whatever its ticker is."""
    [contract] = [contract for contract in _book_of(market).contracts if contract.listed_as == symbol]
    return contract


@lru_cache(maxsize=4)
def _book_of(market: Market) -> ContractBook:
    return ContractBook(market)


def daily_history(
    symbol: str, first: date, count: int, *, seed: int = 1, skip: tuple[int, ...] = (), calendar: str = "XNYS"
) -> SymbolHistory:
    """``count`` sessions of plausible bars from ``first`` on, without those whose number is in ``skip``."""
    start = session_index(calendar).position(first)
    assert start is not None
    rng = np.random.default_rng(seed)
    closes = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, count))), 2)
    opens = np.round(closes * np.exp(rng.normal(0, 0.01, count)), 2)
    highs = np.round(np.maximum(opens, closes) * (1 + rng.random(count) * 0.02), 2)
    lows = np.round(np.minimum(opens, closes) * (1 - rng.random(count) * 0.02), 2)
    volumes = rng.integers(0, 5_000_000, count).astype(float)
    keep = np.array([i not in skip for i in range(count)])
    none = np.zeros(int(keep.sum()), dtype=np.int64)
    return SymbolHistory(
        symbol,
        calendar,
        (start + np.arange(count))[keep],
        opens[keep],
        highs[keep],
        lows[keep],
        closes[keep],
        volumes[keep],
        np.ones(len(none)),
        None,
        none,
        none,
    )


def data_of(*histories: SymbolHistory, name: str = "test") -> MarketData:
    """Market data of one data set."""
    return MarketData((Dataset(name, {history.symbol: history for history in histories}),))


def minute_frame(symbol: str, starts: list[datetime], *, step: int = 1, seed: int = 3) -> pd.DataFrame:
    """Intraday bars as a user's file has them: sessions that open at ``starts``, 390 minutes long."""
    rng = np.random.default_rng(seed)
    stamps = [pd.Timestamp(start) + pd.Timedelta(minutes=i) for start in starts for i in range(0, 390, step)]
    count = len(stamps)
    closes = np.round(100 + np.cumsum(rng.normal(0, 0.05, count)), 2)
    opens = np.round(closes + rng.normal(0, 0.03, count), 2)
    return pd.DataFrame(
        {
            "symbol": symbol,
            "ts": stamps,
            "open": opens,
            "high": np.maximum(opens, closes) + 0.05,
            "low": np.minimum(opens, closes) - 0.05,
            "close": closes,
            "volume": rng.integers(1, 10_000, count),
        }
    )


def load_frames(directory: Path, **frames: pd.DataFrame) -> MarketData:
    """Write each frame as Parquet and load the directory."""
    for name, frame in frames.items():
        frame.to_parquet(directory / f"{name}.parquet", index=False)
    return MarketData((load_directory(directory),))
