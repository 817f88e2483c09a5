"""What `replay` and `backtest` show: a bar while they work, then a summary a trader reads. Made for 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trading_platform.ops.history_document import HistoryDocument
from trading_platform.ops.run_screen import POSITIONS, WIDE, Column, show_table

NEWEST = 10
ORDERS = (
    Column("session", "session"),
    Column("strategy", "strategy", needs_width=WIDE),
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("quantity", "quantity", "right"),
    Column("type", "type"),
    Column("status", "status"),
    Column("filled_quantity", "filled", "right"),
    Column("average_price", "price", "right"),
    Column("client_order_id", "order", needs_width=130),
)
FIGURES = (
    ("total_return", "return", "{:+.2%}"),
    ("annual_return", "return per year", "{:+.2%}"),
    ("annual_volatility", "volatility per year", "{:.2%}"),
    ("sharpe_ratio", "Sharpe ratio", "{:.2f}"),
    ("sortino_ratio", "Sortino ratio", "{:.2f}"),
    ("max_drawdown", "deepest drawdown", "{:.2%}"),
    ("hit_rate", "closes at a profit", "{:.0%}"),
    ("average_win_usd", "average win", "{:,.2f} USD"),
    ("average_loss_usd", "average loss", "{:,.2f} USD"),
    ("turnover", "turnover, times equity", "{:.2f}"),
    ("commissions_usd", "commissions", "{:,.2f} USD"),
    ("commission_bps", "commissions, bps of traded value", "{:.2f}"),
)


@contextmanager
def progress_bar(console: Console, title: str, ticks: int) -> Iterator[Callable[[datetime, int], None]]:
    """A progress bar over ``ticks``; yields what is to be called after each tick."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[at]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=ticks, at="")
        yield lambda at, done: progress.update(task, completed=done, at=f"{at:%Y-%m-%d %H:%M}")


def show(document: HistoryDocument, console: Console) -> None:
    """Print the summary."""
    strategies = ", ".join(document.strategies)
    console.print()
    console.rule(f"[bold]{document.command} of {strategies}[/] · {document.first_session} to {document.last_session}")
    console.print(
        f"{document.ticks:,} ticks in {document.seconds:.1f} s, [bold]{document.ticks_per_second:,.1f} ticks/s[/]; "
        f"account {document.account}"
    )
    for origin in dict.fromkeys(document.prices.values()):
        symbols = ", ".join(symbol for symbol, found in document.prices.items() if found == origin)
        console.print(f"[dim]prices of {escape(symbols)}: {escape(origin)}[/]")
    if document.quarantined_bars:
        console.print(f"[yellow]{document.quarantined_bars} bars failed validation and were set aside[/]")
    for note in document.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    refused = ", ".join(f"{control} {count}" for control, count in document.rejections.items())
    console.print(f"intents: {document.intents}, orders {len(document.orders)}, fills {len(document.fills)}")
    if refused:
        console.print(f"refused by risk: {refused}")
    newest = document.orders[-NEWEST:]
    earlier = len(document.orders) - len(newest)
    title = f"the last {len(newest)} of {len(document.orders)} orders" if earlier else "orders"
    show_table(console, title, newest, ORDERS)
    show_table(console, "positions", document.positions, POSITIONS[:2])
    _show_figures(document, console)
    for failure in document.failures:
        console.print(f"[red]failed:[/] {escape(failure)}")


def _show_figures(document: HistoryDocument, console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(justify="right")
    for name, label, form in FIGURES:
        if name in document.figures:
            grid.add_row(label, form.format(document.figures[name]))
    console.print("\n[bold]performance[/]")
    console.print(grid)
    if document.equity:
        first, last = document.equity[0]["equity"], document.equity[-1]["equity"]
        console.print(f"equity [bold]{last:,.2f} USD[/], from {first:,.2f} USD")
