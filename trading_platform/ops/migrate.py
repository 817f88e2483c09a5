"""``trading-platform migrate``: every database at the schema of the installed code, before anything uses them.

For servers, where PostgreSQL is configured; on a laptop ``run`` and ``dev`` do the same for their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trading_platform.settings import ENV_PREFIX, Settings


class MigrationError(Exception):
    """The databases can't be migrated. The message says what to do."""


def migrate(settings: Settings, report: Callable[[str], None]) -> None:
    """Migrate the ledger, Dagster's instance and MLflow's database; ``report`` is told of each. Idempotent.

    Raises:
        MigrationError: something is not configured, or Dagster's PostgreSQL does not answer.
        LedgerError: the ledger's PostgreSQL does not answer, or refuses.
        MlflowDatabaseError: the same of MLflow's.
    """
    ledger_url, dagster_url, mlflow_url = (
        _configured(settings, name) for name in ("ledger_database_url", "dagster_database_url", "mlflow_tracking_uri")
    )
    if not mlflow_url.startswith("postgresql"):
        msg = (
            f"{ENV_PREFIX}MLFLOW_TRACKING_URI names no database: to migrate it, set it to postgresql+psycopg2://… as "
            "the MLflow server has it"
        )
        raise MigrationError(msg)
    if "DAGSTER_HOME" not in os.environ:
        msg = "DAGSTER_HOME is not set: set it to the directory that holds dagster.yaml"
        raise MigrationError(msg)
    report(_migrate_ledger(ledger_url))
    report(_migrate_dagster(dagster_url))
    report(_migrate_mlflow(mlflow_url))


def _configured(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if value is None:
        msg = f"{ENV_PREFIX}{name.upper()} is not set: set it to postgresql+psycopg2://user:password@host:port/database"
        raise MigrationError(msg)
    return str(value.get_secret_value())


def _migrate_ledger(url: str) -> str:
    from trading_platform.storage.ledger import Ledger

    ledger = Ledger(url)
    try:
        if ledger.is_current():
            return "ledger: up to date"
        ledger.migrate()
    finally:
        ledger.close()
    return "ledger: migrated"


def _migrate_dagster(url: str) -> str:
    import sqlalchemy as sa
    from dagster import DagsterInstance

    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 10})
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        msg = (
            f"Dagster's database {engine.url.render_as_string()} does not answer "
            f"({str(error.orig).strip().splitlines()[0]}): start it, or correct {ENV_PREFIX}DAGSTER_DATABASE_URL"
        )
        raise MigrationError(msg) from error
    with DagsterInstance.get() as instance:
        instance.upgrade()
    return "dagster: up to date"


def _migrate_mlflow(url: str) -> str:
    from trading_platform.storage.mlflow_database import prepare_tracking_database

    return "mlflow: migrated" if prepare_tracking_database(url) else "mlflow: up to date"
