"""The ledger as a Dagster resource: thin and lazy. Nothing is imported or connected before its first use."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr

from trading_platform.settings import get_settings

if TYPE_CHECKING:
    from trading_platform.storage.ledger import Ledger


class LedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it provides itself
    """The order ledger in PostgreSQL. Errors are those of ``trading_platform.storage.ledger``."""

    database_url: str | None = Field(
        default=None,
        description="postgresql+psycopg2://…; unset: TRADING_PLATFORM_LEDGER_DATABASE_URL. It may hold a password.",
    )

    _ledger: Ledger | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def ledger(self) -> Ledger:
        """The ledger; it connects at its first call.

        Raises:
            LedgerUnavailableError: no URL is configured.
        """
        with self._lock:
            if self._ledger is None:
                from trading_platform.storage.ledger import Ledger

                self._ledger = Ledger(self._url())
            return self._ledger

    def close(self) -> None:
        """Close the connections if there are any. The next use opens new ones."""
        with self._lock:
            ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[LedgerResource, None, None]:
        """Dagster's life cycle: the connections do not outlive the run."""
        try:
            yield self
        finally:
            self.close()

    def _url(self) -> str:
        if self.database_url:
            return self.database_url
        configured = get_settings().ledger_database_url
        if configured is None:
            from trading_platform.storage.ledger import LedgerUnavailableError

            msg = (
                "no ledger is configured: set TRADING_PLATFORM_LEDGER_DATABASE_URL to postgresql+psycopg2://…, or "
                "start the platform with `trading-platform run` or `dev`, which bring their own PostgreSQL"
            )
            raise LedgerUnavailableError(msg)
        return configured.get_secret_value()
