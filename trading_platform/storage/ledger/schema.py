"""Bringing a database to the schema of this code, and telling quickly whether it is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

HEAD_REVISION = "0003"
"""The newest revision in ``storage/migrations``. A constant, so that the usual check needs no Alembic."""

VERSION_TABLE = "ledger_alembic_version"
"""Dagster and MLflow keep an ``alembic_version`` of their own, perhaps in the same database."""

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_MIGRATION_LOCK = 0x1ED6E5
"""Key of the advisory lock that lets one process migrate at a time."""


def current_revision(connection: sa.Connection) -> str | None:
    """The revision the database is at; ``None`` for a database without a ledger."""
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
        return None
    revision = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return None if revision is None else str(revision)


def upgrade(connection: sa.Connection, revision: str) -> None:
    """Run the migrations up to ``revision`` ("head" for all) inside the connection's transaction."""
    from alembic import command

    _lock(connection)
    command.upgrade(_config(connection), revision)


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Undo the migrations after ``revision`` ("base" for all) inside the connection's transaction."""
    from alembic import command

    _lock(connection)
    command.downgrade(_config(connection), revision)


def script_head() -> str | None:
    """The newest revision among the migration scripts."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _lock(connection: sa.Connection) -> None:
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})


def _config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
