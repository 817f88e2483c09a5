"""Reading bars from files: Parquet and CSV in, checked frames out. Every fault names the file and what to do.

Nothing is repaired or dropped: a market that replays data must not guess what they were meant to be.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")
ADJUSTED_CLOSE = "adj_close"
_SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz")


class DatasetError(Exception):
    """Market data that can't be replayed. The message names the file or directory and what to do."""


def data_files(directory: Path) -> list[Path]:
    """The Parquet and CSV files of ``directory`` (not of its subdirectories), by name.

    Raises:
        DatasetError: no such directory, or nothing of the kind in it.
    """
    if not directory.exists():
        msg = f"no market data: {directory} does not exist; set TRADING_PLATFORM_PAPER_DATA to a directory of bars"
        raise DatasetError(msg)
    if not directory.is_dir():
        msg = f"no market data: {directory} is not a directory; name the directory that holds the file instead"
        raise DatasetError(msg)
    files = sorted(
        path
        for path in directory.iterdir()
        if path.is_file() and path.name.lower().endswith(_SUFFIXES) and not path.name.startswith((".", "_"))
    )
    if not files:
        msg = (
            f"no market data: {directory} holds no {', '.join(_SUFFIXES)} file (subdirectories are not searched); "
            f"put files there with the columns {', '.join(COLUMNS)}"
        )
        raise DatasetError(msg)
    return files


def read_bars(path: Path) -> pd.DataFrame:
    """The bars of one file, checked: ``symbol, ts`` (tz-aware UTC), prices and volume as float64.

    An ``adj_close`` column is kept. Rows keep the file's order.

    Raises:
        DatasetError: the file can't be read, or its rows aren't bars.
    """
    frame = _read(path)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        msg = f"{path}: missing column{_s(missing)} {', '.join(missing)} (found: {found}); rename or add {_it(missing)}"
        raise DatasetError(msg)
    if frame.empty:
        msg = f"{path}: the file has no rows; fill it or remove it"
        raise DatasetError(msg)
    names = [*COLUMNS, *([ADJUSTED_CLOSE] if ADJUSTED_CLOSE in frame.columns else [])]
    frame = frame.loc[:, names].reset_index(drop=True)
    frame["symbol"] = _symbols(path, frame["symbol"])
    frame["ts"] = _stamps(path, frame["ts"])
    for name in names[2:]:
        frame[name] = _numbers(path, frame, name)
    _check_rows(path, frame)
    return frame


def fail_at(path: Path, frame: pd.DataFrame, is_bad: pd.Series, what: str, remedy: str) -> NoReturn:
    """Raise a ``DatasetError`` that counts the bad rows and shows the first."""
    row = int(np.flatnonzero(is_bad.to_numpy())[0])
    first = frame.iloc[row]
    msg = (
        f"{path}: {what} in {int(is_bad.sum())} of {len(frame)} rows, first in data row {row + 1} "
        f"({first['symbol']} {first['ts']}); {remedy}"
    )
    raise DatasetError(msg)


def _read(path: Path) -> pd.DataFrame:
    if path.stat().st_size == 0:
        msg = f"{path}: the file is empty (0 bytes); fill it or remove it"
        raise DatasetError(msg)
    try:
        if path.name.lower().endswith((".parquet", ".pq")):
            return pd.read_parquet(path, engine="pyarrow")
        return pd.read_csv(path, dtype={"symbol": str}, keep_default_na=False, na_values=[""])
    except PermissionError as error:
        msg = f"{path}: can't be read ({error.strerror}); make it readable for the gateway's user"
        raise DatasetError(msg) from error
    except (OSError, ValueError, EOFError) as error:  # pyarrow's and pandas' parser errors are ValueErrors
        kind = "Parquet" if path.name.lower().endswith((".parquet", ".pq")) else "CSV"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"{path}: not a readable {kind} file, or damaged ({reason}); write it again or remove it"
        raise DatasetError(msg) from error


def _symbols(path: Path, column: pd.Series) -> pd.Series:
    symbols = column.astype("string").str.strip().str.upper()
    is_blank = symbols.isna() | (symbols == "")
    if is_blank.any():
        row = int(np.flatnonzero(is_blank.to_numpy())[0]) + 1
        msg = (
            f"{path}: no symbol in {int(is_blank.sum())} rows, first in data row {row}; fill the column or remove them"
        )
        raise DatasetError(msg)
    return symbols.astype(object)


def _stamps(path: Path, column: pd.Series) -> pd.Series:
    remedy = "write ISO 8601, e.g. 2013-02-28 for a daily bar or 2013-02-28T14:30:00Z for the start of an intraday one"
    if pd.api.types.is_numeric_dtype(column.dtype):
        msg = f"{path}: ts holds numbers such as {column.iloc[0]}, whose unit is not known; {remedy}"
        raise DatasetError(msg)
    is_text = pd.api.types.infer_dtype(column, skipna=True) == "string"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stamps = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601" if is_text else None)
    is_bad = stamps.isna()
    if is_bad.any():
        row = int(np.flatnonzero(is_bad.to_numpy())[0])
        msg = (
            f"{path}: ts can't be read in {int(is_bad.sum())} of {len(column)} rows, "
            f"first {column.iloc[row]!r} in data row {row + 1}; {remedy}"
        )
        raise DatasetError(msg)
    return stamps.astype("datetime64[ns, UTC]")


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> pd.Series:
    numbers = pd.to_numeric(frame[name], errors="coerce").astype("float64")
    is_null = frame[name].isna()
    if is_null.any():
        fail_at(path, frame, is_null, f"no {name}", "fill the gaps or remove the rows")
    is_text = numbers.isna()
    if is_text.any():
        sample = frame.loc[is_text, name].iloc[0]
        fail_at(path, frame, is_text, f"{name} is not a number (such as {sample!r})", "correct them or remove the rows")
    is_infinite = numbers.isin([np.inf, -np.inf])
    if is_infinite.any():
        fail_at(path, frame, is_infinite, f"{name} is infinite", "correct them or remove the rows")
    return numbers


def _check_rows(path: Path, frame: pd.DataFrame) -> None:
    remedy = "correct them or remove the rows"
    for name in (*PRICES, ADJUSTED_CLOSE):
        if name in frame.columns and (is_low := frame[name] <= 0).any():
            fail_at(path, frame, is_low, f"{name} is not above 0", remedy)
    if (is_negative := frame["volume"] < 0).any():
        fail_at(path, frame, is_negative, "volume is negative", remedy)
    if (is_crossed := frame["high"] < frame["low"]).any():
        fail_at(path, frame, is_crossed, "high is below low", remedy)
    body = frame[["open", "close"]]
    if (is_outside := (body.max(axis=1) > frame["high"]) | (body.min(axis=1) < frame["low"])).any():
        fail_at(path, frame, is_outside, "open or close is outside low to high", remedy)
    if (is_double := frame.duplicated(["symbol", "ts"], keep="first")).any():
        fail_at(path, frame, is_double, "a second bar of the same symbol and ts", "keep one of them")


def _s(names: Sequence[str]) -> str:
    return "s" if len(names) > 1 else ""


def _it(names: Sequence[str]) -> str:
    return "them" if len(names) > 1 else "it"
