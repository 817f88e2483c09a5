"""The server's PostgreSQL: init script, health check, migration, and Dagster on top of it."""

from __future__ import annotations

from subprocess import CompletedProcess

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
import yaml
from dagster._daemon.types import DaemonHeartbeat

from trading_platform.storage.ledger import Ledger
from trading_platform_tests.deployment.compose_file import DEPLOY, REPOSITORY
from trading_platform_tests.deployment.conftest import ServerDatabases, run, run_service

HEALTH_CHECK = ["bash", str(DEPLOY / "postgres" / "healthcheck.sh")]
INIT = ["bash", str(DEPLOY / "postgres" / "10-databases.sh")]


def ledger_url(databases: ServerDatabases) -> str:
    return databases.environment("code-server")["TRADING_PLATFORM_LEDGER_DATABASE_URL"]


def test_each_database_belongs_to_a_role_that_can_reach_no_other(server_databases: ServerDatabases) -> None:
    own = sa.make_url(ledger_url(server_databases)).set(drivername="postgresql")
    psycopg2.connect(own.render_as_string(hide_password=False)).close()
    for database in ("dagster", "mlflow"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(own.set(database=database).render_as_string(hide_password=False))


def test_the_health_check_asks_every_database(server_databases: ServerDatabases) -> None:
    healthy = run(HEALTH_CHECK, server_databases.postgres_environment())
    assert healthy.returncode == 0, healthy.stderr


@pytest.mark.parametrize("database", ["dagster", "mlflow", "ledger"])
def test_the_health_check_names_the_database_that_fails(server_databases: ServerDatabases, database: str) -> None:
    wrong = {f"{database.upper()}_DATABASE_PASSWORD": "wrong"}
    sick = run(HEALTH_CHECK, server_databases.postgres_environment(**wrong))
    assert sick.returncode == 1
    assert f"database {database} does not answer" in sick.stderr


def test_the_health_check_fails_where_no_server_is(server_databases: ServerDatabases) -> None:
    nowhere = {**server_databases.postgres_environment(), "PGHOST": str(server_databases.home)}
    assert run(HEALTH_CHECK, nowhere).returncode == 1


def test_the_init_script_runs_again_and_takes_over_a_changed_password(server_databases: ServerDatabases) -> None:
    changed = server_databases.postgres_environment(MLFLOW_DATABASE_PASSWORD="it's new")
    assert run(INIT, changed).returncode == 0
    assert run(HEALTH_CHECK, changed).returncode == 0
    assert run(INIT, server_databases.postgres_environment()).returncode == 0


def test_orders_are_never_lost_to_a_power_failure(server_databases: ServerDatabases) -> None:
    with sa.create_engine(ledger_url(server_databases)).connect() as connection:
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"


@pytest.mark.slow
def test_the_migration_command_prepares_all_three_and_may_run_again(
    server_databases: ServerDatabases, migration: CompletedProcess[str]
) -> None:
    assert migration.returncode == 0, migration.stderr
    assert migration.stdout.splitlines() == ["ledger: migrated", "dagster: up to date", "mlflow: migrated"]
    assert Ledger(ledger_url(server_databases)).is_current()
    again = run_service("migrate", server_databases)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == ["ledger: up to date", "dagster: up to date", "mlflow: up to date"]


@pytest.mark.slow
def test_dagster_yaml_keeps_everything_in_postgresql(
    server_databases: ServerDatabases, migration: CompletedProcess[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert migration.returncode == 0
    name = "TRADING_PLATFORM_DAGSTER_DATABASE_URL"
    monkeypatch.setenv(name, server_databases.environment("daemon")[name])
    with dg.DagsterInstance.from_config(str(server_databases.dagster_home)) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", "test", []))
        assert instance.get_runs_count() == 0
        assert instance.all_instigator_state() == []
    with sa.create_engine(server_databases.server.url_of("dagster")).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM daemon_heartbeats WHERE daemon_id = 'test'")) == 1
        assert {"runs", "event_logs", "instigators"} <= set(sa.inspect(connection).get_table_names())
    assert list(server_databases.dagster_home.rglob("*.db")) == []


def test_laptop_and_server_call_the_code_location_by_one_name() -> None:
    laptop = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    server = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert [entry["python_module"]["location_name"] for entry in laptop] == [
        entry["grpc_server"]["location_name"] for entry in server
    ]
