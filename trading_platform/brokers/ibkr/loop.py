"""One daemon thread that owns one event loop, for everything that ``ib_insync`` does.

``ib_insync`` binds itself to the loop of the thread that imports it and fails inside a running loop or after
``asyncio.run()``. Here it only ever sees this thread; callers may stand anywhere: in a plain thread, in a
thread pool, inside ``async def`` (where the call blocks their loop, not this one).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A daemon thread with a running event loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` on the loop and return its result, from any other thread.

        An exception in the waiting thread (Ctrl-C) cancels the coroutine.

        Raises:
            RuntimeError: called on the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            msg = "a blocking broker call was made on the broker's own event loop: call it from another thread"
            raise RuntimeError(msg)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _run_forever(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


_lock = threading.Lock()
_shared: LoopThread | None = None


def shared_loop() -> LoopThread:
    """The process's broker loop, started at the first call."""
    global _shared  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _shared is None:
            _shared = LoopThread("ibkr-loop")
        return _shared


def import_on_loop(module: str) -> None:
    """Import ``module`` on the broker loop's thread, unless it is loaded already."""

    async def load() -> None:
        importlib.import_module(module)

    if module not in sys.modules:
        shared_loop().run(load())


def _forget_in_child() -> None:
    # threads don't survive a fork: the child must not wait for a loop that nobody runs
    global _lock, _shared  # noqa: PLW0603
    _lock = threading.Lock()
    _shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
