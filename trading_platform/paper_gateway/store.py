"""The paper market's state file: SQLite in WAL mode, one transaction per operation, one gateway per file.

What :meth:`Store.save` returned from survives SIGKILL and a power cut (``synchronous=FULL``). The file is held
with SQLite's exclusive lock, which the operating system drops when the process dies.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from pathlib import Path

from trading_platform.paper_gateway.account import Position
from trading_platform.paper_gateway.model import Contract, PaperExecution, PaperOrder
from trading_platform.paper_gateway.state import Changes, Header, SavedState, decode, encode

APPLICATION_ID = 0x50475731
LAYOUT_VERSION = 1
_LOCK_WAIT_SECONDS = 1.0
_LAYOUT = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE header (one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);
CREATE TABLE contracts (con_id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE orders (
    client_id INTEGER NOT NULL, order_id INTEGER NOT NULL, perm_id INTEGER NOT NULL UNIQUE, document TEXT NOT NULL,
    PRIMARY KEY (client_id, order_id)
) WITHOUT ROWID;
CREATE TABLE executions (number INTEGER PRIMARY KEY, exec_id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE positions (con_id INTEGER PRIMARY KEY, document TEXT NOT NULL);
"""


class StoreError(Exception):
    """The paper market's state can't be read or written. The message says what to do."""


class CorruptStateError(StoreError):
    """The state file is damaged."""


class ForeignStateError(StoreError):
    """The file is something else: another program's, another account's, or a newer version's."""


class StateInUseError(StoreError):
    """Another gateway process holds the state file."""


class StateNotWritableError(StoreError):
    """The disk is full, read-only, or the place doesn't exist."""


class Store:
    """Keeps one paper account in ``path``, or in memory when that is ``None``. Thread-safe.

    Raises:
        CorruptStateError, ForeignStateError, StateInUseError, StateNotWritableError: see there.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._known_contracts: set[int] = set()
        with self._errors():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                str(path) if path is not None else ":memory:",
                timeout=_LOCK_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._errors():
                self._open()
        except StoreError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def get_fact(self, key: str) -> str | None:
        """A small fact the gateway wants to remember, or ``None``."""
        with self._lock, self._errors():
            row = self._connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, key: str, value: str) -> None:
        """Remember a small fact, replacing its former value."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

    def save(self, changes: Changes) -> None:
        """Write one operation's changes, all or nothing."""
        traded = [order.contract for order in changes.orders] + [position.contract for position in changes.positions]
        contracts = {contract.con_id: contract for contract in traded}
        new = {con_id: contract for con_id, contract in contracts.items() if con_id not in self._known_contracts}
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO header VALUES (1, ?)", (encode(changes.header),))
            connection.executemany(
                "INSERT OR REPLACE INTO contracts VALUES (?, ?)", [(key, encode(value)) for key, value in new.items()]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)",
                [(order.client_id, order.order_id, order.perm_id, encode(order)) for order in changes.orders],
            )
            connection.executemany(
                "INSERT INTO executions (exec_id, document) VALUES (?, ?)",
                [(execution.exec_id, encode(execution)) for execution in changes.executions],
            )
            for position in changes.positions:
                if position.quantity:
                    row = (position.contract.con_id, encode(position))
                    connection.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", row)
                else:
                    connection.execute("DELETE FROM positions WHERE con_id = ?", (position.contract.con_id,))
        self._known_contracts.update(new)

    def load(self) -> SavedState | None:
        """Everything saved, or ``None`` when nothing was saved yet."""
        with self._lock, self._errors():
            rows = {
                table: [str(document) for (document,) in self._connection.execute(query)]
                for table, query in (
                    ("header", "SELECT document FROM header"),
                    ("contracts", "SELECT document FROM contracts"),
                    ("orders", "SELECT document FROM orders ORDER BY perm_id"),
                    ("executions", "SELECT document FROM executions ORDER BY number"),
                    ("positions", "SELECT document FROM positions"),
                )
            }
        if not rows["header"]:
            return None
        try:
            contracts = {c.con_id: c for c in (decode(Contract, document, {}) for document in rows["contracts"])}
            return SavedState(
                decode(Header, rows["header"][0], {}),
                [decode(PaperOrder, document, contracts) for document in rows["orders"]],
                [decode(PaperExecution, document, contracts) for document in rows["executions"]],
                [decode(Position, document, contracts) for document in rows["positions"]],
            )
        except (ValueError, KeyError, TypeError, InvalidOperation) as error:
            raise CorruptStateError(self._advice(f"holds a record that can't be read ({error})")) from error

    def _open(self) -> None:
        connection = self._connection
        # Exclusive locking makes a second gateway on the same file fail at once instead of trading twice.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            self._check_identity()
        if self.path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        with self._transaction():
            if not tables:
                for statement in filter(str.strip, _LAYOUT.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise CorruptStateError(self._advice(f"is damaged ({verdict})"))

    def _check_identity(self) -> None:
        if self._connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ForeignStateError(self._advice("is a database of another program"))
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != LAYOUT_VERSION:
            raise ForeignStateError(self._advice(f"has layout {version}, and this version reads {LAYOUT_VERSION}"))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, e.g. a full disk.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise self._typed(error) from error
        except OSError as error:
            msg = f"the paper account's state can't be kept in {self.path} ({error}): name another place"
            raise StateNotWritableError(msg) from error

    def _typed(self, error: sqlite3.DatabaseError) -> StoreError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return StateInUseError(
                f"the paper account's state {self.path} is in use by another gateway process: "
                "stop that one, or name another state file"
            )
        if any(word in text for word in ("full", "readonly", "unable to open", "disk I/O")):
            return StateNotWritableError(
                f"the paper account's state can't be written to {self.path} ({text}): "
                "free space on the disk or make it writable, or name another state file"
            )
        return CorruptStateError(self._advice(f"is damaged or no state file at all ({text})"))

    def _advice(self, fault: str) -> str:
        return (
            f"the paper account's state {self.path} {fault}: delete it to start with a fresh paper account, "
            "or name another state file"
        )
