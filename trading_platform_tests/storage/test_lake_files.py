"""What a file held before: kept when it is replaced, put back on demand, forgotten in time, on disk and in S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading_platform.storage.lake import VERSIONS, Lake, LakeMissingError, Versions
from trading_platform_tests.storage.test_lake import BARS, DAYS, bars

DAY = DAYS[0]


@pytest.fixture(params=["disk", "s3"])
def make_versioned_lake(request: pytest.FixtureRequest) -> Callable[[], Lake]:
    """Makes lakes over one place that keeps versions: a disk, and a bucket with versioning."""
    if request.param == "disk":
        path = request.getfixturevalue("tmp_path") / "lake"
        return lambda: Lake(str(path))
    import s3fs

    url, options = request.getfixturevalue("s3_url"), request.getfixturevalue("s3_options")
    bucket = url.removeprefix("s3://").partition("/")[0]
    s3fs.S3FileSystem(**options).make_bucket_versioned(bucket)
    return lambda: Lake(url, options)


@pytest.fixture
def lake(make_versioned_lake: Callable[[], Lake]) -> Lake:
    return make_versioned_lake()


def write(lake: Lake, close: float) -> str:
    return lake.write_sessions(BARS, bars([DAY], close=close), [DAY]).versions[DAY]


def closes(lake: Lake) -> set[float]:
    return set(lake.read_sessions(BARS, [DAY])["close"])


def test_what_was_replaced_can_be_listed_and_put_back(lake: Lake) -> None:
    first, second = write(lake, 1.0), write(lake, 2.0)
    assert first != second
    now, before = lake.versions(BARS, DAY)
    assert (now.version, now.replaced_at, now.rows) == (second, None, 2)
    assert (before.version, before.rows) == (first, 2)
    assert before.replaced_at is not None
    assert abs(datetime.now(timezone.utc) - before.replaced_at) < timedelta(minutes=5)
    assert lake.restore(BARS, DAY, first[:6]).version == first
    assert closes(lake) == {1.0}
    assert [kept.version for kept in lake.versions(BARS, DAY)] == [first, second, first]


def test_a_table_without_sessions_has_versions_too(lake: Lake) -> None:
    table = ("portfolio", "positions")
    first = lake.write_table(table, bars([DAY], close=1.0)).versions[""]
    lake.write_table(table, bars([DAY], close=2.0))
    lake.restore(table, None, first)
    assert set(lake.read_table(table)["close"]) == {1.0}
    assert lake.read_table(table).attrs[VERSIONS][""] == first


def test_the_same_content_again_makes_no_version(lake: Lake) -> None:
    first = lake.write_sessions(BARS, bars(DAYS[:3]), DAYS[:3])
    again = lake.write_sessions(BARS, bars(DAYS[:3]), DAYS[:3])
    assert (first.changed, again.changed) == (3, 0)
    assert again.versions == first.versions
    third = bars(DAYS[:3]).assign(close=[1.5, 1.5, 1.5, 1.5, 1.5, 9.0])
    assert lake.write_sessions(BARS, third, DAYS[:3]).changed == 1
    assert [len(lake.versions(BARS, day)) for day in DAYS[:3]] == [1, 1, 2]


def test_a_frame_tells_the_versions_it_was_read_from_whatever_is_done_to_it(lake: Lake) -> None:
    written = lake.write_sessions(BARS, bars(DAYS[:3]), DAYS[:3])
    frame = lake.read_sessions(BARS, [*DAYS[:3], DAYS[5]], columns=["close", "symbol"], is_missing_ok=True)
    assert frame.attrs[VERSIONS] == written.versions
    changed = frame[frame["symbol"] == "IBM"].assign(close=1.0).reset_index(drop=True)
    assert changed.attrs[VERSIONS] is frame.attrs[VERSIONS]
    assert isinstance(changed.attrs[VERSIONS], Versions)


def test_a_frame_that_was_read_is_written_as_if_it_had_been_made(lake: Lake) -> None:
    written = lake.write_sessions(BARS, bars([DAY]), [DAY])
    assert lake.write_sessions(BARS, lake.read_sessions(BARS, [DAY]), [DAY]).versions == written.versions


def test_a_version_that_is_not_kept_is_refused_with_those_that_are(lake: Lake) -> None:
    kept = write(lake, 1.0)
    with pytest.raises(LakeMissingError, match=f"no version 'ffff' .* is kept; there are: {kept}"):
        lake.restore(BARS, DAY, "ffff")
    with pytest.raises(LakeMissingError, match="there are: none"):
        lake.restore(BARS, DAYS[1], "ffff")
    write(lake, 2.0)
    with pytest.raises(LakeMissingError, match="more than one version ''"):
        lake.restore(BARS, DAY, "")


def test_of_many_writers_at_once_none_is_lost(make_versioned_lake: Callable[[], Lake]) -> None:
    written: list[str] = []

    def work(number: int) -> None:
        lake = make_versioned_lake()
        written.extend(write(lake, number + step / 10) for step in range(5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(written)) == 20
    assert {kept.version for kept in make_versioned_lake().versions(BARS, DAY)} == set(written)


def test_a_bucket_without_versioning_keeps_the_current_content_only(s3_url: str, s3_options: dict[str, Any]) -> None:
    lake = Lake(s3_url, s3_options)
    write(lake, 1.0)
    second = write(lake, 2.0)
    assert [kept.version for kept in lake.versions(BARS, DAY)] == [second]


def test_a_lake_told_to_keep_nothing_keeps_nothing(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), keep_days=0)
    write(lake, 1.0)
    write(lake, 2.0)
    assert len(lake.versions(BARS, DAY)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [BARS[0]]


def test_versions_cost_no_copy_and_no_glob_over_tables_meets_them(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    write(lake, 1.0)
    inode = Path(lake.path_of(BARS, DAY)).stat().st_ino
    write(lake, 2.0)
    (kept,) = (tmp_path / ".versions").glob("*/*/*/*/*.parquet")
    assert kept.stat().st_ino == inode
    assert [path.name for path in (tmp_path / "market_data").rglob("*.parquet")] == [f"session={DAY}.parquet"]
    assert set(pd.read_parquet(tmp_path / "market_data")["close"]) == {2.0}


def test_days_that_are_over_are_forgotten_by_the_next_who_replaces_something(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), keep_days=30)
    first = write(lake, 1.0)
    write(lake, 2.0)
    (today,) = (path for path in (tmp_path / ".versions").iterdir() if path.is_dir())
    for age in (30, 31):
        past = datetime.fromisoformat(today.name) - timedelta(days=age)
        (today.parent / past.date().isoformat()).mkdir()
    today.rename(today.parent / (datetime.fromisoformat(today.name) - timedelta(days=29)).date().isoformat())
    write(lake, 3.0)
    ages = sorted(
        (datetime.fromisoformat(today.name) - datetime.fromisoformat(path.name)).days
        for path in today.parent.iterdir()
        if path.is_dir()
    )
    assert ages == [0, 29, 30]
    assert lake.versions(BARS, DAY)[-1].version == first


def test_a_file_from_before_there_were_versions_is_kept_like_any_other(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    path = Path(lake.path_of(BARS, DAY))
    path.parent.mkdir(parents=True)
    bars([DAY]).to_parquet(path, index=False)
    assert lake.read_sessions(BARS, [DAY]).attrs[VERSIONS][DAY] == ""
    write(lake, 2.0)
    assert [kept.version for kept in lake.versions(BARS, DAY)][1:] == [""]


WRITER = """
import itertools, sys
from trading_platform.storage.lake import Lake
from trading_platform_tests.storage.test_lake import BARS, DAYS, bars

lake = Lake(sys.argv[1])
for number in itertools.count(int(sys.argv[2]) * 1_000_000):
    frame = bars(DAYS[:1], close=float(number))
    version = lake.write_sessions(BARS, frame, DAYS[:1]).versions[DAYS[0]]
    print(version, flush=True)
"""


def test_killed_writers_lose_no_version_and_leave_no_half_one(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    told: set[str] = set()
    for attempt in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        writers = [
            subprocess.Popen([*command, str(2 * attempt + one)], stdout=subprocess.PIPE, text=True) for one in range(2)
        ]
        for process in writers:
            assert process.stdout is not None
            told.add(process.stdout.readline().strip())
        time.sleep(0.05 + 0.03 * attempt)
        for process in writers:
            process.send_signal(signal.SIGKILL)
        for process in writers:
            assert process.stdout is not None
            rest = process.stdout.read()
            told.update(rest[: rest.rfind("\n") + 1].split())
            process.wait()
        kept = {version.version for version in lake.versions(BARS, DAY)}  # each is whole, or this fails
        assert told <= kept
        assert len(kept) <= len(told) + 2 * (attempt + 1)  # at most one per writer that it could not tell
    write(lake, -1.0)
    assert os.listdir(tmp_path / BARS[0] / BARS[1]) == [f"session={DAY}.parquet"]  # noqa: PTH208 - hidden ones too
