"""An empty, migrated ledger for each test of storage and of execution.

One database serves them all and is emptied between tests: a fresh one for each would take ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from trading_platform.storage.ledger import Ledger
from trading_platform.storage.ledger.tables import metadata, order_status_transitions


@pytest.fixture(scope="session")
def migrated_url(postgres_url_factory: Callable[..., str]) -> str:
    """A migrated database."""
    url = postgres_url_factory()
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    return url


@pytest.fixture
def ledger_url(migrated_url: str) -> str:
    """URL of a migrated database with nothing in it."""
    tables = ", ".join(name for name in metadata.tables if name != order_status_transitions.name)
    engine = sa.create_engine(migrated_url)
    with engine.begin() as connection:
        # What forbids emptying the tables are triggers; a superuser's replica role fires none.
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY"))
    engine.dispose()
    return migrated_url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    made = Ledger(ledger_url)
    yield made
    made.close()
