"""Health checks against servers that answer, refuse, or say something odd. Healthy ones are in ``deployment``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trading_platform.ops.health import UnhealthyError, mlflow_health, webserver_health
from trading_platform.ops.processes import free_port

Serve = Callable[..., str]
LOADED = {
    "name": "trading_platform",
    "loadStatus": "LOADED",
    "locationOrLoadError": {"__typename": "RepositoryLocation"},
}
BROKEN = {**LOADED, "locationOrLoadError": {"__typename": "PythonError", "message": "no module named colour"}}
LOADING = {**LOADED, "loadStatus": "LOADING", "locationOrLoadError": None}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(body, status=200)`` starts a server that answers every POST so; returns its URL."""
    servers: list[ThreadingHTTPServer] = []

    def begin(body: bytes, status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def graphql(*locations: dict[str, Any], runs: str = "Runs") -> bytes:
    """An answer of the web UI."""
    workspace = {"__typename": "Workspace", "locationEntries": list(locations)}
    return json.dumps({"data": {"runsOrError": {"__typename": runs}, "workspaceOrError": workspace}}).encode()


def test_a_web_ui_with_its_code_location_is_healthy(serve: Serve) -> None:
    assert "serves trading_platform" in webserver_health(serve(graphql(LOADED)))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (graphql(BROKEN), "no module named colour"),
        (graphql(LOADED, LOADING), "has not loaded the code location"),
        (graphql(), "has no code location"),
        (graphql(LOADED, runs="PythonError"), "can't read runs"),
        (b'{"errors": [{"message": "too many retries for DB connection"}], "data": null}', "too many retries"),
        (b"[]", "something unexpected"),
        (b"<html>", "is not JSON"),
    ],
)
def test_a_web_ui_that_can_not_do_its_work_is_sick_though_it_answers(
    serve: Serve, answer: bytes, complaint: str
) -> None:
    with pytest.raises(UnhealthyError, match=complaint):
        webserver_health(serve(answer))


def test_mlflow_is_healthy_when_it_shows_an_experiment(serve: Serve) -> None:
    assert mlflow_health(serve(b'{"experiments": [{"name": "Default"}]}'))


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (403, b"Invalid Host header", "403: Invalid Host header; name the host in MLFLOW_SERVER_ALLOWED_HOSTS"),
        (500, b"database is down", "500: database is down"),
        (200, b"{}", "no experiment"),
    ],
)
def test_an_mlflow_that_refuses_or_has_no_database_is_sick(
    serve: Serve, status: int, body: bytes, complaint: str
) -> None:
    with pytest.raises(UnhealthyError, match=complaint):
        mlflow_health(serve(body, status))


@pytest.mark.parametrize("check", [webserver_health, mlflow_health])
def test_a_port_where_nothing_listens_is_sick(check: Callable[[str], str]) -> None:
    with pytest.raises(UnhealthyError, match="does not answer"):
        check(f"http://127.0.0.1:{free_port()}")
