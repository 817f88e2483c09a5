"""What a Dagster run did, as sentences: real runs, followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import pytest

from trading_platform.brokers.base import BrokerConnectionError
from trading_platform.ops.main_job import PROCESS_TAG, close_orphans
from trading_platform.ops.run_document import RunDocument
from trading_platform.ops.run_progress import Follower, Progress


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def followed(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> tuple[RunDocument, list[Progress]]:
    """The document and the progress of a run of ``assets``."""
    document = RunDocument(as_of="", session="", account="", mode="paper", market="open")
    reports: list[Progress] = []
    run_id = str(uuid4())
    job = dg.Definitions(assets, jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    with Follower(instance, run_id, reports.append, document).following():
        job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False)
    return document, reports


@dg.asset(key=["stage", "good"], check_specs=[dg.AssetCheckSpec("fine", asset=dg.AssetKey(["stage", "good"]))])
def good() -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster does not understand it with one
    check = dg.AssetCheckResult(check_name="fine", passed=False, severity=dg.AssetCheckSeverity.WARN)
    return dg.MaterializeResult(metadata={"rows": 3, "new_orders": 2, "outcome": "2 placed"}, check_results=[check])


def test_rows_orders_and_checks_are_kept(instance: dg.DagsterInstance) -> None:
    document, reports = followed(instance, good)
    assert document.assets == {"stage/good": {"status": "materialized", "rows": 3}}
    assert document.new_orders == 2
    assert document.outcomes == {"stage/good": "2 placed"}
    assert document.checks == [{"asset": "stage/good", "check": "fine", "passed": False, "severity": "WARN"}]
    done = next(report for report in reports if report.kind == "done")
    assert (done.text, done.rows) == ("stage/good", 3)
    assert done.seconds is not None
    assert done.seconds >= 0
    assert [report.text for report in reports if report.kind == "step"] == ["stage/good"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BrokerConnectionError("nothing answers: start it"), "nothing answers: start it"),
        (KeyError("x"), "KeyError: 'x'"),
        (dg.Failure("three rows are bad"), "three rows are bad"),
    ],
)
def test_a_failure_is_its_cause_and_what_follows_is_skipped(
    instance: dg.DagsterInstance, error: Exception, sentence: str
) -> None:
    @dg.asset
    def bad() -> None:
        raise error

    @dg.asset(deps=[bad])
    def after() -> None:
        return None

    document, reports = followed(instance, bad, after)
    assert document.failures == [f"bad: {sentence}"]
    assert document.assets == {"bad": {"status": "failed", "rows": None}, "after": {"status": "skipped", "rows": None}}
    assert [report.text for report in reports if report.kind == "failed"] == [f"bad: {sentence}"]


def test_runs_of_a_killed_process_are_closed_and_others_left_alone(instance: dg.DagsterInstance) -> None:
    from trading_platform.execution.holder import holder_name

    job = dg.Definitions([good], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    alive = holder_name("x")
    dead = alive.replace(f'"pid": {os.getpid()}', '"pid": 99999999')
    statuses = {}
    for name, tags in {"dead": {PROCESS_TAG: dead}, "alive": {PROCESS_TAG: alive}, "of dev": {}}.items():
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        statuses[name] = run.run_id
    close_orphans(instance)
    found = {name: instance.get_run_by_id(run_id) for name, run_id in statuses.items()}
    assert {name: run.status.value if run else None for name, run in found.items()} == {
        "dead": "FAILURE",
        "alive": "STARTED",
        "of dev": "STARTED",
    }
