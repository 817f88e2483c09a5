"""Who may do something in a home at a time: a lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class LockHeldError(Exception):
    """Another process holds the lock. ``facts`` are what it wrote there: at least its ``pid``, or nothing yet."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        super().__init__(f"{path} is held by process {facts.get('pid', 'unknown')}")
        self.facts = facts


class HomeLock:
    """A held lock; ``tell`` leaves facts for who finds it held."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def tell(self, **facts: object) -> None:
        """Replace the facts about the holder."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), **facts}, default=str))
        self._file.flush()


@contextmanager
def hold(path: Path) -> Iterator[HomeLock]:
    """Hold the lock file ``path`` while the block runs. The file is removed at the end.

    Raises:
        LockHeldError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as file:
        lock = HomeLock(file)
        lock.tell()
        try:
            yield lock
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str]:
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            facts = _facts(file)
            file.close()
            raise LockHeldError(path, facts) from None
        if _is_still_there(path, file):
            return file
        file.close()  # its last holder removed the file between our open and our lock


def _is_still_there(path: Path, file: IO[str]) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _facts(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        facts = json.loads(file.read())
    except ValueError:
        return {}  # the holder is just writing
    return facts if isinstance(facts, dict) else {}
