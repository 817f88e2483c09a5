"""The object store's health check, and the one-shot service that makes its bucket, against an S3 of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from trading_platform.ops.processes import free_port
from trading_platform_tests.deployment.compose_file import DEPLOY, complete_env, compose, process_environment

SERVICES = compose(complete_env())["services"]


def make_bucket(directory: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the one-shot service."""
    env = process_environment({**SERVICES["make-bucket"]["environment"], **changes})
    return subprocess.run(
        SERVICES["make-bucket"]["command"],
        env=env,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def health_check(endpoint: str) -> int:
    """Run the health check of the store's container; its exit status."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    env = process_environment({**SERVICES["s3"]["environment"], "S3_ENDPOINT_URL": endpoint})
    return subprocess.run(["sh", str(DEPLOY / "s3" / "healthcheck.sh")], env=env, check=False).returncode


def test_the_bucket_is_made_once(tmp_path: Path, s3_endpoint: str, s3_options: dict[str, Any]) -> None:
    place = {"TRADING_PLATFORM_S3_ENDPOINT_URL": s3_endpoint, "TRADING_PLATFORM_LAKE_URL": "s3://made-once/lake"}
    first, second = make_bucket(tmp_path, **place), make_bucket(tmp_path, **place)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "made, and writable" in first.stdout
    assert "there already, and writable" in second.stdout
    assert "Contents" not in boto3.client("s3", endpoint_url=s3_endpoint).list_objects_v2(Bucket="made-once")


def test_the_default_lake_is_in_the_bundled_store() -> None:
    settings = SERVICES["make-bucket"]["environment"]
    assert settings["TRADING_PLATFORM_LAKE_URL"] == "s3://trading-platform/lake"
    assert settings["TRADING_PLATFORM_S3_ENDPOINT_URL"] == "http://s3:8333"


def test_the_health_check_passes_while_the_store_answers(s3_endpoint: str) -> None:
    assert health_check(s3_endpoint) == 0


def test_the_health_check_fails_where_no_store_is() -> None:
    assert health_check(f"http://127.0.0.1:{free_port()}") != 0
