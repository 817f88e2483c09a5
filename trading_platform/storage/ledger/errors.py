"""What can go wrong with the ledger. Messages say what to do."""

from __future__ import annotations


class LedgerError(Exception):
    """Any failure of the ledger."""


class LedgerUnavailableError(LedgerError):
    """PostgreSQL does not answer, or the connection broke. Whether a write in flight happened is not known."""


class LedgerSchemaError(LedgerError):
    """The database's schema is not the one this code was written for."""


class LedgerRefusedError(LedgerError):
    """The database refused a write: a constraint, an illegal transition, or a change of an append-only table."""


class FillConflictError(LedgerError):
    """The broker reports a known execution id with other numbers than the ledger holds."""


class UnknownOrderError(LedgerError):
    """The ledger holds no such order."""


class UnknownTickError(LedgerError):
    """The ledger holds no such tick."""


class LeaseHeldError(LedgerError):
    """Somebody else is submitting orders for the account. Nothing was sent."""


class LeaseLostError(LedgerError):
    """The submission lease was lost before the send. Nothing was sent."""
