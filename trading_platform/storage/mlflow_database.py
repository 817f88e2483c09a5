"""The schema of MLflow's own database: brought up to date before anything of MLflow starts."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

_UPGRADE_LOCK = 0x6D6C666C6F77  # "mlflow": key of a PostgreSQL advisory lock
_REVISION = re.compile(r"^revision\s*(?::[^=]*)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision\s*(?::[^=]*)?=\s*(.+)$", re.MULTILINE)
_UPGRADE = "import sys; from mlflow.db import upgrade; upgrade.callback(sys.stdin.read())"


class MlflowDatabaseError(RuntimeError):
    """MLflow's database can't be prepared; the message says what to do."""


def prepare_tracking_database(url: str, timeout_seconds: float = 300.0) -> bool:
    """Bring MLflow's database at ``url`` to the installed MLflow's schema; return whether that took an upgrade.

    When it is up to date that is one query, and MLflow is not imported (it takes seconds). An upgrade runs in
    a process of its own. Of several callers on PostgreSQL one upgrades and the others wait.

    Raises:
        MlflowDatabaseError: the database does not answer, or the upgrade failed.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        if _current_revision(engine) == latest_revision():
            return False
        with _exclusive(engine):
            if _current_revision(engine) == latest_revision():
                return False
            _upgrade(url, timeout_seconds)
    except sa.exc.OperationalError as error:
        msg = (
            f"MLflow's database {engine.url.render_as_string()} does not answer: start it, or correct "
            "TRADING_PLATFORM_MLFLOW_TRACKING_URI"
        )
        raise MlflowDatabaseError(msg) from error
    return True


def latest_revision() -> str:
    """The newest schema revision of the installed MLflow, read from its migrations without importing it."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        msg = "MLflow is not installed: pip install mlflow"
        raise MlflowDatabaseError(msg)
    revisions: set[str] = set()
    replaced: set[str] = set()
    for path in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        revisions.update(_REVISION.findall(source))
        for line in _DOWN_REVISION.findall(source):
            replaced.update(re.findall(r"[\"'](\w+)[\"']", line))
    heads = revisions - replaced
    if len(heads) != 1:
        msg = f"the installed MLflow's migrations have the heads {sorted(heads)}, not one: reinstall mlflow"
        raise MlflowDatabaseError(msg)
    return heads.pop()


def _current_revision(engine: sa.Engine) -> str | None:
    import sqlalchemy as sa

    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


@contextlib.contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name != "postgresql":
        yield
        return
    import sqlalchemy as sa

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _UPGRADE_LOCK})
        yield  # the lock ends with the connection


def _upgrade(url: str, timeout_seconds: float) -> None:
    # the address goes through stdin, since every user can read a command line and it may hold a password
    try:
        done = subprocess.run(
            [sys.executable, "-c", _UPGRADE],
            input=url,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"upgrading MLflow's database took more than {timeout_seconds:.0f} s: look for locks in PostgreSQL"
        raise MlflowDatabaseError(msg) from error
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        msg = f"upgrading MLflow's database failed: restore it from a backup, or drop it to start empty.\n{tail}"
        raise MlflowDatabaseError(msg)
