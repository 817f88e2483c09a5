"""Let Dagster keep its PostgreSQL connections instead of opening one for every event.

``dagster-postgres`` opens and closes a connection for each statement: some thirty per materialized asset, which
was most of a short run's time. It takes no pool settings, but SQLAlchemy lets the URL name a plugin that changes how
its engine is made, so ``…?plugin=pooled`` on Dagster's database URL is all that is needed, in every process.
Without it everything works, more slowly.

A pooled connection that lay idle is tested before it is used, so a restart of PostgreSQL costs nothing but a
reconnect.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool, QueuePool

PLUGIN = "pooled"
POOL_SIZE = 2
RECYCLE_SECONDS = 600
TRUSTED_SECONDS = 1.0
"""How long an idle connection is taken to be alive without asking."""


class PooledConnections(CreateEnginePlugin):
    """Replaces ``NullPool`` by a small pool; leaves engines that ask for another pool alone."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._is_pooled = kwargs.get("poolclass") is NullPool
        if self._is_pooled:
            kwargs |= {
                "poolclass": QueuePool,
                "pool_size": POOL_SIZE,
                "max_overflow": 32,
                "pool_recycle": RECYCLE_SECONDS,
            }

    def update_url(self, url: URL) -> URL:
        """Hide the plugin's name from the driver."""
        return url.difference_update_query(["plugin"])

    def engine_created(self, engine: Engine) -> None:
        """Test connections that lay idle when they are taken from the pool."""
        if not self._is_pooled:
            return

        def remember(_dbapi: Any, record: Any) -> None:
            record.info["idle_since"] = time.monotonic()

        def test(dbapi: Any, record: Any, _proxy: Any) -> None:
            if time.monotonic() - record.info.get("idle_since", 0.0) > TRUSTED_SECONDS:
                try:
                    engine.dialect.do_ping(dbapi)
                except engine.dialect.loaded_dbapi.Error as error:
                    raise DisconnectionError from error

        event.listen(engine, "checkin", remember)
        event.listen(engine, "checkout", test)


def pooled(url: str) -> str:
    """``url`` with the plugin named in it."""
    return f"{url}{'&' if '?' in url else '?'}plugin={PLUGIN}"
