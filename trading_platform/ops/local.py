"""What a laptop needs and nobody configured: PostgreSQL from a wheel, the paper gateway, a Dagster home.

Everything that the environment names is used as it is; only the rest is started, and what was started is
stopped again. Values found this way are put into the environment, so that child processes see the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trading_platform.clock import SystemClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.ops import gateway_process
from trading_platform.settings import ENV_PREFIX, Settings, get_settings

if TYPE_CHECKING:
    from trading_platform.storage.embedded_postgres import DatabaseUrls

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN_CALENDAR = "XNYS"
LATE_IN_SESSION = timedelta(minutes=15)


class LocalPlatformError(Exception):
    """The platform can't be set up here. The message says what to do."""


def export(values: Mapping[str, object]) -> Settings:
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
def local_platform(*, with_gateway: bool = True, gateway_port: int = 0) -> Iterator[Settings]:
    """Start what is not configured, yield the complete settings, stop what was started.

    Raises:
        LocalPlatformError: the home can't be written, or a part did not start.
    """
    settings = get_settings()
    _make_home(settings.home)
    with ExitStack() as stack:
        found: dict[str, object] = {}
        gateway = None
        if with_gateway and settings.ibkr_port is None:
            gateway = gateway_process.join_or_start(settings, gateway_port)
            stack.callback(gateway.stop)
        urls = _database_urls(settings, stack)
        found |= {name: url for name, url in urls.items() if getattr(settings, name) is None}
        settings = export(found)
        _prepare_databases(settings)
        _make_dagster_home(settings)
        if gateway is not None:
            endpoint = gateway.wait_until_ready()
            at_gateway = {"ibkr_host": endpoint.host, "ibkr_port": endpoint.port, "ibkr_account": paper_account(settings)}
            found |= at_gateway
            settings = export(at_gateway)
        try:
            yield settings
        finally:
            _forget(found)


def paper_account(settings: Settings) -> str:
    """The bundled paper gateway's account in the settings' world."""
    session = settings.as_of_session
    return f"DU{session.replace('-', '')}" if session else "DU1000000"


def _forget(names: Iterable[str]) -> None:
    for name in names:
        os.environ.pop(ENV_PREFIX + name.upper(), None)
    get_settings.cache_clear()


def _make_home(home: Path) -> None:
    probe = home.absolute() / ".writable"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        msg = (
            f"{home.absolute()} can't be written ({error.strerror}): free some space or its permissions, "
            f"or set {ENV_PREFIX}HOME to another directory"
        )
        raise LocalPlatformError(msg) from error


def _database_urls(settings: Settings, stack: ExitStack) -> dict[str, str]:
    names = ("dagster_database_url", "ledger_database_url", "mlflow_tracking_uri")
    if all(getattr(settings, name) is not None for name in names):
        return {}
    from trading_platform.storage.embedded_postgres import EmbeddedPostgres
    from trading_platform.storage.pooled_connections import pooled

    server = EmbeddedPostgres(settings.home / "postgres")
    urls: DatabaseUrls = server.start()
    stack.callback(server.stop)
    return dict(zip(names, (pooled(urls.dagster), urls.ledger, urls.mlflow), strict=True))


def _prepare_databases(settings: Settings) -> None:
    from trading_platform.storage.mlflow_database import prepare_tracking_database
    from trading_platform.storage.ledger import Ledger

    assert settings.ledger_database_url is not None
    assert settings.mlflow_tracking_uri is not None
    ledger = Ledger(settings.ledger_database_url.get_secret_value())
    if not ledger.is_current():
        ledger.migrate()
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    if tracking.startswith("postgresql"):
        prepare_tracking_database(tracking)


def _make_dagster_home(settings: Settings) -> None:
    """Put ``dagster.yaml`` where Dagster looks for it, unless DAGSTER_HOME is set."""
    if "DAGSTER_HOME" in os.environ:
        return
    source = REPOSITORY / "dagster.yaml"
    if not source.exists():
        msg = f"{source} is missing: run from a clone (pip install -e .), or set DAGSTER_HOME to a directory that has it"
        raise LocalPlatformError(msg)
    home = settings.home.absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        shutil.copyfile(source, target)
    os.environ["DAGSTER_HOME"] = str(home)
