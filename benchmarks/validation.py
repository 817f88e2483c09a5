"""Validation of 1.26M daily bars with all rules, against one bare Pandera call with the row rules alone; and a tick."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from common import show, spread

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.validation import missing_bars, validate_bars

SYMBOLS = 500
SESSIONS = 2520
AS_OF = datetime(2020, 1, 2, tzinfo=timezone.utc)
XNYS = get_calendar("XNYS")
DAYS = XNYS.sessions(date(2008, 1, 2), date(2019, 1, 2))[:SESSIONS]


def bars() -> pd.DataFrame:
    """Ten years of daily bars of 500 symbols, sorted, as the lake returns them: random walks that break no rule."""
    rng = np.random.default_rng(7)
    rows = SYMBOLS * SESSIONS
    close = (50 * np.exp(np.cumsum(rng.normal(0, 0.01, (SYMBOLS, SESSIONS)), axis=1))).ravel()
    open_ = close * np.exp(rng.normal(0, 0.005, rows))
    days = np.array([day.isoformat() for day in DAYS], dtype=object)
    stamps = np.tile(np.array(DAYS, dtype="datetime64[ns]"), SYMBOLS)
    return pd.DataFrame(
        {
            "symbol": np.repeat(np.array([f"S{number:03d}" for number in range(SYMBOLS)], dtype=object), SESSIONS),
            "session": np.tile(days, SYMBOLS),
            "ts_utc": pd.DatetimeIndex(stamps).tz_localize("UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.003,
            "low": np.minimum(open_, close) * 0.997,
            "close": close,
            "volume": np.floor(rng.lognormal(12, 0.5, rows)),
        }
    )


def spoilt(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """The same bars with a share of faults of all kinds, and out of order."""
    rng = np.random.default_rng(8)
    frame = frame.copy()
    rows = rng.choice(len(frame), int(share * len(frame)), replace=False)
    for part, (column, factor) in zip(
        np.array_split(rows, 4), [("low", 0.1), ("high", 0.5), ("close", np.nan), ("volume", 0.0)], strict=True
    ):
        frame.loc[part, column] *= factor
    return frame.sample(frac=1, random_state=9, ignore_index=True)


def bare_schema() -> pa.DataFrameSchema:
    """The rules about single rows, and the key, as somebody would write them with Pandera alone."""
    price = [pa.Check.gt(0), pa.Check.lt(1e9)]
    return pa.DataFrameSchema(
        {
            "symbol": pa.Column(str),
            "session": pa.Column(str),
            "ts_utc": pa.Column("datetime64[ns, UTC]"),
            **{name: pa.Column(float, price) for name in ("open", "high", "low", "close")},
            "volume": pa.Column(float, [pa.Check.ge(0), pa.Check.lt(1e15)]),
        },
        checks=[
            pa.Check(
                lambda frame: (
                    (frame["high"] >= frame["open"])
                    & (frame["high"] >= frame["close"])
                    & (frame["low"] <= frame["open"])
                    & (frame["low"] <= frame["close"])
                )
            )
        ],
        unique=["symbol", "ts_utc"],
    )


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Seconds of each of some repetitions, after one that warms up."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def main() -> None:
    """Measure in turn and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    frame, schema = bars(), bare_schema()
    dirty = spoilt(frame, 0.001)
    last = frame.groupby("symbol").tail(1).head(46).reset_index(drop=True)
    symbols = sorted(frame["symbol"].unique())

    def ours(rows: pd.DataFrame) -> Callable[[], object]:
        return lambda: validate_bars(rows, bar_size="1 day", calendar=XNYS, as_of=AS_OF)

    bare, full = [], []
    for _ in range(arguments.times):  # in turn, so that a busy machine slows both
        bare += timed(lambda: schema.validate(frame), 1)
        full += timed(ours(frame), 1)
    faulty = timed(ours(dirty), arguments.times)
    gaps = timed(
        lambda: missing_bars(frame, symbols=symbols, sessions=DAYS, bar_size="1 day", calendar=XNYS, as_of=AS_OF),
        arguments.times,
    )
    tick_bare, tick = timed(lambda: schema.validate(last), 50), timed(ours(last), 50)
    ratios = [one / other for one, other in zip(full, bare, strict=True)]
    show(
        f"Validation of {len(frame):,} daily bars ({SYMBOLS} symbols)",
        {
            "one bare Pandera call with the row rules and the key, s": spread(bare),
            "all rules of the platform, s": spread(full),
            "ratio, pair by pair": spread(ratios),
            "all rules, 0.1 % faulty rows, rows shuffled, s": spread(faulty),
            "missing bars against the calendar, s": spread(gaps),
            "46 rows: bare Pandera, ms": spread([1000 * one for one in tick_bare]),
            "46 rows: all rules, ms": spread([1000 * one for one in tick]),
        },
        arguments.json,
        {"bare": bare, "full": full, "faulty": faulty, "ratio": statistics.median(ratios), "tick": tick},
    )


if __name__ == "__main__":
    main()
