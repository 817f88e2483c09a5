"""The paper gateway as a process: serving it, starting it as a child, finding one that runs already.

A running gateway leaves ``endpoint.json`` in its world, so that ``run`` uses the gateway of a ``dev`` that
is already up instead of fighting it for the account.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from trading_platform.ops.processes import ChildProcess, is_listening, start, stop
from trading_platform.settings import Settings

READY_TIMEOUT_SECONDS = 60.0


class GatewayStartError(Exception):
    """The paper gateway did not come up. The message carries what it printed."""


@dataclass(frozen=True)
class Endpoint:
    """Where a gateway listens, and which process it is."""

    host: str
    port: int
    pid: int


def endpoint_file(settings: Settings) -> Path:
    """Where the gateway of the settings' world leaves its endpoint."""
    return settings.world / "paper_gateway" / "endpoint.json"


def serve(settings: Settings, *, host: str, port: int, account: str) -> None:
    """Serve the paper market until SIGTERM or Ctrl-C."""
    from trading_platform.paper_gateway.server import GatewayConfig, PaperGateway

    path = endpoint_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    config = GatewayConfig(
        host=host,
        port=port,
        account=account,
        seed=settings.paper_seed,
        data_dir=settings.paper_data,
        state_path=path.parent / "account.sqlite",
    )

    def announce(bound_port: int) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(Endpoint(host, bound_port, os.getpid()))))
        temporary.replace(path)
        print(f"paper gateway: {host}:{bound_port}, account {account}", flush=True)  # noqa: T201 - it is a command

    try:
        PaperGateway(config, settings.clock.now).serve_forever(announce)
    finally:
        running = _read(path)
        if running is not None and running.pid == os.getpid():
            path.unlink(missing_ok=True)


@dataclass
class GatewayHandle:
    """A gateway that was found or started. ``child`` is None when somebody else runs it."""

    path: Path
    child: ChildProcess | None

    def wait_until_ready(self) -> Endpoint:
        """Wait for the endpoint.

        Raises:
            GatewayStartError: the gateway ended, or took too long.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            endpoint = _read(self.path)
            if endpoint is not None and (self.child is None or endpoint.pid == self.child.popen.pid):
                return endpoint
            if self.child is not None and not self.child.is_alive:
                msg = f"the paper gateway did not start: {_last_words(self.child)}"
                raise GatewayStartError(msg)
            time.sleep(0.02)
        log = self.path.parent / "gateway.log"
        msg = f"the paper gateway was not ready after {READY_TIMEOUT_SECONDS:.0f} s; see {log}"
        raise GatewayStartError(msg)

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or, when somebody else runs it, listens."""
        if self.child is not None:
            return self.child.is_alive
        endpoint = _read(self.path)
        return endpoint is not None and is_listening(endpoint.port, endpoint.host)

    def stop(self) -> None:
        """Stop the gateway if it was started here."""
        if self.child is not None:
            stop([self.child])


def join_or_start(settings: Settings, port: int = 0) -> GatewayHandle:
    """Use the gateway that serves this world already, or start one on ``port`` (0: any free one)."""
    path = endpoint_file(settings)
    endpoint = _read(path)
    if endpoint is not None and is_listening(endpoint.port, endpoint.host):
        return GatewayHandle(path, None)
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "trading_platform.cli", "gateway", "--port", str(port)]
    return GatewayHandle(path, start("gateway", command, log=path.parent / "gateway.log"))


def _last_words(child: ChildProcess) -> str:
    """The sentence with which it gave up, or else its log's end."""
    said = child.tail(lines=40)
    _, found, sentence = said.rpartition("error: ")
    return sentence if found else f"\n{said}"


def _read(path: Path) -> Endpoint | None:
    try:
        return Endpoint(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # absent, or half gone: no gateway
