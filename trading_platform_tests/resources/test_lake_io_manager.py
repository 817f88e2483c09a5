# no `from __future__ import annotations`: Dagster reads the annotation of `context` as it stands

import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from trading_platform.domain.calendars import get_calendar
from trading_platform.resources.lake_io_manager import (
    COLUMNS,
    LAKE_VERSION,
    MISSING_SESSIONS,
    LakeIOManager,
    LakeResource,
)
from trading_platform.storage.lake import VERSIONS, Lake, LakeMissingError, LakeWrite, TableKey

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
XNYS = get_calendar("XNYS")
HOLIDAYS = [
    datetime(day.year, day.month, day.day)  # noqa: DTZ001 - Dagster reads it in the definition's time zone
    for stamp in pd.bdate_range("2022-01-03", "2024-12-31")
    if not XNYS.is_session(day := stamp.date())
]
SESSIONS = dg.TimeWindowPartitionsDefinition(
    start="2022-01-03", end="2025-01-01", fmt="%Y-%m-%d", cron_schedule="0 0 * * 1-5", exclusions=HOLIDAYS
)
KEYS_2023 = [day.isoformat() for day in XNYS.sessions(date(2023, 1, 1), date(2023, 12, 31))]
LOOK_BACK = dg.TimeWindowPartitionMapping(start_offset=-20, allow_nonexistent_upstream_partitions=True)


class CountingLake(Lake):
    """A lake that remembers what it was asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.calls: list[tuple[str, TableKey, int]] = []

    def write_sessions(self, table: TableKey, frame: pd.DataFrame, sessions: Sequence[str]) -> LakeWrite:
        self.calls.append(("write", table, len(sessions)))
        return super().write_sessions(table, frame, sessions)

    def read_available(
        self, table: TableKey, sessions: Sequence[str], **options: Any
    ) -> tuple[pd.DataFrame, list[str]]:
        self.calls.append(("read", table, len(sessions)))
        return super().read_available(table, sessions, **options)


LAKES: dict[str, CountingLake] = {}


class CountingLakeResource(LakeResource):
    """Gives one counting lake per place."""

    def get_lake(self) -> CountingLake:
        return LAKES.setdefault(self.url, CountingLake(self.url))


@pytest.fixture
def lake(tmp_path: Path) -> CountingLake:
    return CountingLakeResource(url=str(tmp_path)).get_lake()


def run(assets: Sequence[Any], lake: Lake, **options: Any) -> dg.ExecuteInProcessResult:
    manager = LakeIOManager(lake=CountingLakeResource(url=lake.base))
    return dg.materialize(assets, resources={"io_manager": manager}, **options)


@dg.asset(key=["market_data", "bars"], partitions_def=SESSIONS, backfill_policy=dg.BackfillPolicy.single_run())
def bars(context: dg.AssetExecutionContext) -> dg.MaterializeResult[pd.DataFrame]:
    sessions = context.partition_keys
    return dg.MaterializeResult(
        value=pd.DataFrame(
            {
                "session": sessions * 2,
                "symbol": ["AAPL"] * len(sessions) + ["IBM"] * len(sessions),
                "close": [float(i) for i in range(2 * len(sessions))],
            }
        ),
        metadata={"note": "from the asset"},
    )


@dg.asset(
    key=["features", "averages"],
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    ins={"history": dg.AssetIn(key=["market_data", "bars"], partition_mapping=LOOK_BACK)},
)
def averages(context: dg.AssetExecutionContext, history: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
    sessions = context.partition_keys
    mean = history.groupby("session")["close"].mean()
    frame = pd.DataFrame({"session": sessions, "mean": [mean.get(session) for session in sessions]})
    return dg.MaterializeResult(
        value=frame,
        metadata={"sessions_seen": history["session"].nunique(), "missing": len(history.attrs[MISSING_SESSIONS])},
    )


def metadata_of(result: dg.ExecuteInProcessResult, node: str) -> dict[str, Any]:
    """Of the newest session: in a ranged run what is about the whole run stands there."""
    event = result.asset_materializations_for_node(node)[-1]
    return {name: value.value for name, value in event.metadata.items()}


def test_a_year_of_sessions_is_one_write_and_one_read(lake: CountingLake) -> None:
    tags = {RANGE_START: KEYS_2023[0], RANGE_END: KEYS_2023[-1]}
    result = run([bars, averages], lake, tags=tags)
    assert result.success
    assert len(KEYS_2023) == 250
    assert lake.calls == [
        ("write", ("market_data", "bars"), 250),
        ("read", ("market_data", "bars"), 270),
        ("write", ("features", "averages"), 250),
    ]
    assert lake.stored_sessions(("features", "averages")) == KEYS_2023
    assert len(result.asset_materializations_for_node("market_data__bars")) == 250
    assert metadata_of(result, "features__averages")["missing"] == 20


def test_every_session_of_a_range_tells_its_version_and_the_newest_the_rest(lake: CountingLake) -> None:
    result = run([bars], lake, tags={RANGE_START: KEYS_2023[0], RANGE_END: KEYS_2023[4]})
    events = result.asset_materializations_for_node("market_data__bars")
    assert [event.partition for event in events] == KEYS_2023[:5]
    stored = lake.read_sessions(("market_data", "bars"), KEYS_2023[:5]).attrs[VERSIONS]
    assert {event.partition: event.metadata[LAKE_VERSION].value for event in events} == dict(stored)
    assert ["lake_path" in event.metadata for event in events] == [False] * 4 + [True]
    assert metadata_of(result, "market_data__bars")["lake_files"] == 5
    again = run([bars], lake, partition_key=KEYS_2023[2])
    assert metadata_of(again, "market_data__bars")[LAKE_VERSION] != stored[KEYS_2023[2]]
    assert [one.version for one in lake.versions(("market_data", "bars"), KEYS_2023[2])][1] == stored[KEYS_2023[2]]


def test_one_session_replaces_only_itself(lake: CountingLake) -> None:
    run([bars], lake, tags={RANGE_START: KEYS_2023[0], RANGE_END: KEYS_2023[9]})
    before = lake.read_sessions(("market_data", "bars"), KEYS_2023[:10])
    result = run([bars], lake, partition_key=KEYS_2023[4])
    after = lake.read_sessions(("market_data", "bars"), KEYS_2023[:10])
    others = before["session"] != KEYS_2023[4]
    pd.testing.assert_frame_equal(after[others], before[others])
    assert after[~others]["close"].tolist() == [0.0, 1.0]
    told = metadata_of(result, "market_data__bars")
    assert told["note"] == "from the asset"
    assert (told["lake_rows"], told["lake_files"]) == (2, 1)
    assert Path(told["lake_path"]).stat().st_size == told["lake_bytes"]


def test_a_look_back_reaches_sessions_not_days_and_tells_of_gaps(lake: CountingLake) -> None:
    run([bars], lake, tags={RANGE_START: KEYS_2023[0], RANGE_END: KEYS_2023[40]})
    whole = run([bars, averages], lake, partition_key=KEYS_2023[40], selection=[averages])
    assert metadata_of(whole, "features__averages")["sessions_seen"] == 21
    assert metadata_of(whole, "features__averages")["missing"] == 0
    start = run([bars, averages], lake, partition_key=KEYS_2023[5], selection=[averages])
    assert metadata_of(start, "features__averages")["sessions_seen"] == 6
    assert metadata_of(start, "features__averages")["missing"] == 15
    first_ever = "2022-01-03"
    run([bars], lake, partition_key=first_ever)
    beginning = run([bars, averages], lake, partition_key=first_ever, selection=[averages])
    assert metadata_of(beginning, "features__averages")["missing"] == 0


def test_unpartitioned_assets_feed_each_other_and_partitioned_ones(lake: CountingLake) -> None:
    @dg.asset(key=["market_data", "instruments"])
    def instruments() -> dg.MaterializeResult[pd.DataFrame]:
        return dg.MaterializeResult(value=pd.DataFrame({"symbol": ["AAPL", "IBM"], "tick_size": [0.01, 0.01]}))

    @dg.asset(
        key=["portfolio", "all_bars"],
        ins={
            "instruments": dg.AssetIn(key=["market_data", "instruments"]),
            "rows": dg.AssetIn(key=["market_data", "bars"]),
            "prices": dg.AssetIn(key=["features", "copies"], metadata={COLUMNS: ["close"]}),
        },
    )
    def all_bars(
        instruments: pd.DataFrame, rows: pd.DataFrame, prices: pd.DataFrame
    ) -> dg.MaterializeResult[pd.DataFrame]:
        assert len(instruments) == 2
        assert list(prices.columns) == ["close"]
        return dg.MaterializeResult(value=rows)

    @dg.asset(
        key=["features", "copies"],
        partitions_def=SESSIONS,
        ins={
            "chosen": dg.AssetIn(key=["market_data", "instruments"]),
            "rows": dg.AssetIn(key=["market_data", "bars"]),
        },
    )
    def copies(chosen: pd.DataFrame, rows: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
        return dg.MaterializeResult(value=rows[rows["symbol"].isin(chosen["symbol"])])

    for key in KEYS_2023[:3]:
        run([instruments, bars, copies], lake, partition_key=key)
    assert run([instruments, bars, copies, all_bars], lake, selection=[all_bars]).success
    assert lake.read_table(("portfolio", "all_bars"))["session"].unique().tolist() == KEYS_2023[:3]


def test_an_unpartitioned_input_that_does_not_exist_is_an_error(lake: CountingLake) -> None:
    @dg.asset(key=["market_data", "instruments"])
    def instruments() -> dg.MaterializeResult[pd.DataFrame]:
        return dg.MaterializeResult(value=pd.DataFrame())

    @dg.asset(key=["portfolio", "x"], ins={"table": dg.AssetIn(key=["market_data", "instruments"])})
    def x(table: pd.DataFrame) -> None: ...

    with pytest.raises(LakeMissingError, match="materialize the asset market_data/instruments first"):
        run([instruments, x], lake, selection=[x])


def test_an_asset_that_stores_nothing_never_meets_the_lake(lake: CountingLake) -> None:
    @dg.asset(key=["orders", "orders"], partitions_def=SESSIONS)
    def orders() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"placed": 0})

    assert run([orders], lake, partition_key=KEYS_2023[0]).success
    assert lake.calls == []


def test_what_is_no_frame_or_has_no_table_is_refused_with_what_to_do(lake: CountingLake) -> None:
    @dg.asset(key=["portfolio", "number"])
    def number() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(value=3)

    @dg.asset(key=["a", "b", "c"])
    def deep() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(value=pd.DataFrame())

    with pytest.raises(dg.DagsterInvariantViolationError, match="portfolio/number returned int: return"):
        run([number], lake)
    with pytest.raises(dg.DagsterInvariantViolationError, match=r"named \[stage, table\]; this one is a/b/c"):
        run([deep], lake)


def test_the_lake_may_be_in_s3(s3_url: str, s3_endpoint: str) -> None:
    place = LakeResource(url=s3_url, s3_endpoint_url=s3_endpoint)
    result = dg.materialize(
        [bars, averages],
        resources={"io_manager": LakeIOManager(lake=place)},
        tags={RANGE_START: KEYS_2023[0], RANGE_END: KEYS_2023[2]},
    )
    assert result.success
    assert place.get_lake() is place.get_lake()
    assert place.get_lake().stored_sessions(("features", "averages")) == KEYS_2023[:3]
    assert metadata_of(result, "features__averages")["lake_path"] == f"{s3_url}/features/averages"


def test_importing_the_resources_imports_nothing_heavy() -> None:
    program = (
        "import sys, trading_platform.resources.lake_io_manager, trading_platform.resources.mlflow_session;"
        "print([name for name in ('pandas', 'pyarrow', 'fsspec', 'sqlalchemy', 'mlflow', 'dagster_mlflow')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
