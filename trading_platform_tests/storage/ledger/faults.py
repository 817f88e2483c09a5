"""Cutting the connection that holds a submission lease, as a restart of PostgreSQL would."""

from __future__ import annotations

import sqlalchemy as sa


def cut_lease_connections(url: str) -> None:
    """Terminate every connection to the database that holds an advisory lock."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    engine.dispose()
