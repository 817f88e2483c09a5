"""MLflow's container: its command and environment, on other ports, with SQLite and an S3 of this machine."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from trading_platform.ops.health import UnhealthyError, mlflow_health
from trading_platform.ops.processes import free_port, start, stop
from trading_platform_tests.conftest import quick_directory
from trading_platform_tests.deployment.compose_file import complete_env, compose, process_environment, replaced
from trading_platform_tests.deployment.waiting import until

SERVICE = compose(complete_env())["services"]["mlflow"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory in memory where there is room: making MLflow's tables on a disk takes long."""
    directory = quick_directory()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.slow
def test_mlflow_answers_under_its_containers_name_and_keeps_artifacts_in_s3(
    home: Path, s3_endpoint: str, s3_options: dict[str, Any]
) -> None:
    store = boto3.client("s3", endpoint_url=s3_endpoint)
    store.create_bucket(Bucket="trading-platform")
    port = free_port()
    here = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{home}/mlflow.db", "MLFLOW_S3_ENDPOINT_URL": s3_endpoint}
    env = process_environment({**SERVICE["environment"], **here})
    command = replaced(SERVICE["command"], {"0.0.0.0": "127.0.0.1", "5000": port})
    words = ["env", "--ignore-environment", f"--chdir={home}", *(f"{k}={v}" for k, v in env.items())]
    child = start("mlflow", [*words, *command], log=home / "log")
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _is_healthy(url), child)

        assert "answers" in mlflow_health(url, host="mlflow:5000")
        with pytest.raises(UnhealthyError, match=r"403.*MLFLOW_SERVER_ALLOWED_HOSTS"):
            mlflow_health(url, host="stranger:5000")

        check = replaced(SERVICE["healthcheck"]["test"][1:], {"http://mlflow:5000": url})
        assert subprocess.run(check, env=env, capture_output=True, check=False).returncode == 0

        artifact = urllib.request.Request(
            f"{url}/api/2.0/mlflow-artifacts/artifacts/probe.txt", b"kept", {"Host": "mlflow:5000"}, method="PUT"
        )
        urllib.request.urlopen(artifact, timeout=30).close()
        kept = store.get_object(Bucket="trading-platform", Key="mlflow/probe.txt")
        assert kept["Body"].read() == b"kept"
    finally:
        stop([child])
    gone = subprocess.run(check, env=env, capture_output=True, text=True, check=False)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


def _is_healthy(url: str) -> bool:
    try:
        return bool(mlflow_health(url, host="mlflow:5000"))
    except UnhealthyError:
        return False
