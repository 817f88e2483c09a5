"""``trading-platform replay``: the real order path over history, in a world of its own.

The ledger is a database of its own, ``replay``, in the home's embedded PostgreSQL, made anew each time: a replay that
was interrupted leaves nothing that the next one could stumble over. A configured ledger or broker is not touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from trading_platform.domain.backtest.moments import count_ticks
from trading_platform.ops.history_document import HistoryDocument, document_of
from trading_platform.ops.history_request import HistoryOptions, HistoryRequest, prepare
from trading_platform.ops.history_screen import progress_bar, show
from trading_platform.ops.home_lock import LockHeldError, hold
from trading_platform.ops.interrupts import cleaned_up
from trading_platform.ops.local import LocalPlatformError, make_home, start_postgres
from trading_platform.ops.replay_world import Stage, replay_world
from trading_platform.ops.run_command import quiet_libraries, require_writable
from trading_platform.replay.engine import Replay
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger

DATABASE = "replay"


def replay_command(options: HistoryOptions) -> int:
    """Replay and show; return the exit status."""
    console = Console(highlight=False)
    quiet_libraries()
    require_writable(options.json_file)
    request = prepare(options)
    make_home(request.settings)
    with _only_replay(request.settings):
        console.print("[dim]starting PostgreSQL and a paper gateway …[/]")
        with fresh_ledger(request.settings) as ledger_url:
            document = replay(request, ledger_url, console)
    if options.json_file is not None:
        options.json_file.write_text(document.to_json())
    show(document, console)
    return 0 if document.is_success else 1


def replay(request: HistoryRequest, ledger_url: str, console: Console) -> HistoryDocument:
    """Replay what was asked for into a migrated, empty ledger.

    Raises:
        DatasetError: the market data can't be used.
        BrokerError, LedgerError: a part failed.
    """
    ticks = count_ticks(request.specs, request.first, request.last)
    stage = Stage(request.settings, request.start, ledger_url, request.data_dir)
    symbols = dict.fromkeys(symbol for spec in request.specs for symbol in spec.universe)
    with replay_world(stage) as world:
        begun = time.perf_counter()
        with progress_bar(console, "replay", ticks) as progress:
            record = Replay(request.specs, request.first, request.last, world).run(progress)
        seconds = time.perf_counter() - begun
        prices = {symbol: world.broker.data_origin(world.instruments[symbol]) for symbol in symbols}
    document = document_of("replay", request, record, seconds=seconds, prices=prices)
    if request.settings.ibkr_port is not None:
        document.notes.append("the configured broker was not connected to: a replay brings its own paper gateway")
    return document


@contextmanager
def fresh_ledger(settings: Settings) -> Iterator[str]:
    """The URL of an empty, migrated ledger of the replay's own.

    Raises:
        EmbeddedPostgresError: PostgreSQL did not start.
    """
    with cleaned_up() as stack:
        server = start_postgres(settings, stack)
        server.drop_database(DATABASE)
        url = server.create_database(DATABASE, is_relaxed=True)
        ledger = Ledger(url)
        try:
            ledger.migrate()
        finally:
            ledger.close()
        yield url


@contextmanager
def _only_replay(settings: Settings) -> Iterator[None]:
    """One replay at a time in a home.

    Raises:
        LocalPlatformError: another one is under way.
    """
    try:
        with hold(settings.home.absolute() / "replay.lock"):
            yield
    except LockHeldError as error:
        msg = (
            f"another replay is under way in {settings.home} (process {error.facts.get('pid', '?')}): let it end, or "
            "name another TRADING_PLATFORM_HOME"
        )
        raise LocalPlatformError(msg) from error
