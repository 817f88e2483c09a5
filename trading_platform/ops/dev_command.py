"""``trading-platform dev``: everything together, until Ctrl-C; nothing is left behind.

One code server imports the definitions for the web server and the daemon. When any part dies the whole stops
with that part's last words: a platform that looks alive and has no daemon or no broker would be worse. A `dev`
that is killed is cleaned up after by ``ops.guard``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from trading_platform.clock import SystemClock
from trading_platform.ops.databases import place_of
from trading_platform.ops.dev_services import (
    Service,
    hide_first_visit_dialog,
    start_code_server,
    start_daemon,
    start_mlflow,
    start_web_server,
    write_workspace,
)
from trading_platform.ops.gateway_process import GatewayHandle, join_or_start
from trading_platform.ops.home_lock import HomeLock, LockHeldError, hold
from trading_platform.ops.interrupts import cleaned_up
from trading_platform.ops.local import LocalPlatform, export, local_platform, make_home, move_clock
from trading_platform.ops.processes import ChildProcess, free_port, stop
from trading_platform.ops.run_command import quiet_libraries, require_tradable
from trading_platform.settings import ENV_PREFIX, Settings, get_settings

GATEWAY_PORT = 4002
MLFLOW_PORT = 5000
READY_TIMEOUT_SECONDS = 180.0
WATCH_SECONDS = 0.5
STOP_GRACE_SECONDS = 6.0


class DevError(Exception):
    """`dev` can't start, or a part of it died. The message says which and what it said."""


def dev_command(*, as_of: datetime | None, port: int) -> int:
    """Run everything until interrupted; return the exit status.

    Raises:
        DevError: another `dev` runs in this home, or a part did not start or died.
        KeyboardInterrupt: interrupted before everything was up.
    """
    console = Console(highlight=False)
    quiet_libraries()
    require_tradable(get_settings())
    if as_of is not None:
        move_clock(as_of)
    settings = get_settings()
    make_home(settings)
    with _only_dev(settings) as lock:
        is_up = False
        try:
            with _everything(console, lock, port) as watched:
                is_up = True
                _watch(watched)
        except KeyboardInterrupt:
            if not is_up:
                raise
            console.print("[bold]stopped[/]: nothing runs any more")
    return 0


@contextmanager
def _only_dev(settings: Settings) -> Iterator[HomeLock]:
    try:
        with hold(settings.home.absolute() / "dev.lock") as lock:
            yield lock
    except LockHeldError as error:
        url = error.facts.get("url")
        msg = (
            f"another `trading-platform dev` runs in {settings.home.absolute()} (process "
            f"{error.facts.get('pid', 'unknown')}{f', {url}' if url else ''}): use that one, stop it with Ctrl-C, or "
            f"set {ENV_PREFIX}HOME to another directory"
        )
        raise DevError(msg) from error


class _Watched:
    """The children to keep an eye on, and the gateway, which somebody else may have started."""

    def __init__(self, children: Sequence[ChildProcess], platform: LocalPlatform, stack: ExitStack) -> None:
        self._children = children
        self._gateway: GatewayHandle | None = platform.gateway
        self._settings = platform.settings
        self._stack = stack

    def require_alive(self) -> None:
        """Raise if something died.

        Raises:
            DevError: with its last words.
        """
        for child in self._children:
            _require_alive(child)
        gateway = self._gateway
        if gateway is None or gateway.is_alive:
            return
        if gateway.child is not None:
            _require_alive(gateway.child)
        # whoever ran it (`run`, `gateway`) has ended: the platform goes on at the same address
        self._gateway = join_or_start(self._settings, self._settings.ibkr_port or GATEWAY_PORT)
        self._stack.callback(self._gateway.stop)
        self._gateway.wait_until_ready()


@contextmanager
def _everything(console: Console, lock: HomeLock, port: int) -> Iterator[_Watched]:
    """Start all, print the addresses, stop all."""
    begun = time.monotonic()
    gateway_port = free_port(GATEWAY_PORT)
    is_instance_ours = get_settings().dagster_database_url is None
    with (
        console.status("starting PostgreSQL and the paper gateway …") as status,
        local_platform(gateway_port=gateway_port) as platform,
        cleaned_up() as stack,
    ):
        logs = platform.settings.home.absolute() / "logs"
        status.update("preparing Dagster's tables …")
        _close_runs(is_everybodys=is_instance_ours)
        stack.callback(_close_runs, is_everybodys=is_instance_ours)
        services, children = _start(platform.settings, port, logs, stack)
        stack.callback(console.print, "stopping …")
        watched = _Watched(children, platform, stack)
        status.update("shaking hands with the broker …")
        account = _shake_hands()
        _wait(services, watched, console, status, begun)
        web_url = services[0].address
        hide_first_visit_dialog(web_url)
        lock.tell(url=web_url)
        status.stop()
        _show(console, services, get_settings(), account, logs, wanted={"web UI": port})
        yield watched


def _close_runs(*, is_everybodys: bool) -> None:
    """Close runs whose process is gone. The first call makes Dagster's tables, before three processes want to.

    ``is_everybodys``: the instance is the bundled one, so that nobody but this `dev` has a code server for it.
    """
    import dagster as dg

    from trading_platform.ops.main_job import PROCESS_TAG, UNFINISHED, close_orphans

    with dg.DagsterInstance.get() as instance:
        close_orphans(instance)
        for run in instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))) if is_everybodys else ():
            if PROCESS_TAG not in run.tags:
                instance.report_run_failed(run, "`trading-platform dev` was stopped while this run was under way.")


def _start(settings: Settings, port: int, logs: Path, stack: ExitStack) -> tuple[list[Service], list[ChildProcess]]:
    """Start the servers. They are all stopped at once, at the end."""
    children: list[ChildProcess] = []
    stack.callback(stop, children, STOP_GRACE_SECONDS)
    since = SystemClock().now()
    assert settings.mlflow_tracking_uri is not None
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    is_server = tracking.startswith(("http://", "https://"))
    mlflow_port = free_port(MLFLOW_PORT)
    mlflow_url = tracking if is_server else f"http://127.0.0.1:{mlflow_port}"
    export(
        {
            "schedules_running": True,
            "mlflow_tracking_uri": mlflow_url,
            "mlflow_ui_url": settings.mlflow_ui_url or mlflow_url,
        }
    )
    workspace, code_port, web_port = logs.parent / "dev" / "workspace.yaml", free_port(), free_port(port)
    write_workspace(workspace, code_port)
    children.append(start_code_server(code_port, logs))
    web = start_web_server(workspace, web_port, logs)
    children.append(web.child)
    daemon = start_daemon(workspace, web.address, since, logs)
    children.append(daemon.child)
    services = [web, daemon]
    if not is_server:
        services.append(start_mlflow(settings, tracking, mlflow_port, logs))
        children.append(services[-1].child)
    return services, children


def _shake_hands() -> str:
    """The account at the broker, after a real handshake and a question."""
    from trading_platform.definitions import build_resources

    settings = get_settings()
    with build_resources(settings)["ibkr"].connect() as broker:
        broker.server_time()
        account = str(broker.account)
    if settings.ibkr_account is None:
        export({"ibkr_account": account})
    return account


def _wait(services: Sequence[Service], watched: _Watched, console: Console, status: Status, begun: float) -> None:
    """Wait until every service works; say so as each does."""
    waiting = {service.name: service for service in services}
    reasons: dict[str, str] = {}
    while waiting:
        for name, service in list(waiting.items()):
            why_not = service.why_not()
            if why_not is None:
                del waiting[name]
                console.print(f"[green]✓[/] {name:<40} {time.monotonic() - begun:>7.1f} s")
            else:
                reasons[name] = why_not
        watched.require_alive()
        status.update(f"waiting for {', '.join(waiting)} …")
        if waiting and time.monotonic() - begun > READY_TIMEOUT_SECONDS:
            name, service = next(iter(waiting.items()))
            msg = f"{name} did not come up in {READY_TIMEOUT_SECONDS:.0f} s: {reasons[name]}\n{service.child.tail()}"
            raise DevError(msg)
        time.sleep(WATCH_SECONDS if waiting else 0)


def _watch(watched: _Watched) -> None:
    while True:
        time.sleep(WATCH_SECONDS)
        watched.require_alive()


def _require_alive(child: ChildProcess) -> None:
    if child.is_alive:
        return
    msg = (
        f"the {child.name} ended with status {child.popen.returncode}, so everything was stopped. Its last words "
        f"({child.log}):\n{child.tail()}"
    )
    raise DevError(msg)


def _show(
    console: Console,
    services: Sequence[Service],
    settings: Settings,
    account: str,
    logs: Path,
    *,
    wanted: dict[str, int],
) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for service in services:
        taken = service.name in wanted and not service.address.endswith(f":{wanted[service.name]}")
        note = f" (port {wanted[service.name]} is taken)" if taken else ""
        if service.address:
            grid.add_row(service.name, service.address + note)
    if all(service.name != "MLflow" for service in services):
        grid.add_row("MLflow", settings.mlflow_ui_url or "")
    grid.add_row("broker", f"{settings.ibkr_host}:{settings.ibkr_port}, {settings.mode} account {account}")
    assert settings.ledger_database_url is not None
    grid.add_row("PostgreSQL", escape(place_of(settings.ledger_database_url.get_secret_value())))
    grid.add_row("lake", escape(settings.lake))
    grid.add_row("logs", escape(str(logs)))
    grid.add_row("clock", f"{settings.clock.now():%Y-%m-%d %H:%M} UTC{' (set back)' if settings.as_of_session else ''}")
    console.print()
    console.print(grid)
    console.print()
    console.print("Schedules and sensors are on. Ctrl-C stops everything.")
