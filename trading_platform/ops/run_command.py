"""``trading-platform run``: set up what is missing, run the main job, show what came of it."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trading_platform.ops.local import export, late_in_latest_session, local_platform, move_clock
from trading_platform.ops.run_document import RunDocument
from trading_platform.resources.platform import configured_specs
from trading_platform.settings import Settings, get_settings

MARKS = {"run": "[bold]▶[/]", "done": "[green]✓[/]", "failed": "[red]✗[/]", "check": "[yellow]![/]"}


def run_command(*, as_of: datetime | None, symbols: str | None, json_file: Path | None) -> int:
    """Run the main job once; return the exit status."""
    console = Console(highlight=False)
    _quiet_libraries()
    if symbols:
        export({"symbols": symbols})
    configured_specs(get_settings())  # a wrong spec or symbol is named before anything is started
    notes = _choose_moment(as_of)
    with console.status("starting PostgreSQL and the paper gateway …"), local_platform() as settings:
        settings = _with_account(settings)
        from trading_platform.ops.main_job import run_main_job

        def report(kind: str, text: str) -> None:
            console.print(f"{MARKS[kind]} {text}", highlight=False)

        document = run_main_job(settings, report, notes)
    if json_file is not None:
        json_file.write_text(document.to_json())
    show(document, console)
    return 0 if document.is_success else 1


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


def _with_account(settings: Settings) -> Settings:
    """Ask the broker for its account when the settings don't name one. A broker that can't be used is named here."""
    if settings.ibkr_account is not None:
        return settings
    from trading_platform.definitions import build_resources

    with build_resources(settings)["ibkr"].connect() as broker:
        return export({"ibkr_account": broker.account})


def show(document: RunDocument, console: Console) -> None:
    """Print the summary a trader reads."""
    console.rule(f"[bold]session {document.session}[/] · {document.mode} account {document.account}")
    for note in document.notes:
        console.print(f"[dim]note: {note}[/]")
    passed = sum(check["passed"] for check in document.checks)
    failed = len(document.checks) - passed
    bars = sum(o["rows"] or 0 for key, o in document.assets.items() if key.endswith("_validated_bars"))
    made = sum(outcome["status"] == "materialized" for outcome in document.assets.values())
    console.print(f"as of {document.as_of}, market {document.market}")
    console.print(f"{made} assets materialized, {bars} validated bars; checks: {passed} passed, {failed} failed")
    _table(console, "signals", document.signals, ["strategy", "symbol", "side", "target_weight", "confidence", "reason"])
    _table(console, "intents", document.intents, ["strategy", "symbol", "side", "quantity", "approved", "reasons"])
    _table(
        console,
        "orders",
        document.orders,
        ["strategy", "symbol", "side", "quantity", "type", "status", "filled_quantity", "average_price", "perm_id"],
    )
    _table(console, "fills", document.fills, ["ts", "symbol", "side", "quantity", "price", "commission"])
    _table(console, "positions", document.positions, ["symbol", "quantity", "average_price"])
    for key, outcome in document.outcomes.items():
        console.print(f"[dim]{key}:[/] {outcome}")
    if document.equity is not None:
        console.print(f"equity [bold]{document.equity:,.2f} USD[/], {document.new_orders} new orders")
    console.print("look at it: [bold]trading-platform dev[/], then Runs and Assets in the web UI")
    for failure in document.failures:
        console.print(f"[red]failed:[/] {failure}")


def _table(console: Console, title: str, rows: list[dict[str, object]], columns: list[str]) -> None:
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    console.print(table)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1 else f"{value:,.2f}".removesuffix(".00")
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    return "" if value is None else str(value)


def _quiet_libraries() -> None:
    """Keep the libraries' own chatter off the screen; their errors reach the user through the document."""
    warnings.simplefilter("ignore")
    for name in ("alembic", "ib_insync", "mlflow", "dagster"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
