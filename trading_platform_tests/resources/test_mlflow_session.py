# no `from __future__ import annotations`: Dagster reads the annotation of `context` as it stands

import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from trading_platform.resources.mlflow_session import (
    NOT_FINITE_TAG,
    PARAM_NOW_TAG,
    MlflowResource,
    MlflowUnavailableError,
    SessionRun,
    _find_or_create_run,
)
from trading_platform.storage.ledger import Ledger
from trading_platform.storage.mlflow_database import prepare_tracking_database
from trading_platform_tests.conftest import PostgresUrlFactory

pytestmark = pytest.mark.filterwarnings("ignore")
MINE = {"strategy": "tsla", "session": "2024-03-01", "account": "DU1000000", "world": "now"}


@pytest.fixture(scope="module")
def prepared_url(postgres_url_factory: PostgresUrlFactory) -> str:
    url = postgres_url_factory()
    prepare_tracking_database(url)
    return url


@pytest.fixture
def tracking_uri(prepared_url: str, postgres_url_factory: PostgresUrlFactory) -> str:
    """A tracking database of this test's own."""
    return postgres_url_factory(template=prepared_url)


@pytest.fixture
def client(tracking_uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri)


@pytest.fixture
def place(tracking_uri: str, tmp_path: Path) -> MlflowResource:
    return MlflowResource(
        tracking_uri=tracking_uri, ui_url="http://localhost:5000/", artifact_root=str(tmp_path / "artifacts")
    )


def materialize(place: MlflowResource, work: Callable[[SessionRun], None], **identity: str) -> dict[str, Any]:
    @dg.asset(key=["research", "tsla_session_run"])
    def session_run(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> dg.MaterializeResult[None]:
        with mlflow.session_run(context, **{**MINE, **identity}, alone=nullcontext) as run:
            work(run)
        return dg.MaterializeResult(metadata={"run": run.run_id, "url": run.url or "", "dagster": context.run_id})

    result = dg.materialize([session_run], resources={"mlflow": place})
    event = result.asset_materializations_for_node("research__tsla_session_run")[0]
    return {name: value.value for name, value in event.metadata.items()}


def runs_of(client: Any, strategy: str = "tsla") -> list[Any]:
    experiment = client.get_experiment_by_name(strategy)
    return list(client.search_runs([experiment.experiment_id]))


def test_a_session_is_one_run_with_everything_in_it(place: MlflowResource, client: Any) -> None:
    signals = pd.DataFrame({"symbol": ["TSLA"], "confidence": [0.7]})

    def work(run: SessionRun) -> None:
        run.log_params({"fast": 12, "slow": 26})
        run.log_metrics({"equity": 1_000_000.0, "return_pct": -0.25})
        run.log_frame("signals", signals)
        run.log_json("orders", [{"symbol": "TSLA", "quantity": 10}])

    told = materialize(place, work)
    (run,) = runs_of(client)
    assert told["run"] == run.info.run_id
    assert told["url"] == f"http://localhost:5000/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert (run.info.status, run.info.run_name) == ("FINISHED", "2024-03-01")
    assert run.data.params == {"fast": "12", "slow": "26"}
    assert run.data.metrics == {"equity": 1_000_000.0, "return_pct": -0.25}
    expected = {**MINE, "asset": "research/tsla_session_run", "dagster_run_id": told["dagster"]}
    assert {name: run.data.tags[name] for name in expected} == expected
    artifacts = Path(run.info.artifact_uri)
    assert artifacts.parent.parent == Path(str(place.artifact_root)) / "tsla"
    pd.testing.assert_frame_equal(pd.read_parquet(artifacts / "signals.parquet"), signals)
    assert json.loads((artifacts / "orders.json").read_text()) == [{"quantity": 10, "symbol": "TSLA"}]


def test_the_same_session_again_uses_its_run_and_another_one_gets_its_own(place: MlflowResource, client: Any) -> None:
    first = materialize(place, lambda run: run.log_params({"fast": 12, "slow": 26}))
    again = materialize(place, lambda run: run.log_params({"fast": 9, "slow": 26, "stop": 1}))
    assert again["run"] == first["run"]
    (run,) = runs_of(client)
    assert run.data.params == {"fast": "12", "slow": "26", "stop": "1"}
    assert run.data.tags[PARAM_NOW_TAG + "fast"] == "9"
    assert run.data.tags["dagster_run_id"] == again["dagster"]

    others = [
        materialize(place, lambda run: None, session="2024-03-04"),
        materialize(place, lambda run: None, account="DU20240301", world="as-of-2024-03-01"),
    ]
    assert len({first["run"], *(other["run"] for other in others)}) == 3
    assert {run.info.status for run in runs_of(client)} == {"FINISHED"}


def test_numbers_that_are_not_finite_become_a_tag_and_are_forgotten_when_they_are(
    place: MlflowResource, client: Any
) -> None:
    materialize(place, lambda run: run.log_metrics({"sharpe": math.nan, "ratio": -math.inf, "equity": 1.0}))
    (run,) = runs_of(client)
    assert run.data.metrics == {"equity": 1.0}
    assert json.loads(run.data.tags[NOT_FINITE_TAG]) == {"ratio": "-inf", "sharpe": "nan"}
    materialize(place, lambda run: run.log_metrics({"sharpe": 1.5, "ratio": 2.0, "equity": 2.0}))
    (run,) = runs_of(client)
    assert run.data.metrics == {"equity": 2.0, "sharpe": 1.5, "ratio": 2.0}
    assert json.loads(run.data.tags[NOT_FINITE_TAG]) == {}
    with pytest.raises(ValueError, match="JSON"):
        materialize(place, lambda run: run.log_json("bad", {"x": math.nan}))


def test_a_run_ends_with_the_true_status_and_may_be_mended(place: MlflowResource, client: Any) -> None:
    def fail(run: SessionRun) -> None:
        run.log_metrics({"equity": 1.0})
        msg = "no prices"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="no prices"):
        materialize(place, fail)
    assert runs_of(client)[0].info.status == "FAILED"

    def interrupt(run: SessionRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
        materialize(place, interrupt)
    assert runs_of(client)[0].info.status == "KILLED"

    materialize(place, lambda run: None)
    (run,) = runs_of(client)
    assert run.info.status == "FINISHED"


def test_a_run_left_open_in_the_process_is_closed_and_not_shared(
    place: MlflowResource, client: Any, tracking_uri: str
) -> None:
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment("somebody")
    left_open = mlflow.start_run().info.run_id
    told = materialize(place, lambda run: run.log_metrics({"equity": 1.0}))
    assert told["run"] != left_open
    assert client.get_run(left_open).info.status == "KILLED"
    assert client.get_run(left_open).data.metrics == {}
    assert mlflow.active_run() is None


def test_many_at_once_make_one_run(client: Any, tracking_uri: str, tmp_path: Path) -> None:
    identity = {**MINE, "asset": "a"}

    def find(_: int) -> str:
        """As a run does that has a connection of its own."""
        ledger = Ledger(tracking_uri)
        with ledger.alone("MLflow runs of tsla"):
            run_id: str = _find_or_create_run(client, str(tmp_path), "2024-03-01", identity).info.run_id
        ledger.close()
        return run_id

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, range(4)))
    assert len(found) == 4
    (run,) = runs_of(client)
    assert set(found) == {run.info.run_id}


def test_other_threads_log_into_the_same_run(place: MlflowResource, client: Any) -> None:
    def work(run: SessionRun) -> None:
        thread = threading.Thread(target=lambda: run.log_metrics({"equity": 3.0}))
        thread.start()
        thread.join()

    materialize(place, work)
    (run,) = runs_of(client)
    assert run.data.metrics == {"equity": 3.0}


def test_an_experiment_somebody_deleted_is_restored(place: MlflowResource, client: Any) -> None:
    materialize(place, lambda run: None)
    client.delete_experiment(client.get_experiment_by_name("tsla").experiment_id)
    materialize(place, lambda run: None)
    assert client.get_experiment_by_name("tsla").lifecycle_stage == "active"


def test_the_address_may_come_from_the_environment(
    place: MlflowResource, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_MLFLOW_URI", place.tracking_uri)
    materialize(
        MlflowResource(tracking_uri=dg.EnvVar("TEST_MLFLOW_URI"), artifact_root=place.artifact_root), lambda run: None
    )
    assert len(runs_of(client)) == 1


@pytest.mark.parametrize("uri", ["postgresql+psycopg2://u:hush@127.0.0.1:9/mlflow", "http://127.0.0.1:9"])
def test_an_mlflow_that_is_down_is_named_soon(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    start = time.monotonic()
    with pytest.raises(MlflowUnavailableError, match="check TRADING_PLATFORM_MLFLOW_TRACKING_URI") as caught:
        materialize(MlflowResource(tracking_uri=uri, artifact_root="unused"), lambda run: None)
    assert time.monotonic() - start < 10
    assert "hush" not in str(caught.value)


def test_a_database_without_a_place_for_artifacts_is_refused(tracking_uri: str) -> None:
    with pytest.raises(MlflowUnavailableError, match="set artifact_root"):
        materialize(MlflowResource(tracking_uri=tracking_uri), lambda run: None)
