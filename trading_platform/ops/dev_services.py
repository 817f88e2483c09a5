"""The servers that `trading-platform dev` runs: how each is started, and how to tell that it really works."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trading_platform.ops.processes import ChildProcess, start
from trading_platform.settings import Settings

LOCAL = "127.0.0.1"
LOCATION = "trading_platform"
MODULE = "trading_platform.definitions"
MLFLOW_API_PATH = "/api/2.0/mlflow/experiments/search?max_results=1"
REQUEST_TIMEOUT_SECONDS = 20.0

_LOCATIONS = """
{ workspaceOrError { __typename
    ... on PythonError { message }
    ... on Workspace { locationEntries { name loadStatus
        locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
_HEARTBEATS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"


@dataclass(frozen=True)
class Service:
    """A server and its check: ``why_not`` says what is still missing, or returns None once it works."""

    name: str
    child: ChildProcess
    why_not: Callable[[], str | None]
    address: str = ""


def start_mlflow(settings: Settings, backend: str, port: int, logs: Path) -> Service:
    """MLflow's server on its database. Artifacts are plain files, as for `run`, which needs no server to read them."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", LOCAL, "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": backend,  # not on the command line, which everybody can read
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": settings.mlflow_artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    child = start("MLflow server", [*command, "--no-serve-artifacts"], log=logs / "mlflow.log", env=environment)
    url = f"http://{LOCAL}:{port}"
    return Service("MLflow", child, lambda: why_mlflow_fails(url), url)


def start_code_server(port: int, logs: Path) -> ChildProcess:
    """The one process that imports the definitions, for web server and daemon; it starts the runs.

    `code-server`, not `api grpc`: a reload from the UI then reads the code again.
    """
    command = [sys.executable, "-m", "dagster", "code-server", "start", "--host", LOCAL, "--port", str(port)]
    command += ["-m", MODULE, "--location-name", LOCATION]
    return start("code server", command, log=logs / "code-server.log", env=_quietly())


def start_web_server(workspace: Path, port: int, logs: Path) -> Service:
    """Dagster's web UI. It works when it has loaded the code location."""
    command = [sys.executable, "-m", "dagster_webserver", "--host", LOCAL, "--port", str(port), "-w", str(workspace)]
    url = f"http://{LOCAL}:{port}"
    child = start("web server", command, log=logs / "webserver.log", env=_quietly())
    return Service("web UI", child, lambda: why_location_is_missing(url), url)


def start_daemon(workspace: Path, web_url: str, since: datetime, logs: Path) -> Service:
    """Dagster's daemon: schedules, sensors, run monitoring. It works when each part has had a heartbeat."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]
    child = start("daemon", command, log=logs / "daemon.log", env=_quietly())
    return Service("schedules and sensors", child, lambda: why_daemon_is_silent(web_url, since))


def _quietly() -> dict[str, str]:
    # every run imports the definitions, and would write Dagster's forty warnings of beta features into the log
    return {"PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore")}


def write_workspace(path: Path, port: int) -> None:
    """Tell web server and daemon where the code server is."""
    server = {"grpc_server": {"host": LOCAL, "port": port, "location_name": LOCATION}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"load_from": [server]}, indent=2))  # JSON is YAML


def ask_graphql(web_url: str, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The data that Dagster's web server answers.

    Raises:
        OSError: it does not answer, or not with data.
    """
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{web_url}/graphql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS) as response:
        answer = json.load(response)
    if answer.get("errors"):
        msg = f"{web_url} answered {answer['errors'][0].get('message')}"
        raise OSError(msg)
    data: dict[str, Any] = answer["data"]
    return data


def why_location_is_missing(web_url: str) -> str | None:
    """What keeps the web UI from showing the assets."""
    try:
        found = ask_graphql(web_url, _LOCATIONS)["workspaceOrError"]
    except (OSError, ValueError) as error:
        return f"no answer yet ({error})"
    if found["__typename"] != "Workspace":
        return str(found.get("message", found["__typename"]))
    entries = [entry for entry in found["locationEntries"] if entry["name"] == LOCATION]
    if not entries or entries[0]["loadStatus"] != "LOADED":
        return "the code location is loading"
    loaded = entries[0]["locationOrLoadError"] or {}
    if loaded.get("__typename") == "RepositoryLocation":
        return None
    return str(loaded.get("message", "the code location did not load"))


def why_daemon_is_silent(web_url: str, since: datetime) -> str | None:
    """Which of the daemon's parts have had no heartbeat since ``since`` (tz-aware, wall clock)."""
    try:
        health = ask_graphql(web_url, _HEARTBEATS)["instance"]["daemonHealth"]
    except (OSError, ValueError) as error:
        return f"no answer yet ({error})"
    silent = [
        str(daemon["daemonType"]).lower()
        for daemon in health["allDaemonStatuses"]
        if daemon["required"] and (daemon["lastHeartbeatTime"] or 0.0) < since.timestamp()
    ]
    return f"no heartbeat of {', '.join(silent)}" if silent else None


def why_mlflow_fails(url: str) -> str | None:
    """What keeps MLflow's API (not just its health page) from answering."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + MLFLOW_API_PATH, timeout=REQUEST_TIMEOUT_SECONDS) as response:
            json.load(response)
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
    return None


def hide_first_visit_dialog(web_url: str) -> None:
    """Let the web UI open on the assets."""
    ask_graphql(web_url, "mutation { setNuxSeen }")
