"""What a laptop needs and nobody configured: PostgreSQL from a wheel, the paper gateway, a Dagster home.

Everything that the environment names is used as it is; only the rest is started, and what was started is
stopped again. Values found this way are put into the environment, so that child processes see the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trading_platform.clock import SystemClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.ops import gateway_process
from trading_platform.ops.databases import ask_database
from trading_platform.ops.interrupts import cleaned_up
from trading_platform.ops.processes import run_if_killed
from trading_platform.settings import ENV_PREFIX, Settings, get_settings

if TYPE_CHECKING:
    from trading_platform.storage.embedded_postgres import DatabaseUrls, EmbeddedPostgres
    from trading_platform.storage.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN_CALENDAR = "XNYS"
LATE_IN_SESSION = timedelta(minutes=15)
DATABASE_SETTINGS = ("dagster_database_url", "ledger_database_url", "mlflow_tracking_uri")

_STOP_POSTGRES = """
import sys
from pathlib import Path
from trading_platform.storage.embedded_postgres import EmbeddedPostgres
data_dir = Path(sys.argv[1])
if (data_dir / "postmaster.pid").exists():
    server = EmbeddedPostgres(data_dir)
    server.start()
    server.stop()
"""
"""Joins the server and leaves it again, which stops it when nobody else uses it."""


class LocalPlatformError(Exception):
    """The platform can't be set up here. The message says what to do."""


@dataclass(frozen=True)
class LocalPlatform:
    """The platform that is up. ``gateway`` is None when the broker is configured from outside."""

    settings: Settings
    gateway: gateway_process.GatewayHandle | None


def export(values: dict[str, object]) -> Settings:
    """Put settings into the environment, for this process and its children, and read them again."""
    for name, value in values.items():
        os.environ[ENV_PREFIX + name.upper()] = str(value)
    get_settings.cache_clear()
    return get_settings()


def move_clock(as_of: datetime, *, session: str | None = None) -> Settings:
    """Let the whole platform, gateway included, live from ``as_of`` (tz-aware) on.

    The session that ``as_of`` falls into gets a world of its own: a lake and a paper account that start
    empty, whatever else was run before.

    Raises:
        LocalPlatformError: ``as_of`` lies in the future, or before the calendars begin.
    """
    wall = SystemClock()
    if as_of > wall.now():
        msg = f"--as-of {as_of.isoformat()} lies in the future: the platform can replay the past only"
        raise LocalPlatformError(msg)
    if session is None:
        try:
            session = get_calendar(MAIN_CALENDAR).latest_session(as_of).isoformat()
        except ValueError as error:
            msg = f"--as-of {as_of.isoformat()}: {error}"
            raise LocalPlatformError(msg) from error
    offset = SystemClock.starting_at(as_of).offset
    return export({"clock_offset_seconds": offset.total_seconds(), "as_of_session": session})


def late_in_latest_session(now: datetime) -> datetime | None:
    """When the main market is closed at ``now``: a quarter of an hour before its latest session's close."""
    calendar = get_calendar(MAIN_CALENDAR)
    if calendar.is_open(now):
        return None
    return calendar.close_of(calendar.last_completed_session(now)) - LATE_IN_SESSION


@contextmanager
def local_platform(*, gateway_port: int = 0) -> Iterator[LocalPlatform]:
    """Start what is not configured, yield what is up, stop what was started. The environment is put back.

    Raises:
        LocalPlatformError: the home can't be written.
        DatabaseDownError: a configured database does not answer.
        GatewayStartError, EmbeddedPostgresError, LedgerError, MlflowDatabaseError: a part did not start.
    """
    settings = get_settings()
    make_home(settings)
    with environment_restored(), cleaned_up() as stack:
        gateway = start_gateway(settings, stack, gateway_port)
        settings = start_databases(settings, stack)
        check_databases(settings)
        prepare_ledger(settings)
        prepare_mlflow(settings)
        make_dagster_home(settings)
        if gateway is not None:
            settings = settle_gateway(gateway, settings)
        yield LocalPlatform(settings, gateway)


@contextmanager
def environment_restored() -> Iterator[None]:
    """Take back, at the end of the block, what it exported."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            if name.startswith(ENV_PREFIX) or name == "DAGSTER_HOME":
                del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if name.startswith(ENV_PREFIX)})
        get_settings.cache_clear()


def configured_lake(settings: Settings) -> Lake:
    """The lake that the settings name."""
    from trading_platform.storage.lake import open_lake

    return open_lake(settings.lake, settings.s3_endpoint_url, settings.lake_keep_versions_days)


def paper_account(settings: Settings) -> str:
    """The bundled paper gateway's account in the settings' world."""
    session = settings.as_of_session
    return f"DU{session.replace('-', '')}" if session else "DU1000000"


def make_home(settings: Settings) -> None:
    """Make the directory of local state, and make sure that it can be written.

    Raises:
        LocalPlatformError: it can't.
    """
    home = settings.home.absolute()
    probe = home / f".writable-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        msg = (
            f"{home} can't be written ({error.strerror}): free some space or its permissions, "
            f"or set {ENV_PREFIX}HOME to another directory"
        )
        raise LocalPlatformError(msg) from error


def start_gateway(settings: Settings, stack: ExitStack, port: int = 0) -> gateway_process.GatewayHandle | None:
    """Start the paper gateway, or join the one that serves this world, unless a broker is configured.

    It comes up while the caller does other things; see :func:`settle_gateway`.
    """
    if settings.ibkr_port is not None:
        return None
    gateway = gateway_process.join_or_start(settings, port)
    stack.callback(gateway.stop)
    return gateway


def settle_gateway(gateway: gateway_process.GatewayHandle, settings: Settings) -> Settings:
    """Wait for the gateway, and put its address into the environment.

    Raises:
        GatewayStartError: it ended, or took too long.
    """
    endpoint = gateway.wait_until_ready()
    return export({"ibkr_host": endpoint.host, "ibkr_port": endpoint.port, "ibkr_account": paper_account(settings)})


def start_databases(settings: Settings, stack: ExitStack) -> Settings:
    """Start the bundled PostgreSQL if one of the three databases is not configured, and export its URLs.

    Raises:
        EmbeddedPostgresError: it did not start.
    """
    lacking = [name for name in DATABASE_SETTINGS if getattr(settings, name) is None]
    if not lacking:
        return settings
    from trading_platform.storage.pooled_connections import pooled

    urls: DatabaseUrls = start_postgres(settings, stack).start()
    found = dict(zip(DATABASE_SETTINGS, (pooled(urls.dagster), urls.ledger, urls.mlflow), strict=True))
    return export({name: found[name] for name in lacking})


def start_postgres(settings: Settings, stack: ExitStack) -> EmbeddedPostgres:
    """Start the home's bundled PostgreSQL, or join it, until ``stack`` ends, even if this process is killed.

    Raises:
        EmbeddedPostgresError: it did not start.
    """
    from trading_platform.storage.embedded_postgres import EmbeddedPostgres

    server = EmbeddedPostgres(settings.home / "postgres")
    stack.enter_context(run_if_killed([sys.executable, "-c", _STOP_POSTGRES, str(server.data_dir)]))
    stack.callback(server.stop)
    server.start()
    return server


def check_databases(settings: Settings) -> None:
    """Make sure that each database answers, before anything waits for one with retries.

    Raises:
        DatabaseDownError: one does not.
    """
    for name in DATABASE_SETTINGS:
        url = getattr(settings, name).get_secret_value()
        if url.startswith("postgres"):
            ask_database(url, name)


def prepare_ledger(settings: Settings) -> None:
    """Bring the ledger's schema up to date.

    Raises:
        LedgerError: PostgreSQL does not answer, or its schema is newer than this code.
    """
    from trading_platform.storage.ledger import Ledger

    assert settings.ledger_database_url is not None
    ledger = Ledger(settings.ledger_database_url.get_secret_value())
    try:
        ledger.migrate()
    finally:
        ledger.close()


def prepare_mlflow(settings: Settings) -> None:
    """Bring MLflow's schema up to date when its tracking URI is a database.

    Raises:
        MlflowDatabaseError: the database does not answer, or the upgrade failed.
    """
    from trading_platform.storage.mlflow_database import prepare_tracking_database

    assert settings.mlflow_tracking_uri is not None
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    if tracking.startswith("postgresql"):
        prepare_tracking_database(tracking)


def make_dagster_home(settings: Settings) -> None:
    """Put ``dagster.yaml`` where Dagster looks for it, unless DAGSTER_HOME is set.

    Raises:
        LocalPlatformError: the package was installed without its repository.
    """
    if "DAGSTER_HOME" in os.environ:
        return
    source = REPOSITORY / "dagster.yaml"
    if not source.exists():
        msg = (
            f"{source} is missing: run from a clone (pip install -e .), or set DAGSTER_HOME to a directory that has it"
        )
        raise LocalPlatformError(msg)
    home = settings.home.absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)
