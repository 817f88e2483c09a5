"""Child processes: started in sessions of their own, stopped together, their output kept in files.

What a command starts here ends with it, even when it is killed (``ops.guard``).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STOP_GRACE_SECONDS = 8.0
PORTS_TO_TRY = 20


@dataclass
class ChildProcess:
    """One running child. ``log`` holds what it printed."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The last lines it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def start(name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> ChildProcess:
    """Start ``command`` in a session of its own, so that Ctrl-C reaches it only through :func:`stop`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        popen = subprocess.Popen(
            list(command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    _guard.add_group(popen.pid)
    return ChildProcess(name, popen, log)


def stop(children: Sequence[ChildProcess], grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """Stop all children and whatever they started: SIGTERM, a grace for all together, SIGKILL."""
    for child in children:
        _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.popen.wait(max(0.0, deadline - time.monotonic()))
    for child in children:
        while _has_members(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal_group(child, signal.SIGKILL)
        child.popen.wait()
        _guard.remove_group(child.popen.pid)


@contextmanager
def run_if_killed(command: Sequence[str]) -> Iterator[None]:
    """Have ``command`` run, after all children were ended, should this process be killed within the block."""
    _guard.add_command(command)
    try:
        yield
    finally:
        _guard.remove_command(command)


def _signal_group(child: ChildProcess, number: signal.Signals) -> None:
    try:
        os.killpg(child.popen.pid, number)
    except ProcessLookupError:
        return  # the whole group has ended


def _has_members(child: ChildProcess) -> bool:
    """Whether anything of the child's group still runs; a zombie that nobody collects does not."""
    try:
        os.killpg(child.popen.pid, 0)
    except ProcessLookupError:
        return False
    import psutil

    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, PermissionError):
            is_running = process.info["status"] != psutil.STATUS_ZOMBIE
            if is_running and os.getpgid(process.pid) == child.popen.pid:
                return True
    return False


class _Guard:
    """The guard's pipe and what was last written to it. The guard is started when there is something to guard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: list[int] = []
        self._commands: list[list[str]] = []
        self._process: subprocess.Popen[str] | None = None

    def add_group(self, group: int) -> None:
        with self._lock:
            self._groups.append(group)
            self._tell()

    def remove_group(self, group: int) -> None:
        with self._lock:
            if group in self._groups:
                self._groups.remove(group)
                self._tell()

    def add_command(self, command: Sequence[str]) -> None:
        with self._lock:
            self._commands.append(list(command))
            self._tell()

    def remove_command(self, command: Sequence[str]) -> None:
        with self._lock:
            self._commands.remove(list(command))
            self._tell()

    def _tell(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody ended the guard: nothing is lost but the guard
            self._process.stdin.write(json.dumps({"groups": self._groups, "commands": self._commands}) + "\n")
            self._process.stdin.flush()
        if not self._groups and not self._commands:
            process, self._process = self._process, None
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # it is a pipe, see above
            process.wait()


_guard = _Guard()


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """``preferred``, or the next one that is free, or any; 0 asks for any."""
    wanted = range(preferred, min(preferred + PORTS_TO_TRY, 65536)) if preferred else ()
    for port in (*wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = f"no free port on {host}"
    raise OSError(msg)


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
