"""The parts that the crash program breaks, each a process of its own: PostgreSQL, the paper gateway, the proxy.

Everything is forked from one warm parent, so that a restart costs a fraction of a second. They share one clock, which
stands still until the program moves it: no pause is credited that did not really pass.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import shutil
import struct
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from crash_proxy import Cut, Passed, serve_proxy

from trading_platform.paper_gateway.faults import Fault
from trading_platform.paper_gateway.market import load_market_data
from trading_platform.paper_gateway.server import GatewayConfig, PaperGateway
from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.ledger import Ledger

ACCOUNT = "DU1000000"
STARTING_CASH = Decimal(1_000_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
forked = multiprocessing.get_context("fork")


class SharedClock:
    """A clock in shared memory: every forked process reads the instant that the parent has set."""

    def __init__(self, moment: datetime) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.set(moment)

    def now(self) -> datetime:
        """The instant, tz-aware UTC."""
        return EPOCH + timedelta(microseconds=struct.unpack_from("q", self._memory)[0])

    def set(self, moment: datetime) -> None:
        """Move to ``moment``."""
        struct.pack_into("q", self._memory, 0, (moment - EPOCH) // timedelta(microseconds=1))

    def advance(self, by: timedelta) -> None:
        """Move forward."""
        self.set(self.now() + by)


def quick_directory() -> Path:
    """A new directory in memory where there is room for it: what is tested is SIGKILL, not a power failure."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="tp-crashes-", dir=memory if has_room else None))


def _serve_gateway(state: Path, port: int, clock: SharedClock, control: Connection) -> None:
    gateway = PaperGateway(
        GatewayConfig(
            port=port,
            account=ACCOUNT,
            cash=STARTING_CASH,
            state_path=state,
            pacing_enabled=False,
            step_seconds=0.02,
        ),
        clock.now,
    )

    def obey() -> None:
        with suppress(EOFError, OSError):
            while True:
                asked = control.recv()
                if asked == "clear":
                    gateway.faults.clear()
                elif asked == "active":
                    control.send(gateway.faults.active)
                else:
                    gateway.faults.add(asked)

    def ready(bound: int) -> None:
        control.send(bound)
        threading.Thread(target=obey, daemon=True).start()

    gateway.serve_forever(ready)


class World:
    """A home with everything running. ``close`` ends it all and removes the home."""

    def __init__(self, start: datetime) -> None:
        self.home = quick_directory()
        self.state = self.home / "account.sqlite"
        self.clock = SharedClock(start)
        load_market_data(None)  # warm in the parent: the children inherit it
        self.postgres = EmbeddedPostgres(self.home / "postgres", keep_running=True)
        self.ledger_url = self.postgres.start().ledger
        ledger = Ledger(self.ledger_url)
        ledger.migrate()
        ledger.close()
        self._gateway: BaseProcess | None = None
        self.gateway_port = 0
        self.start_gateway()
        self._proxy_control, child = forked.Pipe()
        self._proxy = forked.Process(target=serve_proxy, args=(self.gateway_port, child), daemon=True)
        self._proxy.start()
        self.proxy_port = self._proxy_control.recv()

    def start_gateway(self) -> None:
        """Start the gateway on its port and its state, and wait until clients can connect."""
        self._gateway_control, child = forked.Pipe()
        self._gateway = forked.Process(
            target=_serve_gateway, args=(self.state, self.gateway_port, self.clock, child), daemon=True
        )
        self._gateway.start()
        child.close()
        if not self._gateway_control.poll(30):
            msg = "the paper gateway did not start within 30 s"
            raise TimeoutError(msg)
        self.gateway_port = self._gateway_control.recv()

    @property
    def gateway_pid(self) -> int:
        """The gateway's process."""
        assert self._gateway is not None
        return self._gateway.pid or 0

    @property
    def is_gateway_alive(self) -> bool:
        """Whether the gateway runs."""
        return self._gateway is not None and self._gateway.is_alive()

    def kill_gateway(self) -> None:
        """SIGKILL, and nothing else."""
        assert self._gateway is not None
        self._gateway.kill()
        self._gateway.join()

    def add_fault(self, fault: Fault) -> None:
        """Switch one of the gateway's own faults on."""
        self._gateway_control.send(fault)

    def clear_faults(self) -> tuple[Fault, ...]:
        """Switch all faults off. Returns those that were still on; those used up are not among them."""
        try:
            self._gateway_control.send("active")
            active: tuple[Fault, ...] = self._gateway_control.recv()
            self._gateway_control.send("clear")
        except (EOFError, OSError):
            return ()  # it has just been killed
        return active

    def plan_cut(self, cut: Cut | None) -> None:
        """Cut the next connection that is opened, or (None) leave it alone."""
        self._proxy_control.send(cut)

    def connections(self) -> list[Passed]:
        """The connections that have ended since the last time."""
        ended = []
        while self._proxy_control.poll():
            ended.append(self._proxy_control.recv())
        return ended

    def kill_postgres(self) -> None:
        """SIGKILL of the postmaster and everything it started."""
        kill_tree(self.postmaster_pid)

    @property
    def postmaster_pid(self) -> int:
        """PostgreSQL's first process, 0 when there is none."""
        try:
            return int((self.postgres.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return 0

    @property
    def is_postgres_alive(self) -> bool:
        """Whether the postmaster runs; a zombie doesn't."""
        try:
            return self.postmaster_pid != 0 and _is_there(psutil.Process(self.postmaster_pid))
        except psutil.NoSuchProcess:
            return False

    def repair(self) -> list[str]:
        """Start again what is dead, switch all faults off. Returns what was dead."""
        dead = []
        if not self.is_postgres_alive:
            dead.append("postgres")
            self.start_postgres()
        if not self.is_gateway_alive:
            dead.append("gateway")
            assert self._gateway is not None
            self._gateway.join()
            self.start_gateway()
        return dead

    def start_postgres(self) -> None:
        """Start PostgreSQL on what its death left behind."""
        self.postgres.start()

    def close(self) -> None:
        """End everything, remove the home."""
        for process in (self._proxy, self._gateway):
            if process is not None and process.is_alive():
                process.terminate()
                process.join(20)
        self.postgres.keep_running = False
        self.postgres.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def kill_tree(pid: int) -> None:
    """SIGKILL of a process and its children, and the wait until they are gone."""
    if not pid:
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()  # it must not start others meanwhile
        family = [*process.children(recursive=True), process]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(_is_there(member) for member in family):
            time.sleep(0.002)


def _is_there(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
