"""Alembic's entry: runs the migrations over the connection that ``Ledger.migrate`` hands in."""

from __future__ import annotations

from alembic import context

from trading_platform.storage.ledger.schema import VERSION_TABLE
from trading_platform.storage.ledger.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    msg = "run the ledger's migrations with Ledger(url).migrate(); alembic's own command line has no URL here"
    raise SystemExit(msg)

context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
