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

from trading_platform.ops.processes import ChildProcess, free_port, start, stop
from trading_platform_tests.deployment.compose_file import DEPLOY, complete_env, compose, replaced
from trading_platform_tests.deployment.conftest import ServerDatabases
from trading_platform_tests.deployment.waiting import until

SERVICES = compose(complete_env())["services"]
WATCHED = ("code-server", "webserver", "daemon")

pytestmark = pytest.mark.slow


@dataclass
class Server:
    """The three services on this machine: other ports, and the workspace file naming them."""

    databases: ServerDatabases
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

    def wait(self, service: str) -> None:
        until(lambda: self.check(service).returncode == 0, self.children[service])

    def begin_check(self, service: str) -> subprocess.Popen[str]:
        """Begin the health check of a service's container."""
        command = self._here(SERVICES[service]["healthcheck"]["test"][1:])
        env = dict(line.split("=", 1) for line in self._environment(service))
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def check(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run that health check to its end."""
        process = self.begin_check(service)
        output, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess([], process.returncode, output)

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
        with dg.DagsterInstance.from_config(str(server_databases.dagster_home)):
            pass
    try:
        yield server
    finally:
        stop(list(server.children.values()))


def test_every_health_check_fails_while_its_service_is_down(server: Server) -> None:
    checks = {service: server.begin_check(service) for service in WATCHED}
    output = {service: check.communicate(timeout=60)[0] for service, check in checks.items()}
    assert all(check.returncode != 0 for check in checks.values()), output
    assert "does not answer" in output["webserver"]


def test_the_services_come_up_and_their_health_checks_tell_when_one_falls(server: Server) -> None:
    server.start("code-server")
    server.wait("code-server")
    server.start("webserver")
    server.start("daemon")
    server.wait("webserver")
    server.wait("daemon")

    states = server.ask(
        '{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", '
        'repositoryLocationName: "trading_platform"}) '
        "{ ... on Schedules { results { name scheduleState { status } } } } }"
    )
    schedules = states["schedulesOrError"]["results"]
    assert schedules
    assert {schedule["scheduleState"]["status"] for schedule in schedules} == {"STOPPED"}, "off in production"

    with without_database(server.databases):
        checks = {service: server.begin_check(service) for service in ("webserver", "daemon")}
        output = {service: check.communicate(timeout=60)[0] for service, check in checks.items()}
        assert all(check.returncode != 0 for check in checks.values()), output
        assert "the web UI at" in output["webserver"]

    stop([server.children["code-server"]])
    fallen = server.check("code-server")
    assert fallen.returncode != 0, fallen.stdout
