from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_platform.storage.lake import (
    Lake,
    LakeMissingError,
    upsert,
)
from trading_platform.storage.lake_files import LakeFullError, LakeNotWritableError, LakeUnavailableError
from trading_platform.storage.lake_parquet import ROW_GROUP, CorruptLakeFileError, LakeSchemaError

BARS = ("market_data", "daily_raw_bars")
DAYS = [(date(2024, 1, 1) + timedelta(days=i)).isoformat() for i in range(60)]


def bars(sessions: list[str], symbols: tuple[str, ...] = ("AAPL", "IBM"), close: float = 1.5) -> pd.DataFrame:
    rows = [(session, symbol) for session in sessions for symbol in symbols]
    return pd.DataFrame(
        {
            "session": pd.Series([session for session, _ in rows], dtype=object),
            "symbol": pd.Series([symbol for _, symbol in rows], dtype=object),
            "ts_utc": pd.to_datetime([session for session, _ in rows], utc=True).astype("datetime64[ns, UTC]"),
            "close": np.full(len(rows), close),
            "is_final": np.full(len(rows), True),
        }
    )


def test_what_is_written_comes_back(lake: Lake) -> None:
    frame = bars(DAYS[:3])
    written = lake.write_sessions(BARS, frame, DAYS[:3])
    assert (written.files, written.rows) == (3, 6)
    assert written.bytes > 0
    pd.testing.assert_frame_equal(lake.read_sessions(BARS, DAYS[:3]), frame)
    assert lake.stored_sessions(BARS) == DAYS[:3]


def test_rows_are_split_by_session_and_keep_their_order_within_it(lake: Lake) -> None:
    shuffled = bars(DAYS[:3]).iloc[[5, 0, 3, 2, 1, 4]].reset_index(drop=True)
    lake.write_sessions(BARS, shuffled, DAYS[:3])
    assert lake.read_sessions(BARS, [DAYS[2]])["symbol"].tolist() == ["IBM", "AAPL"]
    assert lake.read_sessions(BARS, [DAYS[1]])["symbol"].tolist() == ["IBM", "AAPL"]
    assert lake.read_sessions(BARS, DAYS[:3])["session"].tolist() == sorted(shuffled["session"])


def test_a_session_without_rows_is_stored_and_known(lake: Lake) -> None:
    frame = bars(DAYS[:1])
    lake.write_sessions(BARS, frame, DAYS[:2])
    assert lake.stored_sessions(BARS) == DAYS[:2]
    empty = lake.read_sessions(BARS, [DAYS[1]])
    pd.testing.assert_frame_equal(empty, frame.iloc[:0])


def test_a_frame_without_rows_keeps_its_types(lake: Lake) -> None:
    frame = bars([])
    lake.write_sessions(BARS, frame, DAYS[:1])
    pd.testing.assert_frame_equal(lake.read_sessions(BARS, DAYS[:1]), frame)
    lake.write_table(("market_data", "instruments"), frame)
    pd.testing.assert_frame_equal(lake.read_table(("market_data", "instruments")), frame)


def test_rows_of_a_session_that_is_not_written_are_refused(lake: Lake) -> None:
    with pytest.raises(LakeSchemaError, match=f"rows of {DAYS[2]}, which is not among"):
        lake.write_sessions(BARS, bars(DAYS[:3]), DAYS[:2])
    assert lake.stored_sessions(BARS) == []


def test_missing_sessions_are_named_or_skipped(lake: Lake) -> None:
    lake.write_sessions(BARS, bars(DAYS[1:2]), DAYS[1:2])
    with pytest.raises(LakeMissingError, match=rf"2 of 3 sessions \({DAYS[0]}, {DAYS[2]}\)") as caught:
        lake.read_sessions(BARS, DAYS[:3])
    assert caught.value.sessions == (DAYS[0], DAYS[2])
    assert lake.read_sessions(BARS, DAYS[:3], is_missing_ok=True)["session"].unique().tolist() == DAYS[1:2]
    years = [(date(2020, 1, 1) + timedelta(days=i)).isoformat() for i in range(1600)]
    assert lake.read_sessions(BARS, years, is_missing_ok=True)["session"].unique().tolist() == DAYS[1:2]


def test_when_nothing_is_there_the_frame_has_the_columns_of_another_session(lake: Lake) -> None:
    assert list(lake.read_sessions(BARS, DAYS[:1], columns=["close"], is_missing_ok=True).columns) == ["close"]
    lake.write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])
    pd.testing.assert_frame_equal(lake.read_sessions(BARS, DAYS[5:7], is_missing_ok=True), bars([]))


def test_columns_and_symbols_are_chosen_while_reading(lake: Lake) -> None:
    lake.write_sessions(BARS, bars(DAYS[:2], ("AAPL", "IBM", "TSLA")), DAYS[:2])
    chosen = lake.read_sessions(BARS, DAYS[:2], columns=["close", "session"], symbols=["IBM"])
    assert list(chosen.columns) == ["close", "session"]
    assert len(chosen) == 2
    assert lake.read_sessions(BARS, DAYS[:2], symbols=["TSLA", "AAPL"])["symbol"].tolist() == ["AAPL", "TSLA"] * 2
    with pytest.raises(LakeSchemaError, match="has no columns \\['clsoe'\\]"):
        lake.read_sessions(BARS, DAYS[:2], columns=["clsoe"])


def test_symbols_are_looked_for_in_a_table_that_never_had_a_row(lake: Lake) -> None:
    lake.write_sessions(BARS, pd.DataFrame(columns=["symbol", "session"]), DAYS[:1])
    assert lake.read_sessions(BARS, DAYS[:1], symbols=["IBM"]).empty
    assert list(lake.read_sessions(BARS, DAYS[1:2], is_missing_ok=True).columns) == ["symbol", "session"]


def test_unpartitioned_tables(lake: Lake) -> None:
    table = ("portfolio", "positions")
    assert not lake.has_table(table)
    with pytest.raises(LakeMissingError, match="materialize the asset portfolio/positions first"):
        lake.read_table(table)
    lake.write_table(table, bars(DAYS[:1]))
    lake.write_table(table, bars(DAYS[:2]))
    assert lake.has_table(table)
    pd.testing.assert_frame_equal(lake.read_table(table), bars(DAYS[:2]))
    assert lake.read_table(table, symbols=["IBM"], columns=["symbol"])["symbol"].tolist() == ["IBM", "IBM"]


def test_a_second_lake_sees_what_the_first_one_wrote_since(make_lake: Callable[[], Lake]) -> None:
    reader, writer = make_lake(), make_lake()
    assert reader.stored_sessions(BARS) == []
    writer.write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])
    assert reader.stored_sessions(BARS) == DAYS[:1]
    writer.write_sessions(BARS, bars(DAYS[:1], close=9.0), DAYS[:1])
    assert set(reader.read_sessions(BARS, DAYS[:1])["close"]) == {9.0}


def test_files_of_an_older_shape_are_read_together_with_new_ones(lake: Lake) -> None:
    old = bars(DAYS[:1]).assign(note=pd.Series([None, None], dtype=object), volume=[1, 2])
    new = bars(DAYS[1:2]).assign(note=["split", None], volume=[1.5, np.nan], vwap=[1.0, 2.0])
    lake.write_sessions(BARS, old, DAYS[:1])
    lake.write_sessions(BARS, new, DAYS[1:2])
    both = lake.read_sessions(BARS, DAYS[:2])
    assert both["note"].tolist() == [None, None, "split", None]
    assert both["vwap"].dtype == both["volume"].dtype == np.float64
    assert both["vwap"].isna().tolist() == [True, True, False, False]


def test_files_whose_types_contradict_each_other_are_an_error(lake: Lake) -> None:
    lake.write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])
    lake.write_sessions(BARS, bars(DAYS[1:2]).assign(close=["a", "b"]), DAYS[1:2])
    with pytest.raises(LakeSchemaError, match="different types"):
        lake.read_sessions(BARS, DAYS[:2])


def test_frames_that_do_not_fit_are_refused_with_what_to_do(lake: Lake) -> None:
    frame = bars(DAYS[:1])
    with pytest.raises(LakeSchemaError, match="no column 'session'"):
        lake.write_sessions(BARS, frame.drop(columns="session"), DAYS[:1])
    with pytest.raises(LakeSchemaError, match="not ISO dates as strings"):
        lake.write_sessions(BARS, frame.assign(session=pd.to_datetime(frame["session"])), DAYS[:1])
    with pytest.raises(LakeSchemaError, match="reset_index"):
        lake.write_sessions(BARS, frame.set_index("symbol"), DAYS[:1])
    with pytest.raises(LakeSchemaError, match="several types"):
        lake.write_sessions(BARS, frame.assign(close=[1.0, "x"]), DAYS[:1])
    with pytest.raises(LakeSchemaError, match="write it as YYYY-MM-DD"):
        lake.read_sessions(BARS, ["2024-1-1"])
    with pytest.raises(LakeSchemaError, match="can't be a name"):
        lake.read_table(("..", "passwd"))


@pytest.fixture
def table_with_a_past(tmp_path: Path) -> Path:
    """Directory of a table whose files have all been replaced once."""
    for close in (1.0, 1.5):
        Lake(str(tmp_path)).write_sessions(BARS, bars(DAYS[:3], close=close), DAYS[:3])
    return tmp_path / "market_data" / "daily_raw_bars"


def test_pandas_opens_a_table_in_one_line(table_with_a_past: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(table_with_a_past), bars(DAYS[:3]))


def test_duckdb_opens_a_table_in_one_line(table_with_a_past: Path) -> None:
    import duckdb

    rows = duckdb.sql(f"SELECT session, symbol, close FROM '{table_with_a_past}/*.parquet' ORDER BY ALL").fetchall()
    assert rows == [(day, symbol, 1.5) for day in DAYS[:3] for symbol in ("AAPL", "IBM")]
    everywhere = duckdb.sql(f"SELECT count(*) FROM '{table_with_a_past.parent}/**/*.parquet'").fetchall()
    assert everywhere == [(6,)]


def test_polars_opens_a_table_in_one_line(table_with_a_past: Path) -> None:
    import polars as pl

    rows = pl.read_parquet(f"{table_with_a_past}/*.parquet", columns=["session", "symbol", "close", "ts_utc"])
    assert rows.select("session", "symbol").rows() == [(day, symbol) for day in DAYS[:3] for symbol in ("AAPL", "IBM")]
    assert rows["close"].to_list() == [1.5] * 6
    assert rows.schema["ts_utc"] == pl.Datetime("ns", "UTC")


def test_one_symbol_of_a_large_file_is_read_without_the_other_row_groups(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    symbols = tuple(f"S{number:05}" for number in range(ROW_GROUP + 1000))
    lake.write_sessions(BARS, bars(DAYS[:1], symbols), DAYS[:1])
    path = Path(lake.path_of(BARS, DAYS[0]))
    spoilt = bytearray(path.read_bytes())
    second = pq.ParquetFile(path).metadata.row_group(1).column(1)
    start = second.dictionary_page_offset or second.data_page_offset
    for place in range(start, start + second.total_compressed_size):
        spoilt[place] ^= 0xFF  # pages that must not be looked at
    path.write_bytes(spoilt)
    assert lake.read_sessions(BARS, DAYS[:1], symbols=["S00007", "nobody"])["symbol"].tolist() == ["S00007"]
    with pytest.raises(CorruptLakeFileError):
        lake.read_sessions(BARS, DAYS[:1], symbols=[symbols[-1]])
    assert lake.read_sessions(BARS, DAYS[:1], symbols=["aaa"]).empty


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write_sessions(BARS, bars(DAYS[:2]), DAYS[:2])
    path = Path(lake.path_of(BARS, DAYS[0]))
    whole = path.read_bytes()
    middle = len(whole) // 3
    for damaged in (b"", b"not parquet at all", whole[:-20], whole[:middle]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptLakeFileError, match=f"{path}.*delete the file and materialize") as caught:
            lake.read_sessions(BARS, DAYS[:2])
        assert "Parquet" in str(caught.value)


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write_sessions(BARS, bars(DAYS[:1], tuple(f"S{i}" for i in range(500))), DAYS[:1])
    path = Path(lake.path_of(BARS, DAYS[0]))
    whole = bytearray(path.read_bytes())
    whole[60] ^= 0x10
    path.write_bytes(whole)
    with pytest.raises(CorruptLakeFileError):
        lake.read_sessions(BARS, DAYS[:1])


COLUMNS = {
    "ts_utc": st.datetimes(min_value=pd.Timestamp("1990-01-01"), max_value=pd.Timestamp("2090-01-01")),
    "text": st.none() | st.text(max_size=8).filter(lambda text: text.isprintable()),
    "price": st.floats(allow_nan=True, allow_infinity=True, width=64),
    "count": st.integers(-(2**63), 2**63 - 1),
    "is_final": st.booleans(),
    "maybe_count": st.none() | st.integers(-(2**63), 2**63 - 1),
    "is_maybe": st.none() | st.booleans(),
    "label": st.none() | st.text(max_size=4).filter(lambda text: text.isprintable()),
}
TYPES = {
    "ts_utc": "datetime64[ns, UTC]",
    "text": object,
    "price": "float64",
    "count": "int64",
    "is_final": "bool",
    "maybe_count": "Int64",
    "is_maybe": "boolean",
    "label": "string",
}
ROWS = st.lists(st.tuples(st.sampled_from(DAYS[:4]), *COLUMNS.values()), max_size=30)


def typed(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    columns = {"session": pd.Series([row[0] for row in rows], dtype=object)}
    for i, (name, dtype) in enumerate(TYPES.items(), start=1):
        values = [row[i] for row in rows]
        if name == "ts_utc":
            columns[name] = pd.Series(pd.to_datetime(pd.Series(values, dtype="datetime64[ns]"), utc=True))
        else:
            columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_any_frame_survives_the_round_trip_with_its_types(rows: list[tuple[object, ...]]) -> None:
    frame = typed(rows)
    with tempfile.TemporaryDirectory() as directory:
        lake = Lake(directory)
        lake.write_sessions(BARS, frame, DAYS[:4])
        back = lake.read_sessions(BARS, DAYS[:4])
        lake.write_table(("features", "whole"), frame)
        whole = lake.read_table(("features", "whole"))
    pd.testing.assert_frame_equal(back, frame.sort_values("session", kind="stable", ignore_index=True))
    pd.testing.assert_frame_equal(whole, frame)


KEYED = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 99)), max_size=12)


def keyed(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["symbol", "minute", "value"]).astype({"symbol": object})


@settings(max_examples=100, deadline=None)
@given(KEYED, KEYED)
def test_upsert_is_a_dictionary_update_sorted_by_key(
    old: list[tuple[str, int, int]], new: list[tuple[str, int, int]]
) -> None:
    result = upsert(keyed(old), keyed(new), ["symbol", "minute"])
    expected = {(symbol, minute): value for symbol, minute, value in (*old, *new)}
    assert [tuple(row) for row in result.itertuples(index=False)] == [(*k, expected[k]) for k in sorted(expected)]
    pd.testing.assert_frame_equal(upsert(result, keyed(new), ["symbol", "minute"]), result)


@pytest.mark.filterwarnings("error")
def test_upsert_keeps_types_when_one_side_has_no_values() -> None:
    stamps = pd.to_datetime(["2024-01-01"], utc=True)
    old = pd.DataFrame({"k": ["a"], "ts": stamps, "price": [1.0], "n": [1], "flag": [True], "text": ["x"]})
    nothing = pd.DataFrame({"k": ["b"], **{name: [None] for name in old.columns[1:]}})
    for result in (upsert(old, nothing, ["k"]), upsert(nothing, old, ["k"])):
        assert result["k"].tolist() == ["a", "b"]
        assert result["ts"].dtype == old["ts"].dtype
        assert result["price"].dtype == result["n"].dtype == np.float64
        assert result["flag"].dtype == "boolean"
        assert result["text"].tolist()[0] == "x"
    pd.testing.assert_frame_equal(upsert(old.iloc[:0], old, ["k"]), old)
    pd.testing.assert_frame_equal(upsert(pd.DataFrame(), old, ["k"]), old)
    pd.testing.assert_frame_equal(upsert(old, old.iloc[:0], ["k"]), old)


def test_upsert_names_key_columns_that_are_not_there() -> None:
    with pytest.raises(LakeSchemaError, match="needs columns \\['symbol'\\]"):
        upsert(pd.DataFrame(), pd.DataFrame({"a": [1]}), ["symbol"])


WRITER = """
import sys
import pandas as pd
from trading_platform.storage.lake import Lake

lake, day, value = Lake(sys.argv[1]), "2024-01-01", int(sys.argv[2])
frame = pd.DataFrame({"session": [day] * 200_000, "value": [value] * 200_000, "noise": range(200_000)})
lake.write_sessions(("stage", "table"), frame, [day])
print("ready", flush=True)
while True:
    lake.write_sessions(("stage", "table"), frame, [day])
"""


def writer(path: Path, value: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(value)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_killed_writer_leaves_whole_files_and_nothing_visible(tmp_path: Path) -> None:
    lake, table, day = Lake(str(tmp_path)), ("stage", "table"), "2024-01-01"
    leftovers = 0
    for attempt in range(4):
        process = writer(tmp_path, attempt)
        time.sleep(0.03 + 0.017 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lake.read_sessions(table, [day])["value"].tolist() == [attempt] * 200_000
        assert lake.stored_sessions(table) == [day]
        assert [p.name for p in (tmp_path / "stage" / "table").glob("[!.]*")] == [f"session={day}.parquet"]
        leftovers = max(leftovers, len(list((tmp_path / "stage" / "table").glob(".*"))))
        assert leftovers <= 1  # what a killed writer leaves is swept by the next one
    lake.write_sessions(table, lake.read_sessions(table, [day]), [day])
    assert [p.name for p in (tmp_path / "stage" / "table").iterdir()] == [f"session={day}.parquet"]


def test_readers_see_one_of_two_writers_never_a_mixture(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    processes = [writer(tmp_path, value) for value in (1, 2)]
    try:
        for _ in range(15):
            values = lake.read_sessions(("stage", "table"), ["2024-01-01"])["value"]
            assert len(values) == 200_000
            assert values.nunique() == 1
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_threads_may_write_to_one_lake_at_once(lake: Lake) -> None:
    failures: list[BaseException] = []

    def write(value: int) -> None:
        try:
            for _ in range(3):
                lake.write_sessions(BARS, bars(DAYS[:4], close=float(value)), DAYS[:4])
        except BaseException as error:  # noqa: BLE001 - carried to the test's thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for session in DAYS[:4]:
        assert lake.read_sessions(BARS, [session])["close"].nunique() == 1


def test_a_lake_that_is_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("")
    with pytest.raises(LakeNotWritableError, match="TRADING_PLATFORM_LAKE_URL"):
        Lake(str(tmp_path / "lake")).write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])


READ_ONLY = """
import os
import sys
import pandas as pd
from trading_platform.storage.lake import Lake
from trading_platform.storage.lake_files import LakeNotWritableError

frame = pd.DataFrame({"session": ["2024-01-01"]})
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    Lake(sys.argv[1]).write_sessions(("stage", "table"), frame, ["2024-01-01"])
except LakeNotWritableError as error:
    sys.exit(0 if "make it readable and writable" in str(error) else str(error))
sys.exit("it could be written")
"""


def test_a_read_only_lake_is_refused_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory(prefix="tp-tests-") as directory:
        Path(directory).chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, directory]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_named_and_leaves_nothing_behind(small_disk: Path) -> None:
    lake = Lake(str(small_disk))
    lake.write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])
    noise = pd.DataFrame({"session": DAYS[0], "noise": np.random.default_rng(1).random(500_000)})
    with pytest.raises(LakeFullError, match=r"is full .*free some space"):
        lake.write_sessions(BARS, noise, DAYS[:1])
    pd.testing.assert_frame_equal(lake.read_sessions(BARS, DAYS[:1]), bars(DAYS[:1]))
    assert [p.name for p in (small_disk / "market_data" / "daily_raw_bars").iterdir()] == [f"session={DAYS[0]}.parquet"]


def test_a_store_that_does_not_answer_or_has_no_bucket_is_named(s3_options: dict[str, object]) -> None:
    with pytest.raises(LakeUnavailableError, match="bucket of the lake s3://nowhere/lake does not exist"):
        Lake("s3://nowhere/lake", s3_options).write_sessions(BARS, bars(DAYS[:1]), DAYS[:1])
    dead = {
        "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"},
        "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1},
    }
    with pytest.raises(LakeUnavailableError, match=r"does not answer .*TRADING_PLATFORM_S3_ENDPOINT_URL"):
        Lake("s3://bucket/lake", dead).stored_sessions(BARS)
    with pytest.raises(LakeUnavailableError, match="not understood"):
        Lake("smoke://signals/lake")


def test_a_year_of_sessions_is_written_and_read_quickly(tmp_path: Path) -> None:
    sessions = [(date(2023, 1, 1) + timedelta(days=i)).isoformat() for i in range(250)]
    lake = Lake(str(tmp_path))
    frame = bars(sessions, tuple(f"S{i:03}" for i in range(100)))
    start = time.perf_counter()
    lake.write_sessions(BARS, frame, sessions)
    back = lake.read_sessions(BARS, sessions)
    assert time.perf_counter() - start < 10  # measured 0.4 s; a guard against a read or write per row
    pd.testing.assert_frame_equal(back, frame)


def test_what_was_read_can_be_written_as_parquet_by_pandas_itself(lake: Lake, tmp_path: Path) -> None:
    lake.write_sessions(BARS, bars(DAYS[:2]), DAYS[:2])
    read = lake.read_sessions(BARS, DAYS[:2])
    read.to_parquet(tmp_path / "copy.parquet")
    assert pd.read_parquet(tmp_path / "copy.parquet").equals(read)
