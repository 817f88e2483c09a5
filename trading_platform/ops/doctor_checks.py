"""The checks of `trading-platform doctor`. Each returns what it found in a few words, or raises what is wrong.

The error's message says what to do: errors that the platform raises anyway do, the rest is a ``DoctorError``.
"""

from __future__ import annotations

import os
import platform as machine
import re
import shutil
import sys
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from trading_platform.clock import SystemClock
from trading_platform.ops.databases import ask_database
from trading_platform.ops.dev_services import why_mlflow_fails
from trading_platform.ops.local import (
    DATABASE_SETTINGS,
    configured_lake,
    make_dagster_home,
    make_home,
    prepare_ledger,
    prepare_mlflow,
    settle_gateway,
    start_databases,
    start_gateway,
)
from trading_platform.settings import ENV_PREFIX, get_settings

SUPPORTED = ((3, 10), (3, 13))
LARGEST_SKEW = timedelta(seconds=5)
DAEMON_SILENT = timedelta(minutes=5)
PROBE_TABLE = ("doctor", "probe")
ROOMY_BYTES = 1 << 30


class DoctorError(Exception):
    """Something is not as it should be; the message says what to do."""


def check_python() -> str:
    """The interpreter is one that the platform is tested with."""
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        msg = f"Python {machine.python_version()} is not supported: use 3.10 to 3.13 (ib_insync fails on 3.14)"
        raise DoctorError(msg)
    return f"{machine.python_version()} at {sys.prefix}"


def check_settings() -> str:
    """The environment can be read."""
    settings = get_settings()
    clock = f", clock set back to {settings.clock.now():%Y-%m-%d %H:%M} UTC" if settings.as_of_session else ""
    return f"{settings.mode} mode{', read-only' if settings.read_only else ''}{clock}"


def check_strategies() -> str:
    """The specs of universe and strategies say nothing wrong."""
    from trading_platform.ops.run_command import require_tradable
    from trading_platform.specs.configured import configured_specs

    settings = get_settings()
    require_tradable(settings)
    return ", ".join(f"{spec.name} ({len(spec.universe)})" for spec in configured_specs(settings))


def check_home() -> str:
    """The directory of local state can be written, and there is room."""
    settings = get_settings()
    make_home(settings)
    home = settings.home.absolute()
    free = shutil.disk_usage(home).free
    if free < ROOMY_BYTES:
        msg = f"{home}: only {free / 2**20:.0f} MiB are free: make room, or set {ENV_PREFIX}HOME to a larger disk"
        raise DoctorError(msg)
    return f"{home}, {free / 2**30:.0f} GiB free"


def check_gateway(stack: ExitStack) -> str:
    """The bundled paper gateway starts, or a broker is configured."""
    settings = get_settings()
    gateway = start_gateway(settings, stack)
    if gateway is None:
        return f"not needed: a broker is configured at {settings.ibkr_host}:{settings.ibkr_port}"
    settings = settle_gateway(gateway, settings)
    how = "runs already" if gateway.child is None else "started"
    return f"{how} at {settings.ibkr_host}:{settings.ibkr_port}"


def check_postgres(stack: ExitStack, bundled: set[str]) -> str:
    """The bundled server starts and answers. The settings that it serves are added to ``bundled``."""
    bundled.update(name for name in DATABASE_SETTINGS if getattr(get_settings(), name) is None)
    if not bundled:
        return "not needed: all databases are configured"
    settings = start_databases(get_settings(), stack)
    name = sorted(bundled)[0]
    answer = ask_database(getattr(settings, name).get_secret_value(), name)
    return f"{answer.version}, bundled, answers in {answer.latency_ms:.1f} ms"


def check_ledger(bundled: set[str]) -> str:
    """The ledger's schema is that of this code. The bundled one is brought up to date, as `run` would."""
    from trading_platform.storage.ledger import Ledger
    from trading_platform.storage.ledger.schema import HEAD_REVISION

    settings = get_settings()
    place = _answer("ledger_database_url", bundled)
    assert settings.ledger_database_url is not None
    ledger = Ledger(settings.ledger_database_url.get_secret_value())
    try:
        if not ledger.is_current():
            if "ledger_database_url" not in bundled:
                msg = f"{place}the schema is not this code's: `trading-platform run` brings it up to date"
                raise DoctorError(msg)
            prepare_ledger(settings)
        working = len(ledger.working_orders(settings.ibkr_account)) if settings.ibkr_account else 0
        halts = ledger.active_halts(settings.ibkr_account) if settings.ibkr_account else []
    finally:
        ledger.close()
    halted = f", HALTED: {halts[0].reason}" if halts else ""
    return f"{place}schema {HEAD_REVISION}, {working} working order{'' if working == 1 else 's'}{halted}"


def _answer(name: str, bundled: set[str]) -> str:
    """Where the configured database ``name`` is, once it has answered; nothing for the bundled one."""
    url = getattr(get_settings(), name).get_secret_value()
    answer = ask_database(url, name)
    return "" if name in bundled else f"PostgreSQL {answer.version} at {answer.place}, {answer.latency_ms:.1f} ms, "


def check_lake() -> str:
    """A table can be written, read back and removed."""
    import pandas as pd

    settings = get_settings()
    table = (PROBE_TABLE[0], f"{PROBE_TABLE[1]}_{os.getpid()}")
    lake = configured_lake(settings)
    written = lake.write_table(table, pd.DataFrame({"value": [1.0, 2.0]}))
    try:
        if lake.read_table(table)["value"].tolist() != [1.0, 2.0]:
            msg = f"{lake.base} gives back other rows than were written: check the store"
            raise DoctorError(msg)
    finally:
        _remove(written.path, settings.s3_endpoint_url)
    return f"written, read and removed in {lake.base}"


def _remove(path: str, s3_endpoint_url: str | None) -> None:
    import fsspec

    options: dict[str, Any] = {}
    if s3_endpoint_url and path.startswith("s3://"):
        options["client_kwargs"] = {"endpoint_url": s3_endpoint_url}
    files, name = fsspec.core.url_to_fs(path, **options)
    files.rm_file(name)
    if "://" not in path:
        with suppress(OSError):  # another doctor's probe is in it
            Path(path).parent.rmdir()


def check_broker() -> str:
    """The handshake works, the account is the right one, and the clocks agree."""
    from trading_platform.definitions import build_resources

    settings = get_settings()
    with build_resources(settings)["ibkr"].connect() as broker:
        skew = broker.server_time() - settings.clock.now()
        account, is_paper = broker.account, broker.is_paper
        troubles = broker.troubles()
    if abs(skew) > LARGEST_SKEW:
        msg = (
            f"its clock is {skew.total_seconds():+.0f} s away from ours: synchronize this machine's clock (NTP), "
            "or look at the gateway's"
        )
        raise DoctorError(msg)
    if troubles:
        raise DoctorError("; ".join(troubles))
    kind = "paper" if is_paper else "LIVE"
    where = f"{settings.ibkr_host}:{settings.ibkr_port}"
    return f"{where}, {kind} account {account}, clock {skew.total_seconds():+.1f} s"


def check_market_data() -> str:
    """Where the prices of the strategies' symbols come from."""
    from trading_platform.definitions import build_resources
    from trading_platform.specs.configured import configured_specs, current_universe

    settings = get_settings()
    instruments = current_universe(settings).instruments
    symbols = sorted({symbol for spec in configured_specs(settings) for symbol in spec.universe})
    origins: dict[str, list[str]] = {}
    with build_resources(settings)["ibkr"].connect() as broker:
        for symbol in symbols:
            origin = _in_short(broker.instrument_details(instruments[symbol]).data_origin)
            origins.setdefault(origin, []).append(symbol)
    return "; ".join(f"{', '.join(names)}: {origin}" for origin, names in origins.items())


def _in_short(origin: str) -> str:
    """What the prices are, without from when to when: that is in the instruments' metadata."""
    return re.split(r" \d{4}-|: ", origin, maxsplit=1)[0]


def check_mlflow(bundled: set[str]) -> str:
    """The server's API answers, or the database has MLflow's schema."""
    from trading_platform.storage.mlflow_database import latest_revision

    settings = get_settings()
    assert settings.mlflow_tracking_uri is not None
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    if tracking.startswith(("http://", "https://")):
        reason = why_mlflow_fails(tracking)
        if reason is not None:
            variable = f"{ENV_PREFIX}MLFLOW_TRACKING_URI"
            msg = f"{reason}: start the server, allow this host (--allowed-hosts), or correct {variable}"
            raise DoctorError(msg)
        return f"{tracking}: the API answers"
    place = _answer("mlflow_tracking_uri", bundled)
    prepare_mlflow(settings)  # what `run` would do, and nothing when it is up to date
    return f"{place}schema {latest_revision()}"


def check_dagster(bundled: set[str]) -> str:
    """The instance opens and its storage answers. Says how long ago the daemon was last heard of."""
    place = _answer("dagster_database_url", bundled)
    make_dagster_home(get_settings())
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs_count()
        heartbeats = instance.get_daemon_heartbeats()
    beats = [heartbeat.timestamp for heartbeat in heartbeats.values()]
    if not beats:
        daemon = "its daemon never ran"
    else:
        age = timedelta(seconds=SystemClock().now().timestamp() - max(beats))
        daemon = f"daemon heard of {_age(age)} ago" + ("" if age < DAEMON_SILENT else " (no `dev` runs)")
    return f"{place}{runs} run{'' if runs == 1 else 's'} recorded; {daemon}"


def _age(age: timedelta) -> str:
    seconds = age.total_seconds()
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def check_code_location() -> str:
    """The definitions load, jobs and schedules resolve."""
    import dagster as dg

    from trading_platform.definitions import build_definitions

    definitions = build_definitions(get_settings())
    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    assets = len(repository.asset_graph.get_all_asset_keys())
    jobs = len([job for job in repository.get_all_jobs() if not job.name.startswith("__")])
    return (
        f"{assets} assets, {jobs} jobs, {len(repository.schedule_defs)} schedules, "
        f"{len(repository.sensor_defs)} sensors"
    )
