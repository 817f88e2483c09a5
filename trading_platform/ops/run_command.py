"""``trading-platform run``: set up what is missing, run the main job, show what came of it."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.status import Status

from trading_platform.ops.home_lock import LockHeldError, hold
from trading_platform.ops.local import (
    LocalPlatformError,
    export,
    late_in_latest_session,
    local_platform,
    make_home,
    move_clock,
)
from trading_platform.ops.run_screen import Screen, show
from trading_platform.settings import Settings, get_settings
from trading_platform.specs.configured import configured_specs

LOCK_POLL_SECONDS = 0.3


def run_command(*, as_of: datetime | None, symbols: str | None, json_file: Path | None) -> int:
    """Run the main job once; return the exit status."""
    begun = time.monotonic()
    console = Console(highlight=False)
    quiet_libraries()
    # whatever the user has to correct is named here, before anything is started
    require_tradable(export({"symbols": symbols}) if symbols else get_settings())
    require_writable(json_file)
    notes = _choose_moment(as_of)
    make_home(get_settings())
    with console.status("starting …") as status, _one_at_a_time(get_settings(), status):
        _require_broker(get_settings(), status)
        status.update("starting PostgreSQL and the paper gateway …")
        with local_platform() as platform:
            settings = platform.settings
            status.update("loading the definitions …")
            from trading_platform.ops.main_job import run_main_job

            document = run_main_job(settings, Screen(console, status).report, notes)
            status.update("stopping what was started …")
    if json_file is not None:
        json_file.write_text(document.to_json())
    show(document, console, time.monotonic() - begun)
    return 0 if document.is_success else 1


def require_tradable(settings: Settings) -> None:
    """Make sure that the strategy specs can be read and trade something.

    Raises:
        SpecError, UnknownSymbolError: a file or a symbol is wrong.
        LocalPlatformError: no strategy is left.
    """
    if configured_specs(settings):
        return
    names = ", ".join(settings.symbols or ())
    msg = f"no strategy trades {names}: name a symbol of a strategy's universe, or add {names} to one"
    raise LocalPlatformError(msg)


def quiet_libraries() -> None:
    """Keep the libraries' own chatter off the screen; their errors reach the user through the document."""
    warnings.simplefilter("ignore")
    for name in ("alembic", "ib_insync", "mlflow", "dagster"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _one_at_a_time(settings: Settings, status: Status) -> Iterator[None]:
    """Wait until no other `run` is under way in this home: the one that ends first would stop what both use."""
    path = settings.home.absolute() / "run.lock"
    with ExitStack() as stack:
        while (holder := _try_to_hold(path, stack)) is not None:
            status.update(f"waiting for another `trading-platform run` (process {holder.get('pid', '?')}) …")
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _try_to_hold(path: Path, stack: ExitStack) -> Mapping[str, object] | None:
    """Hold the lock until ``stack`` ends, or return what its holder wrote there."""
    try:
        stack.enter_context(hold(path))
    except LockHeldError as error:
        return error.facts
    return None


def require_writable(json_file: Path | None) -> None:
    """Make sure, before anything is done, that the document can be written.

    Raises:
        LocalPlatformError: it can't.
    """
    if json_file is None:
        return
    directory = json_file.absolute().parent
    if not directory.is_dir() or not os.access(json_file if json_file.exists() else directory, os.W_OK):
        msg = f"--json {json_file} can't be written: name a file in a directory that exists and is yours"
        raise LocalPlatformError(msg)


def _choose_moment(as_of: datetime | None) -> list[str]:
    """Move the clock as asked, or, for the bundled market while it is closed, to late in its last session."""
    if as_of is not None:
        move_clock(as_of)
        return [f"the platform's clock was set to {as_of.isoformat()}; this session has a paper account of its own"]
    settings = get_settings()
    if settings.ibkr_port is not None or settings.clock_offset_seconds:
        return []
    moment = late_in_latest_session(settings.clock.now())
    if moment is None:
        return []
    move_clock(moment)
    return [
        f"the market is closed, so the bundled paper market was set back to {moment:%Y-%m-%d %H:%M} UTC, a quarter "
        "of an hour before its last close"
    ]


def _require_broker(settings: Settings, status: Status) -> None:
    """Shake hands with a configured broker, before anything waits for it with retries, and learn its account.

    Raises:
        BrokerError: it can't be used.
    """
    if settings.ibkr_port is None:
        return
    status.update(f"shaking hands with the broker at {settings.ibkr_host}:{settings.ibkr_port} …")
    from trading_platform.definitions import build_resources

    with build_resources(settings)["ibkr"].connect() as broker:
        if settings.ibkr_account is None:
            export({"ibkr_account": broker.account})
