"""The ledger's connection to PostgreSQL: engine, transactions, and errors a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from trading_platform.storage.ledger.errors import (
    LedgerRefusedError,
    LedgerSchemaError,
    LedgerUnavailableError,
)
from trading_platform.storage.ledger.schema import HEAD_REVISION, current_revision

_NO_SUCH_TABLE = "42P01"
_CONNECT_ARGS = {
    "connect_timeout": 10,
    # A silent peer is noticed within half a minute: a lease must not look held by a machine that is gone.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "application_name": "trading-platform-ledger",
}
_ALONE = 0xA107E
"""Class of the advisory locks of :meth:`Database.alone`."""
_LOCK = sa.text("SELECT pg_advisory_lock(:class, hashtext(:what))")


def parse_url(url: str) -> sa.URL:
    """Return ``url`` with the psycopg2 driver named, since SQLAlchemy 2.1 reads ``postgresql://`` as psycopg 3.

    Raises:
        ValueError: not a PostgreSQL URL.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        msg = "the ledger's URL can't be read: use postgresql+psycopg2://user:password@host:port/database"
        raise ValueError(msg) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        msg = f"the ledger needs PostgreSQL, not {parsed.get_backend_name()}: use postgresql+psycopg2://…"
        raise ValueError(msg)
    return parsed.set(drivername="postgresql+psycopg2")


class Database:
    """Transactions on the ledger's database. Connects when first used; thread-safe."""

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self._engine = sa.create_engine(
            self.url, pool_size=2, max_overflow=6, pool_pre_ping=True, connect_args=_CONNECT_ARGS
        )
        self._is_schema_known_good = False

    @contextmanager
    def transaction(self, *, needs_schema: bool = True) -> Iterator[sa.Connection]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Raises:
            LedgerUnavailableError: no connection, or it broke. A broken commit may have happened or not.
            LedgerRefusedError: a constraint or trigger of the database said no.
            LedgerSchemaError: the database is not at this code's schema.
        """
        with self.translated_errors(), self._engine.begin() as connection:
            if needs_schema and not self._is_schema_known_good:
                _require_head(connection)
                self._is_schema_known_good = True
            yield connection

    @contextmanager
    def dedicated(self) -> Iterator[sa.Connection]:
        """A connection of its own, outside the pool, each statement committed by itself. Closed at the end."""
        engine = sa.create_engine(self.url, poolclass=NullPool, connect_args=_CONNECT_ARGS)
        with self.translated_errors():
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield connection
        finally:
            connection.invalidate()
            connection.close()
            engine.dispose()

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Of all processes that name the same ``what`` one is in such a block; the others wait for it.

        The lock is the connection's, so PostgreSQL frees it when the holder's process ends.

        Raises:
            LedgerUnavailableError: no connection.
        """
        with self.dedicated() as connection:
            with self.translated_errors():
                connection.execute(_LOCK, {"class": _ALONE, "what": what})
            yield

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the driver's errors into the ledger's."""
        try:
            yield
        except IntegrityError as error:
            msg = f"the ledger refused the write: {_first_line(error)}"
            raise LedgerRefusedError(msg) from error
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) == _NO_SUCH_TABLE:
                msg = f"the ledger's tables are not there ({_first_line(error)}): {_how_to_migrate()}"
                raise LedgerSchemaError(msg) from error
            if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) or error.connection_invalidated:
                msg = (
                    f"the ledger's PostgreSQL at {_place(self.url)} does not answer ({_first_line(error)}): start it, "
                    "or correct TRADING_PLATFORM_LEDGER_DATABASE_URL; `trading-platform doctor` tells what is wrong. "
                    "No order is sent without the ledger"
                )
                raise LedgerUnavailableError(msg) from error
            raise

    def forget_schema(self) -> None:
        """Check the schema again at the next transaction (after a migration)."""
        self._is_schema_known_good = False

    def dispose(self) -> None:
        """Close all pooled connections. The database can still be used afterwards."""
        self._engine.dispose()


def _require_head(connection: sa.Connection) -> None:
    revision = current_revision(connection)
    if revision == HEAD_REVISION:
        return
    found = f"at schema revision {revision}" if revision else "without a schema"
    msg = f"the ledger's database is {found}, this code needs {HEAD_REVISION}: {_how_to_migrate()}"
    raise LedgerSchemaError(msg)


def _how_to_migrate() -> str:
    return (
        "`trading-platform run` migrates it (Ledger.migrate); a revision newer than the code means that an "
        "older platform is connected to a newer ledger: update the code"
    )


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _place(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"{host}:{url.port}/{url.database}" if url.port else f"{host}/{url.database}"
