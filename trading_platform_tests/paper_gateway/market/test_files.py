from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trading_platform.paper_gateway.market.datasets import load_directory
from trading_platform.paper_gateway.market.files import DatasetError, data_files, read_bars


def good() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["AAA", "AAA", "BBB"],
            "ts": ["2013-02-27", "2013-02-28", "2013-02-28"],
            "open": [10.0, 11.0, 20.0],
            "high": [12.0, 13.0, 22.0],
            "low": [9.0, 10.0, 19.0],
            "close": [11.0, 12.0, 21.0],
            "volume": [100, 200, 300],
        }
    )


def changed(column: str, value: object, row: int = 1) -> pd.DataFrame:
    frame = good().astype({column: object})
    frame.loc[row, column] = value
    return frame


def stamped(values: list[object]) -> pd.DataFrame:
    return good().assign(ts=values)


BAD_ROWS: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "missing columns": (
        lambda: good().drop(columns=["volume", "low"]),
        "missing columns low, volume .*rename or add them",
    ),
    "one missing column": (lambda: good().rename(columns={"ts": "date"}), "missing column ts .*found: symbol, date"),
    "no rows": (lambda: good().iloc[:0], "no rows; fill it or remove it"),
    "unreadable ts": (
        lambda: changed("ts", "yesterday"),
        "ts can't be read in 1 of 3 rows, first 'yesterday' in data row 2",
    ),
    "ambiguous ts": (lambda: stamped(["01/03/2017"] * 3), "ts can't be read.*ISO 8601"),
    "null ts": (lambda: changed("ts", None), "ts can't be read in 1 of 3 rows"),
    "numeric ts": (lambda: stamped([20130227, 20130228, 20130228]), "numbers such as 20130227.*ISO 8601"),
    "null price": (lambda: changed("close", None), r"no close in 1 of 3 rows, first in data row 2 \(AAA 2013-02-28"),
    "text price": (lambda: changed("open", "n/a"), "open is not a number .*'n/a'"),
    "infinite price": (lambda: changed("high", float("inf")), "high is infinite"),
    "zero price": (lambda: changed("low", 0.0), "low is not above 0"),
    "null volume": (lambda: changed("volume", None), "no volume in 1 of 3 rows"),
    "negative volume": (lambda: changed("volume", -1), "volume is negative"),
    "high below low": (lambda: changed("high", 9.5), "high is below low"),
    "close outside the range": (lambda: changed("close", 13.5), "open or close is outside low to high"),
    "duplicates": (lambda: stamped(["2013-02-28"] * 3), "a second bar of the same symbol and ts in 1 of 3 rows"),
    "no symbol": (lambda: changed("symbol", " "), "no symbol in 1 rows, first in data row 2"),
    "a day without a session": (lambda: changed("ts", "2013-02-18"), "no session of XNYS .*remove the rows"),
    "before the calendar": (lambda: changed("ts", "1990-01-02"), "no session of XNYS"),
    "seconds": (
        lambda: stamped(["2013-02-27T15:00:30Z", "2013-02-27T15:01:30Z", "2013-02-28"]),
        "do not start on a whole minute .*aggregate them",
    ),
    "only outside the session": (
        lambda: stamped(["2013-02-27T10:00Z", "2013-02-27T10:01Z", "2013-02-28"]),
        "no bar of AAA lies within a session of XNYS",
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_get_an_error_that_names_the_file_the_fault_and_the_remedy(
    case: str, kind: str, tmp_path: Path
) -> None:
    make, message = BAD_ROWS[case]
    path = tmp_path / f"bars.{kind}"
    frame = make()
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        mixed = [name for name in frame if frame[name].dtype == object and name not in ("symbol", "ts")]
        if any(frame[name].map(lambda value: isinstance(value, str)).any() for name in mixed):
            frame = frame.astype(dict.fromkeys(mixed, str))
        frame.to_parquet(path, index=False)
    with pytest.raises(DatasetError, match=message) as error:
        load_directory(tmp_path)
    assert str(path) in str(error.value)


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty csv": ("bars.csv", b"", "is empty"),
    "empty parquet": ("bars.parquet", b"", "is empty"),
    "corrupt parquet": ("bars.parquet", b"PAR1 this is not one PAR1", "not a readable Parquet file, or damaged"),
    "binary csv": ("bars.csv", bytes(range(128, 256)) * 10, "not a readable CSV file, or damaged"),
    "ragged csv": ("bars.csv", b"a,b\n1,2\n1,2,3,4\n", "not a readable CSV file, or damaged"),
    "false gzip": ("bars.csv.gz", b"symbol,ts\n", "not a readable CSV file, or damaged"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_not_what_its_name_says_gets_an_error(case: str, tmp_path: Path) -> None:
    name, content, message = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        load_directory(tmp_path)
    assert name in str(error.value)


def test_a_truncated_parquet_file_gets_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    good().to_parquet(path, index=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="not a readable Parquet file"):
        load_directory(tmp_path)


def test_a_missing_directory_a_file_and_a_directory_without_bars_get_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist; set TRADING_PLATFORM_PAPER_DATA"):
        data_files(tmp_path / "nowhere")
    path = tmp_path / "bars.txt"
    path.touch()
    with pytest.raises(DatasetError, match="is not a directory"):
        data_files(path)
    with pytest.raises(DatasetError, match=re.escape("holds no .parquet")):
        data_files(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        ["2013-02-27", "2013-02-28", "2013-02-28"],
        ["2013-02-27T00:00:00Z", "2013-02-28T00:00:00Z", "2013-02-28T00:00:00Z"],
        ["2013-02-27 00:00:00+00:00", "2013-02-28 00:00:00+00:00", "2013-02-28"],
        list(pd.to_datetime(["2013-02-27", "2013-02-28", "2013-02-28"])),
        list(pd.to_datetime(["2013-02-27", "2013-02-28", "2013-02-28"]).date),
        list(pd.to_datetime(["2013-02-27", "2013-02-28", "2013-02-28"], utc=True).tz_convert("US/Eastern")),
    ],
)
def test_stamps_may_be_iso_text_dates_or_timestamps_with_and_without_zone(values: list[object], tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    stamped(values).to_parquet(path, index=False)
    frame = read_bars(path)
    assert frame["ts"].tolist() == [pd.Timestamp(day, tz="UTC") for day in ("2013-02-27", "2013-02-28", "2013-02-28")]


def test_columns_may_be_in_any_order_and_case_and_be_the_index(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    good().iloc[:, ::-1].rename(columns=str.title).set_index("Symbol").to_parquet(path)
    assert read_bars(path)["symbol"].tolist() == ["AAA", "AAA", "BBB"]


def test_the_ticker_na_is_a_symbol_and_not_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    changed("symbol", "NA").to_csv(path, index=False)
    assert read_bars(path)["symbol"].tolist() == ["AAA", "NA", "BBB"]


def test_whole_number_prices_become_float64(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    good().astype({"open": "int32", "volume": "float32"}).to_parquet(path, index=False)
    assert read_bars(path)[["open", "volume"]].dtypes.tolist() == [np.dtype("float64")] * 2
