"""Child processes: started in sessions of their own, stopped together, their output kept in files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_GRACE_SECONDS = 8.0


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
    return ChildProcess(name, popen, log)


def stop(children: Sequence[ChildProcess]) -> None:
    """Stop all children and whatever they started: SIGTERM, a grace, SIGKILL."""
    for child in children:
        _signal_group(child, signal.SIGTERM)
    for child in children:
        try:
            child.popen.wait(STOP_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal_group(child, signal.SIGKILL)
            child.popen.wait()


def _signal_group(child: ChildProcess, number: signal.Signals) -> None:
    try:
        os.killpg(child.popen.pid, number)
    except ProcessLookupError:
        return  # the whole group has ended


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """``preferred`` if nothing listens there, otherwise any free port."""
    for port in (preferred, 0):
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
