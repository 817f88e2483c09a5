"""`trading-platform dev`: everything is up and works, and nothing is left behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from trading_platform.ops.dev_services import ask_graphql, why_mlflow_fails
from trading_platform.ops.processes import is_listening
from trading_platform_tests.cli.command import TIMEOUT_SECONDS, Home, kill, listening

LOCATION = """
{ repositoryOrError(repositorySelector: {repositoryLocationName: "trading_platform", repositoryName: "__repository__"})
  { __typename ... on Repository {
      assetNodes { assetKey { path } }
      schedules { name scheduleState { status } }
      sensors { name sensorState { status } } } } }
"""


LAUNCH = """
mutation($job: String!) { launchRun(executionParams: { mode: "default", selector: {
    repositoryLocationName: "trading_platform", repositoryName: "__repository__", pipelineName: $job } })
  { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
STATUSES = """
import dagster as dg
from trading_platform.ops.local import local_platform
with local_platform(), dg.DagsterInstance.get() as instance:
    for run in instance.get_runs():
        print(run.run_id, run.status.value)
"""


@dataclass
class Dev:
    """A `dev` that is up."""

    process: subprocess.Popen[str]
    screen: str

    def address(self, name: str) -> str:
        """The address that the table shows beside ``name``."""
        found = re.search(rf"^{name}\s+(\S+?),?(?:\s|$)", self.screen, re.MULTILINE)
        assert found, self.screen
        return found.group(1)


@pytest.fixture(scope="module")
def dev(home: Home) -> Iterator[Dev]:
    """`dev`, while something else has its favourite port."""
    with listening() as taken:
        process = home.start("dev", "--port", str(taken))
        try:
            yield _when_up(process)
        finally:
            kill(process)


def _when_up(process: subprocess.Popen[str]) -> Dev:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C stops everything" in line:
            return Dev(process, "".join(lines))
    msg = f"dev ended: {''.join(lines)} {process.stderr.read() if process.stderr else ''}"
    raise AssertionError(msg)


def test_the_web_ui_serves_the_assets_and_schedules_and_sensors_run(dev: Dev) -> None:
    found = ask_graphql(dev.address("web UI"), LOCATION)["repositoryOrError"]
    assert found["__typename"] == "Repository"
    keys = {"/".join(node["assetKey"]["path"]) for node in found["assetNodes"]}
    assert {"market_data/instruments", "orders/tsla_orders", "portfolio/performance"} <= keys
    assert {schedule["scheduleState"]["status"] for schedule in found["schedules"]} == {"RUNNING"}
    assert {sensor["sensorState"]["status"] for sensor in found["sensors"]} == {"RUNNING"}


def test_mlflow_and_the_gateway_are_up_and_a_taken_port_is_said(dev: Dev) -> None:
    assert why_mlflow_fails(dev.address("MLflow")) is None
    host, _, port = dev.address("broker").partition(":")
    assert is_listening(int(port), host)
    assert "is taken" in dev.screen


def test_a_second_dev_in_the_same_home_is_refused(home: Home, dev: Dev) -> None:
    done = home.call("dev")
    assert done.status == 1
    assert f"(process {dev.process.pid}, {dev.address('web UI')})" in done.text
    assert dev.process.poll() is None


def test_doctor_sees_the_running_platform(home: Home, dev: Dev) -> None:
    done = home.call("doctor")
    assert done.status == 0, done.text
    assert f"runs already at {dev.address('broker')}" in done.text
    assert re.search(r"daemon heard of \d+ s ago", done.text), done.text


def test_sigterm_stops_all_and_leaves_nothing_behind(home: Home, dev: Dev) -> None:
    launched = ask_graphql(dev.address("web UI"), LAUNCH, {"job": "instruments"})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    ports = [int(dev.address(name).rpartition(":")[2]) for name in ("web UI", "MLflow", "broker")]
    assert len(home.processes()) >= 6
    began = time.monotonic()
    dev.process.send_signal(signal.SIGTERM)
    dev.process.communicate(timeout=TIMEOUT_SECONDS)
    assert dev.process.returncode == 0
    assert time.monotonic() - began < 30, "about 10 s on an idle machine"
    assert home.processes_in_the_end() == []
    assert not any(is_listening(port) for port in ports)
    assert [path.name for path in home.state.glob("*.lock")] == ["postgres.lock"]
    statuses = subprocess.run(
        [sys.executable, "-c", STATUSES], env=home.environment(), cwd=home.directory, capture_output=True, check=True
    )
    assert launched["run"]["runId"].encode() in statuses.stdout
    assert b"START" not in statuses.stdout, statuses.stdout
