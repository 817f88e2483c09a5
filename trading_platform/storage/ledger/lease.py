"""The submission lease: of all runs that could send orders for an account, at most one holds it.

Two things make a lease. A PostgreSQL advisory lock on a connection of its own decides who holds it: the
database frees it the moment the holder's connection ends, however that happens. A row numbers the holders:
each gets a *fencing token* one higher than the last, and every move of an order to ``submitting`` is checked
against it, so a holder that lost its connection without noticing can start nothing more.

The lock alone can't prove that the last holder is dead (PostgreSQL may have been restarted under it). Therefore
the row also says whether the last holder gave the lease back in order: only a holder that knew the fate of
every order it had touched does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from trading_platform.storage.ledger.database import Database
from trading_platform.storage.ledger.errors import LeaseHeldError, LeaseLostError, LedgerUnavailableError
from trading_platform.storage.ledger.tables import submission_leases

LEASE_TERM = timedelta(seconds=60)
_LOCK_CLASS = 0x1EA5E
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class PreviousHolder:
    """Who held the lease before. ``is_released``: it gave the lease back knowing every order's fate."""

    holder: str
    token: int
    is_released: bool


class SubmissionLease:
    """A held lease. ``is_in_doubt`` is True while an order is under way whose fate is not in the ledger."""

    def __init__(
        self, connection: sa.Connection, account: str, holder: str, token: int, previous: PreviousHolder | None
    ) -> None:
        self._connection = connection
        self.account = account
        self.holder = holder
        self.token = token
        self.previous = previous
        self.is_in_doubt = False

    def renew(self, now: datetime) -> None:
        """Make sure, right before a send, that the lease is still held.

        Raises:
            LeaseLostError: the connection that held it is gone. Nothing may be sent.
        """
        try:
            self._require_connection()
            renewed = self._connection.execute(
                sa.update(submission_leases)
                .where(submission_leases.c.account == self.account, submission_leases.c.fencing_token == self.token)
                .values(expires_at=now + LEASE_TERM)
            ).rowcount
        except sa.exc.DBAPIError as error:
            msg = f"the connection that held the submission lease of {self.account} is gone: nothing more was sent"
            raise LeaseLostError(msg) from error
        if renewed != 1:
            msg = f"the submission lease of {self.account} passed to another run: nothing more was sent"
            raise LeaseLostError(msg)

    def release(self, now: datetime) -> None:
        """Give the lease back in order: this holder knows the fate of every order it touched.

        Raises:
            LeaseLostError: the connection that held it is gone.
        """
        self._require_connection()
        self._connection.execute(
            sa.update(submission_leases)
            .where(submission_leases.c.account == self.account, submission_leases.c.fencing_token == self.token)
            .values(expires_at=now, released_at=now)
        )

    def _require_connection(self) -> None:
        # SQLAlchemy would connect again by itself, and the new connection would not hold the lock.
        if self._connection.invalidated:
            msg = f"the connection that held the submission lease of {self.account} is gone: nothing more was sent"
            raise LeaseLostError(msg)


@contextmanager
def hold_lease(
    database: Database, account: str, *, holder: str, now: Callable[[], datetime], wait_seconds: float
) -> Iterator[SubmissionLease]:
    """Hold the account's submission lease while the block runs.

    Args:
        holder: names the process and run; see ``trading_platform.execution.holder``.
        now: the platform's clock.
        wait_seconds: how long to wait (real seconds) for another holder to finish.

    Raises:
        LeaseHeldError: another run held it all the time.
        LedgerUnavailableError: PostgreSQL does not answer.
    """
    with database.dedicated() as connection:
        with database.translated_errors():
            _lock(connection, account, wait_seconds)
            lease = _take(connection, account, holder, now())
        try:
            yield lease
        finally:
            if not lease.is_in_doubt:
                _release_if_possible(database, lease, now())


def _release_if_possible(database: Database, lease: SubmissionLease, now: datetime) -> None:
    try:
        with database.translated_errors():
            lease.release(now)
    except (LedgerUnavailableError, LeaseLostError):
        # Closing the connection frees the lock. Without the note in its row the next holder trusts us less.
        return


def _lock(connection: sa.Connection, account: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    query = sa.text("SELECT pg_try_advisory_lock(:class, hashtext(:account))")
    while not connection.scalar(query, {"class": _LOCK_CLASS, "account": account}):
        if time.monotonic() >= deadline:
            holder = connection.scalar(
                sa.select(submission_leases.c.holder).where(submission_leases.c.account == account)
            )
            msg = (
                f"another run is submitting orders for account {account} ({holder or 'just starting'}): nothing was "
                f"sent after {wait_seconds:g} s of waiting. Let it finish, then run again"
            )
            raise LeaseHeldError(msg)
        time.sleep(_POLL_SECONDS)


def _take(connection: sa.Connection, account: str, holder: str, now: datetime) -> SubmissionLease:
    row = (
        connection.execute(sa.select(submission_leases).where(submission_leases.c.account == account))
        .mappings()
        .first()
    )
    previous = (
        None if row is None else PreviousHolder(row["holder"], row["fencing_token"], row["released_at"] is not None)
    )
    statement = insert(submission_leases).values(
        account=account,
        holder=holder,
        fencing_token=1,
        acquired_at=now,
        expires_at=now + LEASE_TERM,
        released_at=None,
    )
    token = connection.scalar(
        statement.on_conflict_do_update(
            index_elements=["account"],
            set_={
                "holder": statement.excluded.holder,
                "fencing_token": submission_leases.c.fencing_token + 1,
                "acquired_at": statement.excluded.acquired_at,
                "expires_at": statement.excluded.expires_at,
                "released_at": None,
            },
        ).returning(submission_leases.c.fencing_token)
    )
    return SubmissionLease(connection, account, holder, int(token or 0), previous)
