"""Waiting for a process of a test."""

from __future__ import annotations

import time
from collections.abc import Callable

from trading_platform.ops.processes import ChildProcess


def until(condition: Callable[[], bool], child: ChildProcess, seconds: float = 90.0) -> None:
    """Wait until ``condition`` holds; fail with what ``child`` printed if it ends or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert child.is_alive, f"{child.name} ended:\n{child.tail()}"
        assert time.monotonic() < deadline, f"{child.name} was not ready after {seconds:.0f} s:\n{child.tail()}"
        time.sleep(0.1)
