"""Ends what a killed command would leave behind. A process of its own, started by ``ops.processes``.

Its standard input is a pipe from the command. Each line is a JSON object that replaces the one before:
``{"groups": [process groups to end], "commands": [programs to run then]}``. At the end of the pipe, however the
command ended, what the last line names is ended: SIGTERM, a grace, SIGKILL, then the programs one after the other.
A command that cleans up after itself leaves an empty line last, and the guard just ends.

A pipe rather than Linux's PR_SET_PDEATHSIG: it works on macOS too, and reaches grandchildren. Started by its path,
without the package: only the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 6.0


def main() -> None:
    """Wait for the end of the pipe, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[str, list[object]] = {}
    for line in sys.stdin:
        if line.endswith("\n"):  # a line cut short by the command's death is not the truth
            watched = json.loads(line)
    groups = [group for group in watched.get("groups", []) if isinstance(group, int)]
    _end(groups)
    for command in watched.get("commands", []):
        if isinstance(command, list):
            subprocess.run(command, check=False, stdin=subprocess.DEVNULL)


def _end(groups: Iterable[int]) -> None:
    left = [group for group in groups if _signal(group, signal.SIGTERM)]
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [group for group in left if _signal(group, 0)]
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Send a signal; whether there was a process of ours to get it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
