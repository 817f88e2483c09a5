"""What `trading-platform run` shows: progress while it works, then a summary a trader reads. Made for 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from trading_platform.ops.run_document import RunDocument
from trading_platform.ops.run_progress import Progress

MARKS = {"run": "[bold]▶[/]", "done": "[green]✓[/]", "failed": "[red]✗[/]", "check": "[yellow]![/]"}
WIDE = 100
"""Columns from which on there is room for what is nice to have."""


@dataclass(frozen=True)
class Column:
    """A column of a summary table. ``field`` is a key of the document's rows; wrapping ones hold sentences."""

    field: str
    title: str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    needs_width: int = 0


SIGNALS = (
    Column("strategy", "strategy"),
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("target_weight", "weight", "right"),
    Column("confidence", "conf", "right"),
    Column("reason", "reason", wraps=True),
)
INTENTS = (
    Column("strategy", "strategy"),
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("quantity", "quantity", "right"),
    Column("approved", "risk"),
    Column("reasons", "reasons", wraps=True),
)
ORDERS = (
    Column("strategy", "strategy"),
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("quantity", "quantity", "right"),
    Column("type", "type"),
    Column("status", "status"),
    Column("filled_quantity", "filled", "right"),
    Column("average_price", "price", "right"),
    Column("perm_id", "perm id", "right", needs_width=WIDE),
    Column("client_order_id", "order", needs_width=130),
)
FILLS = (
    Column("ts", "time (UTC)"),
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("quantity", "quantity", "right"),
    Column("price", "price", "right"),
    Column("commission", "commission", "right"),
    Column("execution_id", "execution", needs_width=WIDE),
)
POSITIONS = (
    Column("symbol", "symbol"),
    Column("quantity", "quantity", "right"),
    Column("average_price", "average price", "right"),
)


class Screen:
    """The terminal during a run. ``report`` may be called from another thread."""

    def __init__(self, console: Console, status: Status) -> None:
        self.console = console
        self._status = status

    def report(self, progress: Progress) -> None:
        """Show one step of progress."""
        if progress.kind == "step":
            self._status.update(f"{escape(progress.text)} …")
            return
        mark, text = MARKS[progress.kind], escape(progress.text)
        if progress.kind == "done":
            rows = "" if progress.rows is None else f"{progress.rows:,} row{'' if progress.rows == 1 else 's'}"
            seconds = "" if progress.seconds is None else f"{progress.seconds:.1f} s"
            text = f"{text:<44} {rows:>12} {seconds:>8}".rstrip()
        elif progress.kind == "run":
            text = f"[bold]{text}[/]"
        self.console.print(f"{mark} {text}")


def show(document: RunDocument, console: Console, seconds: float) -> None:
    """Print the summary. ``seconds`` is how long all of it took."""
    console.print()
    console.rule(f"[bold]session {document.session}[/] · {document.mode} account {document.account}")
    for note in document.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    _show_figures(document, console)
    show_table(console, "signals", document.signals, SIGNALS)
    show_table(console, "order intents", document.intents, INTENTS)
    show_table(console, "orders", document.orders, ORDERS)
    show_table(console, "fills", document.fills, FILLS)
    show_table(console, "positions", document.positions, POSITIONS)
    _show_outcomes(document, console)
    console.print()
    if document.equity is not None:
        console.print(f"equity [bold]{document.equity:,.2f} USD[/], new orders [bold]{document.new_orders}[/]")
    console.print("look at it in the web UI: [bold]trading-platform dev[/], then Runs and Assets")
    for failure in document.failures:
        console.print(f"[red]failed:[/] {escape(failure)}")
    word = "[green]done[/]" if document.is_success else "[red]not everything that should have happened did[/]"
    console.print(f"{word} in {seconds:.1f} s")


def _show_figures(document: RunDocument, console: Console) -> None:
    passed = sum(check["passed"] for check in document.checks)
    warned = len(document.checks_failed("WARN"))
    failed = len(document.checks_failed("ERROR"))
    bars = sum(o["rows"] or 0 for key, o in document.assets.items() if key.endswith("_validated_bars"))
    made = sum(outcome["status"] == "materialized" for outcome in document.assets.values())
    as_of = datetime.fromisoformat(document.as_of)
    console.print(f"as of {as_of:%Y-%m-%d %H:%M:%S} UTC, market {document.market}")
    checks = f"checks: {passed} passed, {warned} warned, {failed} failed"
    console.print(f"{made} asset{'' if made == 1 else 's'}, {bars:,} validated bars; {checks}")
    for asset, name in dict.fromkeys((check["asset"], check["check"]) for check in document.checks_failed("WARN")):
        console.print(f"[dim]warning: {asset}: check {name}[/]")
    approved = sum(bool(intent["approved"]) for intent in document.intents)
    console.print(f"intents: {approved} approved, {len(document.intents) - approved} rejected")


def _show_outcomes(document: RunDocument, console: Console) -> None:
    console.print("\n[bold]what became of the tick[/]")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for key, outcome in document.outcomes.items():
        grid.add_row(key.partition("/")[2] or key, escape(outcome))
    console.print(grid)


def show_table(console: Console, title: str, rows: Sequence[Mapping[str, Any]], columns: Iterable[Column]) -> None:
    """Print rows as a table; columns that need more room than there is are left out."""
    if not rows:
        console.print(f"[bold]{title}[/]: none")
        return
    console.print()
    shown = [column for column in columns if console.width >= column.needs_width]
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in shown:
        table.add_column(
            column.title, justify=column.justify, no_wrap=not column.wraps, overflow="fold" if column.wraps else "crop"
        )
    for row in rows:
        table.add_row(*(escape(text_of(column.field, row.get(column.field))) for column in shown))
    console.print(table)


def text_of(field: str, value: object) -> str:
    """A value of the document as a cell."""
    if field == "approved":
        return "approved" if value else "rejected"
    if field == "ts":
        return f"{datetime.fromisoformat(str(value)):%H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return "; ".join(str(item) for item in value)
    if isinstance(value, (int, float)):
        return _number(field, value)
    return "" if value is None else str(value)


def _number(field: str, value: float) -> str:
    if field == "perm_id":
        return str(value)
    if field in ("target_weight", "confidence"):
        return f"{value:.0%}"
    if field in ("price", "average_price", "commission"):
        return f"{value:,.2f}" if abs(value) >= 1 or not value else f"{value:.4g}"
    return f"{value:,.8f}".rstrip("0").rstrip(".")
