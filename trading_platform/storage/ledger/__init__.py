"""The ledger in PostgreSQL: orders, decisions, events, fills, snapshots, halts, leases."""

from trading_platform.storage.ledger.errors import (
    FillConflictError,
    LeaseHeldError,
    LeaseLostError,
    LedgerError,
    LedgerRefusedError,
    LedgerSchemaError,
    LedgerUnavailableError,
    UnknownOrderError,
    UnknownTickError,
)
from trading_platform.storage.ledger.ledger import Ledger
from trading_platform.storage.ledger.model import (
    ALL_ACCOUNTS,
    EquitySnapshot,
    Fill,
    Halt,
    LedgerOrder,
    OrderEvent,
    StoredDecision,
    Tick,
    TickRecord,
)

__all__ = [
    "ALL_ACCOUNTS",
    "EquitySnapshot",
    "Fill",
    "FillConflictError",
    "Halt",
    "LeaseHeldError",
    "LeaseLostError",
    "Ledger",
    "LedgerError",
    "LedgerOrder",
    "LedgerRefusedError",
    "LedgerSchemaError",
    "LedgerUnavailableError",
    "OrderEvent",
    "StoredDecision",
    "Tick",
    "TickRecord",
    "UnknownOrderError",
    "UnknownTickError",
]
