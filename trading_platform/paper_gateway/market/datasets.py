"""Real bars by symbol and session: those bundled with the platform, and those of the user's directory."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import ALWAYS_OPEN
from trading_platform.paper_gateway.market.bridge import Floats
from trading_platform.paper_gateway.market.files import (
    ADJUSTED_CLOSE,
    PRICES,
    DatasetError,
    data_files,
    fail_at,
    read_bars,
)
from trading_platform.paper_gateway.market.listings import LISTINGS, XNYS
from trading_platform.paper_gateway.market.sessions import SessionIndex, session_index

BUNDLED = "bokeh_sampledata"
_EXCHANGE_ZONE = "America/New_York"
_CRYPTO_PAIR = re.compile(r"^([A-Z]{3,5})[-/._]?USD$")
_MINUTE_NS = 60 * 10**9

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IntradayBars:
    """Intraday bars of one symbol, session after session. ``offset`` is the bar's start in minutes since the open.

    ``step`` is the bars' length in minutes.
    """

    step: int
    offset: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, eq=False)
class SymbolHistory:
    """The sessions of one symbol, oldest first: arrays of equal length.

    ``positions`` count sessions of ``calendar``. ``factor`` takes a session's raw prices to the scale of the
    last one (1.0 where splits and dividends are not known). Session ``i`` owns the intraday bars
    ``intraday_start[i] : intraday_stop[i]``, which may be none; ``intraday`` is None when there are none at all.
    """

    symbol: str
    calendar: str
    positions: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    factor: Floats
    intraday: IntradayBars | None
    intraday_start: Ints
    intraday_stop: Ints

    @property
    def first_day(self) -> date:
        """Date of the first session."""
        return session_index(self.calendar).days[int(self.positions[0])]

    @property
    def last_day(self) -> date:
        """Date of the last session."""
        return session_index(self.calendar).days[int(self.positions[-1])]

    @property
    def grain(self) -> str:
        """What the bars are, for people: "daily", "1-minute", "60-minute"."""
        return "daily" if self.intraday is None else f"{self.intraday.step}-minute"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Histories that belong together, by symbol. ``name`` says where they come from."""

    name: str
    histories: Mapping[str, SymbolHistory]

    def last_position(self, calendar: str) -> int:
        """Position of the last session on ``calendar`` of any symbol."""
        return max(int(h.positions[-1]) for h in self.histories.values() if h.calendar == calendar)


@dataclass(frozen=True)
class MarketData:
    """All data sets, most important first: a symbol's history comes from the first one that has it."""

    datasets: tuple[Dataset, ...] = field(default=())

    def find(self, symbol: str) -> tuple[Dataset, SymbolHistory] | None:
        """The history of ``symbol`` and its data set; None when no data set has it."""
        for dataset in self.datasets:
            if symbol in dataset.histories:
                return dataset, dataset.histories[symbol]
        return None

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol with data, by name."""
        return tuple(sorted({symbol for dataset in self.datasets for symbol in dataset.histories}))


def load_market_data(directory: Path | None = None) -> MarketData:
    """The bundled bars, and before them those of ``directory`` when one is named.

    Raises:
        DatasetError: the directory or a file in it is not what it should be.
    """
    own = () if directory is None else (load_directory(directory),)
    return MarketData((*own, load_bundled()))


def load_bundled() -> Dataset:
    """Daily bars of AAPL, FB, GOOG, IBM and MSFT, 2000-03-01 to 2013-03-01, from ``bokeh_sampledata``.

    Prices and volumes are as traded; adjusted closes give the factor.

    Raises:
        DatasetError: the package is damaged.
    """
    source = files(BUNDLED) / "_data" / "stocks.csv.gz"
    try:
        with source.open("rb") as packed, gzip.open(packed) as text:
            frame = pd.read_csv(text)
    except (OSError, EOFError, ValueError) as error:
        msg = f"{source}: can't be read ({error}); install {BUNDLED} again"
        raise DatasetError(msg) from error
    frame.columns = [name.lower().replace(" ", "_") for name in frame.columns]
    frame = frame.rename(columns={"ticker": "symbol", "date": "ts"})
    frame["ts"] = pd.to_datetime(frame["ts"], utc=True, format="%Y-%m-%d")
    histories = _histories(frame, Path(str(source)))
    return Dataset(BUNDLED, histories)


def load_directory(directory: Path) -> Dataset:
    """The bars of every Parquet and CSV file in ``directory``, daily or intraday, of any symbols.

    ``ts`` is tz-aware or UTC; a daily bar's carries midnight (or is alone on its day), an intraday bar's is
    its start. Intraday bars outside the session of the symbol's calendar are not used. A symbol may have both
    daily and intraday bars: where they meet, the intraday ones count. Symbols that trade at night or on
    weekends are crypto-currencies on the 24/7 calendar, and BTC-USD, BTC/USD or BTCUSD is BTC.

    Raises:
        DatasetError: the directory or a file in it is not what it should be.
    """
    seen: dict[str, tuple[Path, SymbolHistory]] = {}
    for path in data_files(directory):
        for symbol, history in _histories(read_bars(path), path).items():
            if symbol in seen:
                other, earlier = seen[symbol]
                history = _merge(earlier, history, f"{path} and {other}")  # noqa: PLW2901
            seen[symbol] = (path, history)
    return Dataset(directory.name or str(directory), {symbol: history for symbol, (_, history) in sorted(seen.items())})


def _histories(frame: pd.DataFrame, path: Path) -> dict[str, SymbolHistory]:
    frame = frame.sort_values(["symbol", "ts"], kind="stable", ignore_index=True)
    symbols = frame["symbol"].to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], symbols[1:] != symbols[:-1])))
    histories: dict[str, SymbolHistory] = {}
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(symbols)], strict=True):
        rows = frame.iloc[start:stop].reset_index(drop=True)
        history = _history(str(symbols[start]), rows, path)
        if history.symbol in histories:
            msg = f"{path}: two symbols of the file mean {history.symbol}; keep one of them"
            raise DatasetError(msg)
        histories[history.symbol] = history
    return histories


def _history(symbol: str, rows: pd.DataFrame, path: Path) -> SymbolHistory:
    stamps = rows["ts"].dt
    is_midnight = bool((stamps.normalize() == rows["ts"]).all())
    local = rows["ts"] if is_midnight else rows["ts"].dt.tz_convert(_EXCHANGE_ZONE)
    known = LISTINGS.get(symbol)
    calendar = known.calendar if known is not None else _guess_calendar(local, is_midnight=is_midnight)
    if calendar == ALWAYS_OPEN:
        pair = _CRYPTO_PAIR.match(symbol)
        symbol, local = (pair.group(1) if pair else symbol), rows["ts"]
    index = session_index(calendar)
    days = local.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    is_daily = is_midnight or (len(days) > 1 and len(np.unique(days)) == len(days))
    if is_daily:
        return _daily(symbol, index, days, rows, path)
    return _intraday(symbol, index, rows, path)


def _guess_calendar(local: pd.Series, *, is_midnight: bool) -> str:
    """The calendar of an unlisted symbol: one that trades when US exchanges can't never closes."""
    trades_on_weekends = bool((local.dt.dayofweek >= 5).any())
    if is_midnight or trades_on_weekends:
        return ALWAYS_OPEN if trades_on_weekends else XNYS
    hours = local.dt.hour
    is_alone = not local.dt.normalize().duplicated().any()
    return ALWAYS_OPEN if not is_alone and bool(((hours >= 20) | (hours < 4)).any()) else XNYS


def _daily(
    symbol: str, index: SessionIndex, days: npt.NDArray[np.datetime64], rows: pd.DataFrame, path: Path
) -> SymbolHistory:
    positions = np.searchsorted(index.dates, days).astype(np.int64)
    is_known = index.dates[np.minimum(positions, len(index.dates) - 1)] == days
    if not is_known.all():
        span = f"{index.days[0]} to {index.days[-1]}"
        fail_at(
            path,
            rows,
            pd.Series(~is_known),
            f"a daily bar of {symbol} on a day that is no session of {index.name} ({span})",
            "remove the rows, or correct ts",
        )
    closes = rows["close"].to_numpy(np.float64)
    factor = np.ones(len(rows))
    if ADJUSTED_CLOSE in rows.columns:
        factor = rows[ADJUSTED_CLOSE].to_numpy(np.float64) / closes
        factor = factor / factor[-1]
    prices = {name: rows[name].to_numpy(np.float64) for name in (*PRICES, "volume")}
    none = np.zeros(len(rows), dtype=np.int64)
    return SymbolHistory(
        symbol, index.name, positions, **prices, factor=factor, intraday=None, intraday_start=none, intraday_stop=none
    )


def _intraday(symbol: str, index: SessionIndex, rows: pd.DataFrame, path: Path) -> SymbolHistory:
    nanoseconds = rows["ts"].astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    if (is_odd := pd.Series(nanoseconds % _MINUTE_NS != 0)).any():
        what = f"bars of {symbol} that do not start on a whole minute"
        fail_at(path, rows, is_odd, what, "aggregate them to bars of a minute or longer")
    minutes = nanoseconds // _MINUTE_NS
    places = np.searchsorted(index.opens, minutes, side="right") - 1
    is_inside = (places >= 0) & (minutes < index.closes[np.maximum(places, 0)])
    if not is_inside.any():
        msg = f"{path}: no bar of {symbol} lies within a session of {index.name}; ts must be the bar's start in UTC"
        raise DatasetError(msg)
    places, minutes = places[is_inside], minutes[is_inside]
    columns = {name: rows[name].to_numpy(np.float64)[is_inside] for name in (*PRICES, "volume")}
    starts = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
    stops = np.concatenate((starts[1:], [len(places)])).astype(np.int64)
    volume: Floats = np.add.reduceat(columns["volume"], starts).round(8)
    return SymbolHistory(
        symbol,
        index.name,
        places[starts].astype(np.int64),
        open=columns["open"][starts],
        high=np.maximum.reduceat(columns["high"], starts),
        low=np.minimum.reduceat(columns["low"], starts),
        close=columns["close"][stops - 1],
        volume=volume,
        factor=np.ones(len(starts)),
        intraday=IntradayBars(
            _step_of(minutes.astype(np.int64)), (minutes - index.opens[places]).astype(np.int64), **columns
        ),
        intraday_start=starts.astype(np.int64),
        intraday_stop=stops,
    )


def _step_of(minutes: Ints) -> int:
    """The bars' length: the commonest distance between two neighbours (the smallest one when several tie)."""
    gaps, counts = np.unique(np.diff(minutes), return_counts=True)
    return int(gaps[np.argmax(counts)]) if len(gaps) else 1


def _merge(one: SymbolHistory, other: SymbolHistory, where: str) -> SymbolHistory:
    """One history out of two files' bars: of different sessions, or daily and intraday ones."""
    if one.calendar != other.calendar:
        msg = f"{where}: bars of {one.symbol} on two calendars, {one.calendar} and {other.calendar}; keep one of them"
        raise DatasetError(msg)
    if one.intraday is not None and other.intraday is not None and one.intraday.step != other.intraday.step:
        msg = f"{where}: bars of {one.symbol} of two lengths, {one.grain} and {other.grain}; keep one of them"
        raise DatasetError(msg)
    moved = 0 if one.intraday is None else len(one.intraday.offset)
    start = np.concatenate((one.intraday_start, other.intraday_start + moved))
    stop = np.concatenate((one.intraday_stop, other.intraday_stop + moved))
    positions = np.concatenate((one.positions, other.positions))
    is_daily = start == stop
    order = np.lexsort((is_daily, positions))
    is_again = np.diff(positions[order], prepend=-1) == 0
    is_double = is_again & (np.diff(is_daily[order].astype(np.int64), prepend=-1) == 0)
    if is_double.any():
        day = session_index(one.calendar).days[int(positions[order][is_double][0])]
        count = int(is_double.sum())
        msg = f"{where}: both have bars of {one.symbol} for {count} sessions, first {day}; keep one of them"
        raise DatasetError(msg)
    rows = order[~is_again]
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))[rows] for name in (*PRICES, "volume", "factor")
    }
    return SymbolHistory(
        one.symbol,
        one.calendar,
        positions[rows],
        **columns,
        intraday=_merge_intraday(one.intraday, other.intraday),
        intraday_start=start[rows],
        intraday_stop=stop[rows],
    )


def _merge_intraday(one: IntradayBars | None, other: IntradayBars | None) -> IntradayBars | None:
    if one is None or other is None:
        return one or other
    names = ("offset", *PRICES, "volume")
    return IntradayBars(
        one.step, **{name: np.concatenate((getattr(one, name), getattr(other, name))) for name in names}
    )
