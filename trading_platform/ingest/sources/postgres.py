"""A table of a PostgreSQL database as a source. Read-only, with a time-out; values are parameters, names are quoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError

from trading_platform.domain.market_data.sources import EPOCHS, PostgresPlace, SourceDeclaration
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.ingest.sources.base import SourceUnavailableError
from trading_platform.ingest.sources.declared import BESIDE, NUMBERS, STAMP, SYMBOL, DeclaredSource, SharedRows, Window

CONNECT_TIMEOUT_SECONDS = 10
QUERY_CANCELED = "57014"


def postgres_source(
    name: str, declaration: SourceDeclaration, symbols: Sequence[str], url: str | None
) -> DeclaredSource:
    """The source ``name``. ``symbols`` are ours that will be asked for; ``url`` is the value of ``url_env``."""
    theirs = [declaration.name_of(symbol) for symbol in symbols]
    return DeclaredSource(name, declaration, TableRows(name, declaration, theirs, url))


class TableRows:
    """Rows of a table: one query per window for all symbols that are wanted, filtered and cast by the server."""

    def __init__(self, name: str, declaration: SourceDeclaration, symbols: Sequence[str], url: str | None) -> None:
        if declaration.postgres is None:
            msg = f"source {name} has no postgres"
            raise ValueError(msg)
        self._name = name
        self._place: PostgresPlace = declaration.postgres
        self._declared = declaration
        self._symbols = list(dict.fromkeys(symbols))
        self._url = url
        self._shared = SharedRows(self._query)

    def read(self, name: str, window: Window) -> tuple[pd.DataFrame, int]:
        """The rows of the symbol called ``name`` there, and how many queries were made for them.

        Raises:
            SourceUnavailableError: no URL, no answer, no such table or column, or not in time.
        """
        return self._shared.read(name, window)

    def _query(self, window: Window) -> tuple[pd.DataFrame, int]:
        engine = self._engine()
        try:
            with engine.connect() as connection:
                statement = self._statement(connection, window)
                result = connection.execute(statement)
                frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
                kind = statement.selected_columns[STAMP].type
                if isinstance(kind, sa.DateTime | sa.Date):
                    frame[STAMP] = pd.to_datetime(frame[STAMP], utc=bool(getattr(kind, "timezone", False)))
                return frame.astype(dict.fromkeys(NUMBERS, "float64")), 1
        except NoSuchTableError as error:
            msg = f"source {self._name}: there is no table {self._place.table} in the database of {self._place.url_env}"
            raise SourceUnavailableError(msg) from error
        except DBAPIError as error:
            raise SourceUnavailableError(self._explain(error)) from error
        finally:
            engine.dispose()

    def _engine(self) -> sa.Engine:
        variable = self._place.url_env
        if not self._url:
            msg = f"source {self._name}: {variable} is not set; set it to postgresql+psycopg2://user:password@host/database"
            raise SourceUnavailableError(msg)
        timeout = int(self._place.timeout_seconds * 1000)
        settings = f"-c default_transaction_read_only=on -c statement_timeout={timeout} -c TimeZone=UTC"
        try:
            return sa.create_engine(
                self._url,
                poolclass=sa.NullPool,
                connect_args={"options": settings, "connect_timeout": CONNECT_TIMEOUT_SECONDS},
            ).execution_options(postgresql_readonly=True)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
            # the URL is a secret: neither it nor an error that repeats it is shown
            msg = f"source {self._name}: {variable} is no URL such as postgresql+psycopg2://user:password@host/database"
            raise SourceUnavailableError(msg) from None

    def _statement(self, connection: sa.Connection, window: Window) -> sa.Select[Any]:
        schema, name = self._place.schema_and_name
        table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
        columns = {
            ours: self._column(table, ours, theirs)
            for ours, theirs in {
                SYMBOL: self._declared.columns.symbol,
                STAMP: self._declared.columns.stamp,
                **self._declared.columns.numbers,
            }.items()
        }
        for ours in NUMBERS:
            if not isinstance(columns[ours].type, sa.Numeric | sa.Float | sa.Integer):
                msg = (
                    f"source {self._name}: the column {columns[ours].name!r} is {columns[ours].type}, not numbers; "
                    "make a view that casts it"
                )
                raise SourceUnavailableError(msg)
        stamp = columns[STAMP]
        first, last = self._bounds(stamp, window)
        near: sa.ColumnElement[bool] = (stamp >= first) & (stamp <= last)
        if stamp.nullable:
            near = near | stamp.is_(None)  # a row without a stamp is nobody's to drop
        numbers: list[sa.ColumnElement[Any]] = [sa.cast(columns[ours], sa.Double()).label(ours) for ours in NUMBERS]
        return (
            sa.select(sa.cast(columns[SYMBOL], sa.Text()).label(SYMBOL), stamp.label(STAMP), *numbers)
            .where(columns[SYMBOL].in_(self._symbols), near)
            .order_by(stamp)
        )

    def _column(self, table: sa.Table, ours: str, theirs: str) -> sa.Column[Any]:
        if theirs not in table.columns:
            names = list(table.columns.keys())
            hint = did_you_mean(theirs, names) or f"; there are {', '.join(names)}"
            key = f"columns.{ours}"
            msg = f"source {self._name}: {self._place.table} has no column {theirs!r}{hint}. Name it under {key}"
            raise SourceUnavailableError(msg)
        return table.columns[theirs]

    def _bounds(self, stamp: sa.Column[Any], window: Window) -> tuple[Any, Any]:
        """Between which values the stamps of the window's bars lie, in the column's own type."""
        first, last = window.first - BESIDE, window.last + BESIDE
        kind = stamp.type
        if isinstance(kind, sa.DateTime):
            if not kind.timezone:
                zone = ZoneInfo(self._declared.time_zone or "UTC")
                first, last = (one.tz_convert(zone).tz_localize(None) for one in (first, last))
            return first.to_pydatetime(), last.to_pydatetime()
        if isinstance(kind, sa.Date):
            return first.date(), last.date()
        unit = EPOCHS.get(self._declared.stamp_format or "")
        if isinstance(kind, sa.Integer) and unit is not None:
            return first.value // unit, last.value // unit
        msg = (
            f"source {self._name}: the column {stamp.name!r} is {kind}; stamps must be timestamp, timestamptz or date, "
            f"or whole numbers with a stamp_format of {', '.join(EPOCHS)}. Make a view that casts it"
        )
        raise SourceUnavailableError(msg)

    def _explain(self, error: DBAPIError) -> str:
        if getattr(error.orig, "pgcode", None) == QUERY_CANCELED:
            return (
                f"source {self._name}: {self._place.table} did not answer within {self._place.timeout_seconds:g} s; "
                f"make an index on ({self._declared.columns.symbol}, {self._declared.columns.stamp}), "
                "or raise timeout_seconds"
            )
        reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        return f"source {self._name}: the database of {self._place.url_env} does not answer or refuses us ({reason})"
