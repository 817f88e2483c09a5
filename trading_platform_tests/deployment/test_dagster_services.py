"""Code server, web UI and daemon as their containers start them, and the health checks that watch them."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from trading_platform.ops.processes import ChildProcess, free_port, is_listening, start, stop
from trading_platform_tests.deployment.compose_file import DEPLOY, complete_env, compose, replaced
from trading_platform_tests.deployment.conftest import ServerDatabases
from trading_platform_tests.deployment.waiting import until

SERVICES = compose(complete_env())["services"]

pytestmark = pytest.mark.slow


@dataclass
class Server:
    """The three services on this machine: other ports, and the workspace file naming them."""

    databases: ServerDatabases
    daemons: int = 0
    code_server_port: int = field(default_factory=free_port)
    webserver_port: int = field(default_factory=free_port)
    children: dict[str, ChildProcess] = field(default_factory=dict)

    def start(self, service: str) -> None:
        command = self._here(SERVICES[service]["command"])
        self.children[service] = start(
            service,
            ["env", "--ignore-environment", *self._environment(service), *command],
            log=self.databases.home / f"{service}.log",
        )

    def check(self, *services: str) -> dict[str, tuple[int, str]]:
        """Run the health checks of these services' containers at once; exit status and output of each."""
        running = {}
        for service in services:
            command = self._here(SERVICES[service]["healthcheck"]["test"][1:])
            env = dict(line.split("=", 1) for line in self._environment(service))
            running[service] = subprocess.Popen(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        output = {service: process.communicate(timeout=90)[0] for service, process in running.items()}
        return {service: (process.returncode, output[service]) for service, process in running.items()}

    def ask(self, query: str) -> dict[str, Any]:
        """Ask the web UI's GraphQL."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.webserver_port}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return dict(json.load(response)["data"])

    def _environment(self, service: str) -> list[str]:
        return [f"{name}={value}" for name, value in self.databases.environment(service).items()]

    def _here(self, words: list[str]) -> list[str]:
        workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": self.code_server_port}
        path = self.databases.home / "workspace.yaml"
        path.write_text(yaml.safe_dump(workspace))
        return replaced(
            words,
            {
                "0.0.0.0": "127.0.0.1",
                "4266": self.code_server_port,
                "3000": self.webserver_port,
                "/opt/trading-platform/workspace.yaml": path,
            },
        )


def beating_hearts(databases: ServerDatabases) -> int:
    """How many of Dagster's daemons have left a heartbeat."""
    with sa.create_engine(databases.server.url_of("dagster"), poolclass=sa.NullPool).connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM daemon_heartbeats")).scalar_one())


@contextmanager
def without_database(databases: ServerDatabases) -> Iterator[None]:
    """Dagster's database refuses everybody, and throws out whoever is connected."""
    engine = sa.create_engine(databases.server.url_of("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as administrator:
        administrator.execute(sa.text("ALTER DATABASE dagster ALLOW_CONNECTIONS false"))
        administrator.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dagster'")
        )
        try:
            yield
        finally:
            administrator.execute(sa.text("ALTER DATABASE dagster ALLOW_CONNECTIONS true"))


@pytest.fixture(scope="module")
def server(server_databases: ServerDatabases) -> Iterator[Server]:
    """The services' commands and an instance whose tables are there; nothing is started."""
    server = Server(server_databases)
    with pytest.MonkeyPatch.context() as patch:
        name = "TRADING_PLATFORM_DAGSTER_DATABASE_URL"
        patch.setenv(name, server_databases.environment("daemon")[name])
        with dg.DagsterInstance.from_config(str(server_databases.dagster_home)) as instance:
            server.daemons = len(instance.get_required_daemon_types())
    try:
        yield server
    finally:
        stop(list(server.children.values()))


def test_the_services_come_up_and_their_health_checks_tell_when_one_falls(server: Server) -> None:
    server.start("code-server")
    until(lambda: is_listening(server.code_server_port), server.children["code-server"])
    server.start("webserver")
    server.start("daemon")
    until(lambda: is_listening(server.webserver_port), server.children["webserver"])
    until(lambda: beating_hearts(server.databases) >= server.daemons, server.children["daemon"])
    healthy = server.check("code-server", "webserver", "daemon")
    assert not any(status for status, _ in healthy.values()), healthy

    states = server.ask(
        '{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", '
        'repositoryLocationName: "trading_platform"}) '
        "{ ... on Schedules { results { name scheduleState { status } } } } }"
    )
    schedules = states["schedulesOrError"]["results"]
    assert schedules
    assert {schedule["scheduleState"]["status"] for schedule in schedules} == {"STOPPED"}, "off in production"

    with without_database(server.databases):
        sick = server.check("webserver", "daemon")
    assert all(status for status, _ in sick.values()), sick
    assert "the web UI at" in sick["webserver"][1]

    stop([server.children["code-server"]])
    assert server.check("code-server")["code-server"][0] != 0
