"""Whether the PostgreSQL databases that the settings name answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trading_platform.settings import ENV_PREFIX

if TYPE_CHECKING:
    import sqlalchemy as sa

CONNECT_TIMEOUT_SECONDS = 5
LEDGER = "ledger_database_url"


class DatabaseDownError(Exception):
    """A configured database can't be used. The message names the variable that names it, and no password."""


@dataclass(frozen=True)
class DatabaseAnswer:
    """What a database said: the server's version, and the round trip of the smallest query in milliseconds."""

    place: str
    version: str
    latency_ms: float


def ask_database(url: str, setting: str) -> DatabaseAnswer:
    """Connect to ``url``, which the field ``setting`` of the settings holds.

    Raises:
        DatabaseDownError: it can't be read, or nobody answers there.
    """
    import sqlalchemy as sa

    variable = ENV_PREFIX + setting.upper()
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise DatabaseDownError(_how_to_write(variable))
        if setting == LEDGER and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg2")  # the ledger adds the driver itself
        engine = sa.create_engine(
            parsed, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        )
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError, TypeError) as error:
        raise DatabaseDownError(_how_to_write(variable)) from error
    try:
        with engine.connect() as connection:
            version = str(connection.execute(sa.text("SHOW server_version")).scalar())
            begun = time.perf_counter()
            connection.execute(sa.text("SELECT 1"))
            latency = time.perf_counter() - begun
    except sa.exc.DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        msg = f"PostgreSQL at {place_of(parsed)} does not answer ({reason}): start it, or correct {variable}"
        raise DatabaseDownError(msg) from error
    finally:
        engine.dispose()
    return DatabaseAnswer(place_of(parsed), version.partition(" ")[0], latency * 1000)


def _how_to_write(variable: str) -> str:
    return f"{variable} is no usable database URL: write postgresql+psycopg2://user:password@host:port/database"


def place_of(url: str | sa.URL) -> str:
    """``host:port/database`` of a URL; a directory as host is the one of a socket."""
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    host = parsed.host or parsed.query.get("host") or "localhost"
    return f"{host}:{parsed.port}/{parsed.database}" if parsed.port else f"{host}/{parsed.database}"
