"""What all threads and processes that use one gateway share: small files under locks of the kernel.

The kernel drops a lock when its holder dies, however it dies, so nothing here has to be cleaned up. The directory must
be on a disk of this machine. Times in the files are those of the machine's monotonic clock, which all its processes
share; it starts anew with the machine, so a time that lies ahead was written before that.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any

_log = logging.getLogger(__name__)


class SharedState:
    """A JSON object in the file ``path``, changed by one thread of one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """The state as it was last left; empty before that."""
        try:
            state = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            # a machine that lost power can leave that; what it held is old by now
            _log.warning("%s can't be read and counts as empty", self._path)
            return {}
        return state if isinstance(state, dict) else {}

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed in place; it is kept when the block ends without an error."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._path.with_suffix(".lock")):
            state = self.read()
            yield state
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps(state))
            draft.replace(self._path)


class Slots:
    """``count`` places in ``directory``, each held by at most one holder of all processes."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._count = count
        self._next = os.getpid() % count

    def take(self) -> Callable[[], None] | None:
        """Hold a free place. Returns what gives it back; None if all are held."""
        self._directory.mkdir(parents=True, exist_ok=True)
        first = self._next
        for number in range(first, first + self._count):
            descriptor = os.open(self._directory / f"{number % self._count:03}", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._next = (number + 1) % self._count
            return partial(_unlock, descriptor)
        return None


class Turns:
    """A lock that is given to the threads of a process in the order in which they asked for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Event] = deque()

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for the turn, and hold it for the length of the block."""
        turn = Event()
        with self._lock:
            self._waiting.append(turn)
            self._waiting[0].set()
        try:
            turn.wait()
            yield
        finally:
            with self._lock:
                self._waiting.remove(turn)
                if self._waiting:
                    self._waiting[0].set()


def gateway_directory(directory: Path | None, host: str, port: int) -> Path:
    """Where the state of one gateway is kept. Without a ``directory`` this process shares it with nobody."""
    return (directory or _of_this_process()) / f"{host.replace(':', '.')}-{port}"


@lru_cache(maxsize=1)
def _own_directory() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="trading-platform-ibkr-")


def _of_this_process() -> Path:
    return Path(_own_directory().name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        _unlock(descriptor)


def _unlock(descriptor: int) -> None:
    # closing alone would leave the lock with a child that was forked meanwhile
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
