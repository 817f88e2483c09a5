"""The indicator kernel against a bare TA-Lib loop, polars, pandas and vectorbt: 17 indicators, equal results.

Needs the group ``bench`` of ``pyproject.toml``. vectorbt runs in an interpreter of its own (``--vectorbt``), for it
does not share our bounds; it is left out where none is given. ``--real`` takes a Parquet file of daily bars besides.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import polars as pl
import talib
from common import machine, spread

from trading_platform.domain.features.compute import OrderedBars, compute_columns, compute_features
from trading_platform.domain.features.registry import indicators, parse

NAMES = [
    "return_1",
    "log_return_1",
    "sma_20",
    "ema_12",
    "ema_26",
    "macd_12_26_9",
    "macd_signal_12_26_9",
    "macd_histogram_12_26_9",
    "rsi_14",
    "atr_14",
    "bollinger_upper_20_2",
    "bollinger_lower_20_2",
    "volatility_20",
    "zscore_20",
    "channel_position_20",
    "volume_ratio_20",
    "drawdown_63",
]
FEATURES = [parse(name) for name in NAMES]
SETTLED = 400
"""From this bar of a symbol on, seeds of exponential averages are forgotten and results are compared."""

TOLERANCE = {"ema": 1e-4, "macd": 1e-4, "rsi": 5e-4, "atr": 1e-4}
"""Largest difference allowed where our averages are cut off at a hundred-thousandth; elsewhere 1e-6:
running sums differ from ours by 1e-7 on minute bars."""


@dataclass(frozen=True)
class Data:
    """One data set in the forms that the contestants take, each made before the clock runs."""

    name: str
    ordered: OrderedBars
    frame: pd.DataFrame
    """As the lake gives it: session by session."""
    sorted_frame: pd.DataFrame
    polars: pl.DataFrame

    @property
    def rows(self) -> int:
        return len(self.frame)


def generated(name: str, symbols: int, sessions: int, bars_per_session: int) -> Data:
    """Seeded random walks of daily or minute size."""
    rng = np.random.default_rng(20240501)
    count = sessions * bars_per_session
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02 / bars_per_session**0.5, (symbols, count)), axis=1)).ravel()
    opened = close * np.exp(rng.normal(0, 0.005 / bars_per_session**0.5, close.size))
    wick = 1 + rng.uniform(0, 0.004, close.size)
    days = pd.bdate_range("2015-01-02", periods=sessions)
    within = pd.to_timedelta(np.arange(bars_per_session) + 870 * (bars_per_session > 1), unit="min")
    times = (days.to_numpy()[:, None] + within.to_numpy()[None, :]).ravel()
    frame = pd.DataFrame(
        {
            "symbol": np.repeat([f"S{number:03d}" for number in range(symbols)], count),
            "session": np.tile(np.repeat(days.strftime("%Y-%m-%d"), bars_per_session), symbols),
            "ts_utc": pd.DatetimeIndex(np.tile(times, symbols), tz="UTC").as_unit("ns"),
            "open": opened,
            "high": np.maximum(opened, close) * wick,
            "low": np.minimum(opened, close) / wick,
            "close": close,
            "volume": np.floor(rng.lognormal(12, 1, close.size)),
        }
    )
    return from_frame(name, frame)


def real(path: Path) -> Data:
    """Daily bars of a Parquet file; rows without a price are left out, as validation would."""
    frame = pd.read_parquet(path).dropna().rename(columns={"ts": "ts_utc"})
    frame["session"] = frame["ts_utc"].dt.strftime("%Y-%m-%d")
    frame["volume"] = frame["volume"].astype(float)
    columns = ["symbol", "session", "ts_utc", "open", "high", "low", "close", "volume"]
    return from_frame("real", frame[columns].sort_values(["symbol", "ts_utc"], ignore_index=True))


def from_frame(name: str, frame: pd.DataFrame) -> Data:
    """All forms of bars sorted by symbol and time."""
    codes = pd.factorize(frame["symbol"])[0]
    bounds = (0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(frame))
    values = np.ascontiguousarray(frame[["open", "high", "low", "close", "volume"]].to_numpy().T)
    ordered = OrderedBars(
        values,
        frame["ts_utc"].astype("int64").to_numpy(),
        tuple(frame["symbol"].unique()),
        bounds,
        np.zeros(len(frame), int),
    )
    by_session = frame.sort_values(["ts_utc", "symbol"], kind="stable", ignore_index=True)
    columns = ["symbol", "open", "high", "low", "close", "volume"]
    return Data(name, ordered, by_session, frame, pl.DataFrame({name: frame[name].to_numpy() for name in columns}))


def ours_kernel(data: Data) -> np.ndarray:
    """The kernel: arrays in order in, arrays out."""
    return compute_columns(data.ordered, FEATURES)


def ours_public(data: Data) -> np.ndarray:
    """What the asset calls: sorts, checks, computes, and builds the frame."""
    return compute_features(data.frame, NAMES)[NAMES].to_numpy().T


def talib_loop(data: Data) -> np.ndarray:
    """TA-Lib symbol by symbol on contiguous arrays, into columns made before."""
    columns = np.empty((len(NAMES), data.rows))
    sample = (20 / 19) ** 0.5
    for first, end in pairwise(data.ordered.bounds):
        _, high, low, close, volume = data.ordered.values[:, first:end]
        out = columns[:, first:end]
        out[0] = talib.ROCP(close, 1)
        out[1] = np.log1p(out[0])
        out[2] = talib.SMA(close, 20)
        out[3], out[4] = talib.EMA(close, 12), talib.EMA(close, 26)
        out[5], out[6], out[7] = talib.MACD(close, 12, 26, 9)
        out[8] = talib.RSI(close, 14)
        out[9] = talib.ATR(high, low, close, 14)
        out[10], _, out[11] = talib.BBANDS(close, 20, 2, 2)
        out[12] = talib.STDDEV(out[1], 20) * sample
        out[13] = (close - out[2]) / (talib.STDDEV(close, 20) * sample)
        lowest = talib.MIN(low, 20)
        out[14] = (close - lowest) / (talib.MAX(high, 20) - lowest)
        out[15] = volume / talib.SMA(volume, 20)
        out[16] = close / talib.MAX(close, 63) - 1
    return columns


def polars_over(data: Data) -> np.ndarray:
    """polars expressions ``over`` the symbol, on all cores."""
    close, high, low, volume = (pl.col(name) for name in ("close", "high", "low", "volume"))
    before, move = close.shift(1), close.diff()
    reach = pl.max_horizontal(high - low, (high - before).abs(), (low - before).abs())
    fast, slow = close.ewm_mean(span=12, adjust=False), close.ewm_mean(span=26, adjust=False)
    signal = (fast - slow).ewm_mean(span=9, adjust=False)
    gain = move.clip(lower_bound=0).ewm_mean(alpha=1 / 14, adjust=False)
    loss = (-move).clip(lower_bound=0).ewm_mean(alpha=1 / 14, adjust=False)
    mean, change = close.rolling_mean(20), (close / before).log()
    band = 2 * close.rolling_std(20, ddof=0)
    lowest = low.rolling_min(20)
    expressions = [
        close / before - 1,
        change,
        mean,
        fast,
        slow,
        fast - slow,
        signal,
        fast - slow - signal,
        100 * gain / (gain + loss),
        reach.ewm_mean(alpha=1 / 14, adjust=False),
        mean + band,
        mean - band,
        change.rolling_std(20),
        (close - mean) / close.rolling_std(20),
        (close - lowest) / (high.rolling_max(20) - lowest),
        volume / volume.rolling_mean(20),
        close / close.rolling_max(63) - 1,
    ]
    over = [expression.over("symbol").alias(name) for name, expression in zip(NAMES, expressions, strict=True)]
    return np.array([column.to_numpy() for column in data.polars.select(over).get_columns()])


def pandas_groupby(data: Data) -> np.ndarray:
    """pandas: ``groupby`` with ``shift``, ``rolling`` and ``ewm``."""
    frame = data.sorted_frame
    symbol = frame["symbol"]

    def by_symbol(values: pd.Series) -> object:
        return values.groupby(symbol, sort=False)

    def flat(result: pd.Series) -> pd.Series:
        return result.droplevel(0)

    def rolling(values: pd.Series, period: int) -> object:
        return by_symbol(values).rolling(period)

    def smooth(values: pd.Series, **how: float) -> pd.Series:
        return flat(by_symbol(values).ewm(adjust=False, **how).mean())

    close, high, low, volume = frame["close"], frame["high"], frame["low"], frame["volume"]
    before = by_symbol(close).shift(1)
    move, change = close - before, np.log(close / before)
    reach = np.maximum(high, before) - np.minimum(low, before)
    fast, slow = smooth(close, span=12), smooth(close, span=26)
    signal = smooth(fast - slow, span=9)
    gain, loss = smooth(move.clip(lower=0), alpha=1 / 14), smooth((-move).clip(lower=0), alpha=1 / 14)
    mean, deviation = flat(rolling(close, 20).mean()), flat(rolling(close, 20).std())
    band = 2 * deviation * (19 / 20) ** 0.5
    lowest = flat(rolling(low, 20).min())
    return np.array(
        [
            close / before - 1,
            change,
            mean,
            fast,
            slow,
            fast - slow,
            signal,
            fast - slow - signal,
            100 * gain / (gain + loss),
            smooth(reach, alpha=1 / 14),
            mean + band,
            mean - band,
            flat(rolling(change, 20).std()),
            (close - mean) / deviation,
            (close - lowest) / (flat(rolling(high, 20).max()) - lowest),
            volume / flat(rolling(volume, 20).mean()),
            close / flat(rolling(close, 63).max()) - 1,
        ]
    )


CONTESTANTS: dict[str, Callable[[Data], np.ndarray]] = {
    "ours, the kernel": ours_kernel,
    "ours, compute_features": ours_public,
    f"bare TA-Lib {version('TA-Lib')} loop": talib_loop,
    f"polars {version('polars')} over": polars_over,
    f"pandas {version('pandas')} groupby": pandas_groupby,
}


def vectorbt_run(data: Data, interpreter: Path, rounds: int, folder: Path) -> tuple[str, Times, np.ndarray]:
    """vectorbt's name and version, seconds and results; symbols side by side, as it wants them."""
    count = data.rows // len(data.ordered.symbols)
    wide = data.ordered.values.reshape(5, len(data.ordered.symbols), count).transpose(0, 2, 1)
    np.save(folder / "bars.npy", wide)
    program = Path(__file__).with_name("indicators_vectorbt.py")
    done = subprocess.run(
        [interpreter, "-W", "ignore", program, folder, str(rounds)], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    results = np.load(folder / "results.npy").transpose(0, 2, 1).reshape(len(NAMES), -1)
    return f"vectorbt {told['version']}", told["seconds"], results


def differences(data: Data, expected: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Largest difference of each indicator, relative to the close for prices and to their spread for others.

    Raises:
        AssertionError: a result differs by more than its tolerance.
    """
    starts = np.repeat(data.ordered.bounds[:-1], np.diff(data.ordered.bounds))
    rows = np.arange(data.rows) - starts >= SETTLED
    result = {}
    for row, name in enumerate(NAMES):
        ours, theirs = expected[row, rows], found[row, rows]
        known = np.isfinite(ours) & np.isfinite(theirs)
        assert known.mean() > 0.99, f"{name}: {known.mean():.1%} of the values can be compared"
        scale = data.ordered.values[3, rows][known] if parse(name).units == "price" else np.std(ours[known])
        result[name] = float(np.max(np.abs(ours - theirs)[known] / scale))
        allowed = TOLERANCE.get(name.split("_")[0], 1e-6)
        assert result[name] <= allowed, f"{name} differs by {result[name]:.1e}, more than {allowed:.0e}"
    return result


Times = list[tuple[float, float]]
"""Seconds by the clock and of processor time, per round."""


def race(data: Data, rounds: int, vectorbt: Path | None) -> dict[str, Times]:
    """Times of each contestant, in turns, after one turn whose results are compared."""
    expected = ours_kernel(data)
    for name, contestant in CONTESTANTS.items():
        worst = differences(data, expected, contestant(data))
        print(
            f"{data.name}: {name}: largest difference {max(worst.values()):.1e} ({max(worst, key=worst.__getitem__)})"
        )
    seconds: dict[str, Times] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            start, processor = time.perf_counter(), time.process_time()
            contestant(data)
            seconds[name].append((time.perf_counter() - start, time.process_time() - processor))
    is_wide = len(set(np.diff(data.ordered.bounds).tolist())) == 1
    if vectorbt is not None and is_wide:
        with tempfile.TemporaryDirectory() as folder:
            name, taken, found = vectorbt_run(data, vectorbt, rounds, Path(folder))
        worst = differences(data, expected, found)
        print(
            f"{data.name}: {name}: largest difference {max(worst.values()):.1e} ({max(worst, key=worst.__getitem__)})"
        )
        seconds[name] = taken
    return seconds


def per_indicator(data: Data) -> dict[str, float]:
    """Nanoseconds per row of each indicator of the registry alone, best of three."""
    result = {}
    for entry in indicators().values():
        feature = parse(entry.example_name.replace("SPY", data.ordered.symbols[0]))
        taken = []
        for _ in range(3):
            start = time.process_time()
            compute_columns(data.ordered, [feature])
            taken.append(time.process_time() - start)
        result[feature.name] = min(taken) / data.rows * 1e9
    return result


def small_inputs() -> dict[str, float]:
    """Milliseconds of processor time of a tick's computation, median of 50: 17 features of the bars it reads."""
    result = {}
    for name, symbols, sessions, size in (("46 bars of one symbol", 1, 1, 46), ("25 symbols, 3 × 78 bars", 25, 3, 78)):
        data = generated(name, symbols, sessions, size)
        taken = []
        for _ in range(50):
            start = time.process_time()
            compute_features(data.frame, NAMES)
            taken.append(time.process_time() - start)
        result[name] = median(taken) * 1e3
    return result


def show_race(data: Data, seconds: dict[str, Times]) -> None:
    """Print a Markdown table: by the clock, and in processor time, which other work on the machine disturbs less."""
    base = median(spent for _, spent in seconds["ours, the kernel"])
    print(f"\n{data.name}: {data.rows:,} rows, {len(data.ordered.symbols)} symbols, {len(NAMES)} indicators")
    print("\n| | seconds by the clock | of processor time | million rows per processor second | times ours |")
    print("|---|---|---|---|---|")
    for name, taken in seconds.items():
        clock, spent = ([pair[place] for pair in taken] for place in (0, 1))
        print(
            f"| {name} | {spread(clock)} | {spread(spent)} | {data.rows / median(spent) / 1e6:.2f} | "
            f"{median(spent) / base:.1f} |"
        )


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vectorbt", type=Path, help="Python interpreter that has vectorbt")
    parser.add_argument(
        "--real", type=Path, help="Parquet file of daily bars: symbol, ts, open, high, low, close, volume"
    )
    parser.add_argument("--only", choices=["daily", "minute", "real"], help="one data set instead of all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(machine())
    sets = {
        "daily": partial(generated, "daily", 500, 2520, 1),
        "minute": partial(generated, "minute", 25, 252, 390),
        **({"real": partial(real, arguments.real)} if arguments.real else {}),
    }
    small = small_inputs()
    raw: dict[str, object] = {"machine": machine(), "small": small}
    for what, taken in small.items():
        print(f"{what}: {taken:.2f} ms of processor time")
    for name, make in sets.items():
        if arguments.only not in (None, name):
            continue
        data = make()
        seconds = race(data, arguments.rounds, arguments.vectorbt)
        show_race(data, seconds)
        raw[name] = {"rows": data.rows, "seconds": seconds, "ns_per_row": per_indicator(data)}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(raw, indent=2))


if __name__ == "__main__":
    main()
