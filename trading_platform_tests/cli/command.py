"""The command `trading-platform` as its user has it: a process of its own, in an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TIMEOUT_SECONDS = 240.0
"""Other work may share the machine."""
AS_OF = "2013-02-28T15:45:00-05:00"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All it printed, on one line, since a terminal wraps sentences."""
        return " ".join(f"{self.out} {self.err}".split())


@dataclass(frozen=True)
class Home:
    """A directory with a platform in it, and the settings that its commands get."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Where local state lives."""
        return self.directory / ".trading_platform"

    def environment(self, **settings: str) -> dict[str, str]:
        """The process's environment without any setting of ours but these."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TRADING_PLATFORM_", "DAGSTER_", "MLFLOW_"))
        }
        ours = {f"TRADING_PLATFORM_{name}": value for name, value in {**self.settings, **settings}.items()}
        return {**inherited, "COLUMNS": "80", **ours}

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "trading_platform.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env=self.environment(**settings),
            start_new_session=True,
        )

    def call(self, *arguments: str, **settings: str) -> Done:
        """Start a command and wait for its end."""
        process = self.start(*arguments, **settings)
        try:
            out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            kill(process)
        return Done(process.returncode, out, err)

    def run(self, *arguments: str, **settings: str) -> tuple[Done, dict[str, Any]]:
        """`run --json`; the document is {} when none was written."""
        file = self.directory / "out.json"
        file.unlink(missing_ok=True)
        done = self.call("run", "--json", str(file), *arguments, **settings)
        return done, json.loads(file.read_text()) if file.exists() else {}

    def processes(self) -> list[str]:
        """Command lines of all living processes that have to do with this home."""
        found = []
        for process in psutil.process_iter(["pid", "status", "cmdline"]):
            with suppress(psutil.Error):
                if process.info["status"] == psutil.STATUS_ZOMBIE or process.info["pid"] == os.getpid():
                    continue
                words = " ".join(process.info["cmdline"] or ())
                if str(self.directory) in words or Path(process.cwd()).is_relative_to(self.directory):
                    found.append(words)
        return found

    def processes_in_the_end(self, patience_seconds: float = 15.0) -> list[str]:
        """What is left after a moment to end."""
        deadline = time.monotonic() + patience_seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left


def interrupt_at(process: subprocess.Popen[str], sign: str) -> Done:
    """Press Ctrl-C when ``sign`` appears on the screen."""
    assert process.stdout is not None
    seen = []
    try:
        for line in process.stdout:
            seen.append(line)
            if sign in line:
                break
        else:
            msg = f"{sign!r} never appeared: {''.join(seen)} {process.stderr.read() if process.stderr else ''}"
            raise AssertionError(msg)
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        kill(process)
    return Done(process.returncode, "".join(seen) + out, err)


def kill(process: subprocess.Popen[str]) -> None:
    """End a command that did not end by itself."""
    if process.poll() is None:
        process.kill()
        process.communicate()


@contextmanager
def listening(answers: Sequence[bytes] = (b"HTTP/1.1 400 Bad Request\r\n\r\n",)) -> Iterator[int]:
    """The port of something that listens and answers, but is no gateway."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(1024)
                        for answer in answers:
                            connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
