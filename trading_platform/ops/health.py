"""``trading-platform health``: whether a service of the server does its work, asked as its users would ask it.

For the health checks of containers, so import-light and quick. What is worth a person's attention is in
``trading-platform doctor``.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 10.0

# the runs' ids are asked for because only they need the database
WEBSERVER_QUERY = """{
  runsOrError(limit: 1) { __typename ... on Runs { results { id } } }
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
  }
}"""


class UnhealthyError(Exception):
    """A service does not do its work. The message says which and what it answered."""


def webserver_health(url: str) -> str:
    """Ask the web UI at ``url`` for a run (so its database) and for its code locations; return a sentence.

    Its own ``/server_info`` answers 200 with the database down.

    Raises:
        UnhealthyError: it does not answer, has no database, or a code location is not loaded.
    """
    where = f"the web UI at {url}"
    answer = _ask(where, f"{url.rstrip('/')}/graphql", {"query": WEBSERVER_QUERY})
    data = answer.get("data")
    if answer.get("errors") or not data:
        msg = f"{where} can't answer: {_shortened(answer.get('errors'))}"
        raise UnhealthyError(msg)
    if data["runsOrError"]["__typename"] != "Runs":
        msg = f"{where} can't read runs: look at PostgreSQL"
        raise UnhealthyError(msg)
    locations = data["workspaceOrError"].get("locationEntries") or []
    for location in locations:
        loaded = location["locationOrLoadError"] or {}
        if loaded.get("__typename") != "RepositoryLocation":
            msg = (
                f"{where} has not loaded the code location {location['name']} ({location['loadStatus']}): "
                f"look at the code server. {_shortened(loaded.get('message', ''))}"
            )
            raise UnhealthyError(msg)
    if not locations:
        msg = f"{where} has no code location: look at its workspace file"
        raise UnhealthyError(msg)
    return f"{where} serves {', '.join(location['name'] for location in locations)}"


def mlflow_health(url: str, host: str | None = None) -> str:
    """Ask MLflow's API at ``url`` for its experiments; return a sentence. ``host`` is sent as the Host header.

    MLflow's own ``/health`` answers 200 while the API refuses the name it is asked under.

    Raises:
        UnhealthyError: it does not answer, refuses the name, or has no database.
    """
    where = f"MLflow at {url}"
    answer = _ask(where, f"{url.rstrip('/')}/api/2.0/mlflow/experiments/search", {"max_results": 1}, host=host)
    if not answer.get("experiments"):
        msg = f"{where} has no experiment, not even its default one: look at its database"
        raise UnhealthyError(msg)
    return f"{where} answers"


def _ask(where: str, url: str, body: dict[str, Any], host: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        advice = "; name the host in MLFLOW_SERVER_ALLOWED_HOSTS" if error.code == 403 else ""
        msg = f"{where} answers {error.code}: {_shortened(error.read().decode(errors='replace'))}{advice}"
        raise UnhealthyError(msg) from error
    except OSError as error:
        msg = f"{where} does not answer ({getattr(error, 'reason', error)})"
        raise UnhealthyError(msg) from error
    except ValueError as error:
        msg = f"{where} answers something that is not JSON: is it another program's port?"
        raise UnhealthyError(msg) from error
    if not isinstance(answer, dict):
        msg = f"{where} answers something unexpected: {_shortened(answer)}"
        raise UnhealthyError(msg)
    return answer


def _shortened(text: object, length: int = 300) -> str:
    return " ".join(str(text or "").split())[:length]
