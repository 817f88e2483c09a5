# no `from __future__ import annotations`: Dagster reads the annotation of `context` as it stands
"""Dagster's storage that writes in bulk records what dagster-postgres records, in a real PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import create_engine, text

from trading_platform.resources.dagster_storage import BATCH_SIZE

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DAYS = dg.DailyPartitionsDefinition("2024-01-01")
RANGE = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-20"}
OURS = """
storage:
  custom:
    module: trading_platform.resources.dagster_storage
    class: BulkPostgresStorage
    config: {{postgres_url: "{url}"}}
"""
THEIRS = """
storage:
  postgres: {{postgres_url: "{url}"}}
"""


@dg.multi_asset(
    outs={name: dg.AssetOut(key=["stage", name], dagster_type=dg.Nothing) for name in ("one", "two")},
    check_specs=[dg.AssetCheckSpec("contract", asset=dg.AssetKey(["stage", "one"]))],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def both(context: dg.AssetExecutionContext) -> Iterator[Any]:
    if context.run.tags.get("fail"):
        raise dg.Failure(description="as asked", allow_retries=False)
    check = dg.AssetCheckResult(check_name="contract", asset_key=dg.AssetKey(["stage", "one"]), passed=True)
    yield dg.MaterializeResult(asset_key=["stage", "one"], check_results=[check])
    yield dg.MaterializeResult(asset_key=["stage", "two"])


@pytest.fixture
def instance_of(
    tmp_path: Path, postgres_url_factory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[dg.DagsterInstance, str]]:
    """Makes an instance of a dagster.yaml with a database of its own."""

    def make(template: str) -> tuple[dg.DagsterInstance, str]:
        url, home = postgres_url_factory(), tmp_path / f"home-{len(template)}"
        home.mkdir()
        (home / "dagster.yaml").write_text(template.format(url=url))
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        return dg.DagsterInstance.get(), url

    monkeypatch.setenv(BATCH_SIZE, "")
    monkeypatch.delenv(BATCH_SIZE)
    return make


def recorded(url: str) -> tuple[Any, Any, Any]:
    """Events, assets and checks as the database has them."""
    with create_engine(url).connect() as connection:
        events = connection.execute(
            text(
                "select dagster_event_type, asset_key, partition, count(*) from event_logs "
                "where asset_key is not null group by 1, 2, 3 order by 1, 2, 3"
            )
        ).all()
        assets = connection.execute(
            text(
                "select asset_key, last_run_id is not null, last_materialization is not null from asset_keys order by 1"
            )
        ).all()
        checks = connection.execute(
            text("select check_name, partition, execution_status from asset_check_executions order by 1, 2, 3")
        ).all()
    return events, assets, checks


def test_a_ranged_run_is_recorded_as_dagster_postgres_would(instance_of: Callable[..., Any]) -> None:
    found = []
    for template in (OURS, THEIRS):
        instance, url = instance_of(template)
        with instance:
            assert dg.materialize([both], instance=instance, tags=RANGE).success
            key = dg.AssetKey(["stage", "one"])
            assert instance.get_materialized_partitions(key) == {f"2024-01-{day:02}" for day in range(1, 21)}
            found.append(recorded(url))
    ours, theirs = found
    assert ours[:2] == theirs[:2]
    planned = [row for row in ours[0] if row[0] == "ASSET_MATERIALIZATION_PLANNED"]
    assert len(planned) == 40


def test_a_check_is_planned_once_and_its_evaluation_takes_the_place(instance_of: Callable[..., Any]) -> None:
    instance, url = instance_of(OURS)
    with instance:
        assert dg.materialize([both], instance=instance, tags=RANGE).success
        assert recorded(url)[2] == [("contract", None, "SUCCEEDED")]
        assert dg.materialize([both], instance=instance, partition_key="2024-01-03").success
        assert recorded(url)[2] == [("contract", None, "SUCCEEDED")] * 2


def test_the_sessions_of_a_range_that_failed_are_known_as_failed(instance_of: Callable[..., Any]) -> None:
    from dagster._core.definitions.asset_key import AssetKey

    instance, _ = instance_of(OURS)
    with instance:
        failed = dg.materialize([both], instance=instance, tags=RANGE | {"fail": "yes"}, raise_on_error=False)
        assert not failed.success
        attempts = (
            instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                AssetKey(["stage", "two"])
            )
        )
        assert set(attempts) == {f"2024-01-{day:02}" for day in range(1, 21)}
