"""Bars for tests: random walks that keep the rules of bars, and the real daily bars of bokeh_sampledata."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import expected_bar_starts
from trading_platform.domain.signals.spec import BarSize

FIRST_SESSION = date(2012, 6, 4)


@lru_cache(maxsize=32)
def bar_times(count: int, bar_size: BarSize, calendar: str) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """The first ``count`` bar starts from ``FIRST_SESSION`` on, and their sessions."""
    market = get_calendar(calendar)
    starts: list[object] = []
    sessions: list[str] = []
    day = FIRST_SESSION
    while len(starts) < count:
        of_day = expected_bar_starts(day, bar_size, market)
        starts += of_day
        sessions += [day.isoformat()] * len(of_day)
        day = market.offset(day, 1)
    return pd.DatetimeIndex(starts[:count]).as_unit("ns"), tuple(sessions[:count])


def random_bars(
    symbols: tuple[str, ...], count: int, seed: int, bar_size: BarSize = "1 day", calendar: str = "XNYS"
) -> pd.DataFrame:
    """``count`` bars per symbol that keep the rules of bars: columns as validated bars have them, sorted."""
    rng = np.random.default_rng(seed)
    times, sessions = bar_times(count, bar_size, calendar)
    frames = []
    for symbol in symbols:
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
        open_ = close * np.exp(rng.normal(0, 0.01, count))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "session": sessions,
                    "ts_utc": times,
                    "open": open_,
                    "high": np.maximum(open_, close) * (1 + rng.uniform(0, 0.01, count)),
                    "low": np.minimum(open_, close) * (1 - rng.uniform(0, 0.01, count)),
                    "close": close,
                    "volume": np.floor(rng.lognormal(12, 1, count)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).sort_values(["symbol", "ts_utc"], ignore_index=True)


@lru_cache(maxsize=1)
def real_daily_bars() -> pd.DataFrame:
    """Real daily bars of AAPL, FB, GOOG, IBM and MSFT, 2000 to 2013. Don't change the frame."""
    import bokeh_sampledata

    raw = pd.read_csv(Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz")
    raw.columns = [column.lower() for column in raw.columns]
    bars = raw.rename(columns={"ticker": "symbol", "date": "session"})
    bars["ts_utc"] = pd.to_datetime(bars["session"], utc=True).dt.as_unit("ns")
    bars["volume"] = bars["volume"].astype(float)
    return bars[["symbol", "session", "ts_utc", "open", "high", "low", "close", "volume"]]
