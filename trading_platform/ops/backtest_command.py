"""``trading-platform backtest``: the strategies' decisions over history, in memory, and what they would have earned."""

from __future__ import annotations

import time

from rich.console import Console

from trading_platform.domain.backtest.engine import Plan, run_backtest
from trading_platform.domain.backtest.moments import count_ticks
from trading_platform.ops.history_document import HistoryDocument, document_of
from trading_platform.ops.history_request import HistoryOptions, HistoryRequest, prepare
from trading_platform.ops.history_screen import progress_bar, show
from trading_platform.ops.paper_market import PaperMarket
from trading_platform.ops.run_command import quiet_libraries, require_writable


def backtest_command(options: HistoryOptions) -> int:
    """Backtest and show; return the exit status."""
    console = Console(highlight=False)
    quiet_libraries()
    require_writable(options.json_file)
    document = backtest(prepare(options), console)
    if options.json_file is not None:
        options.json_file.write_text(document.to_json())
    show(document, console)
    return 0 if document.is_success else 1


def backtest(request: HistoryRequest, console: Console) -> HistoryDocument:
    """Backtest what was asked for. Loading the data is part of the time that is told.

    Raises:
        DatasetError: the market data can't be used.
        UnsupportedOrderError: a strategy asks for an order that is not simulated.
    """
    ticks = count_ticks(request.specs, request.first, request.last)
    begun = time.perf_counter()
    market = PaperMarket(
        request.instruments, data_dir=request.data_dir, seed=request.settings.paper_seed, start=request.start
    )
    plan = Plan(
        request.specs, request.first, request.last, request.instruments, request.account_limits, request.quality
    )
    with progress_bar(console, "backtest", ticks) as progress:
        record = run_backtest(plan, market, progress)
    symbols = dict.fromkeys(symbol for spec in request.specs for symbol in spec.universe)
    return document_of(
        "backtest",
        request,
        record,
        seconds=time.perf_counter() - begun,
        prices={symbol: market.origin_of(symbol) for symbol in symbols},
    )
