"""``trading-platform doctor``: looks at every part by itself, one line each, and says what to do.

Like `run` it starts what is not configured, so that a healthy answer means that `run` would work. A part that is
broken hides no other; what can't be looked at because of it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_platform.ops import doctor_checks as checks
from trading_platform.ops.errors import explain
from trading_platform.ops.interrupts import cleaned_up
from trading_platform.ops.local import environment_restored
from trading_platform.ops.run_command import quiet_libraries
from trading_platform.settings import get_settings

NAME_WIDTH = 15


class NotCheckedError(Exception):
    """A check that can't be made because of another part, which the message names."""


@dataclass
class Findings:
    """What was found so far."""

    console: Console
    healthy: int = 0
    failed: int = 0
    not_checked: int = 0

    def examine(self, name: str, check: Callable[[], str]) -> bool:
        """Make a check and show its line. ``check`` returns what it found, or raises what is wrong."""
        try:
            with self.console.status(f"{name} …"):
                found = check()
        except NotCheckedError as reason:
            self.not_checked += 1
            self._show("[yellow]–[/]", name, str(reason))
            return False
        except Exception as error:  # noqa: BLE001 - a doctor reports whatever it is
            self.failed += 1
            sentence = explain(error) or f"{type(error).__name__}: {error}"
            self._show("[red]✗[/]", name, " ".join(sentence.split()))
            return False
        self.healthy += 1
        self._show("[green]✓[/]", name, found)
        return True

    def _show(self, mark: str, name: str, text: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, min_width=NAME_WIDTH, style="bold")
        grid.add_column(overflow="fold")
        grid.add_row(mark, name, escape(text))
        self.console.print(grid)


def doctor_command() -> int:
    """Check everything; return 0 if all is well, 1 otherwise."""
    console = Console(highlight=False)
    quiet_libraries()
    findings = Findings(console)
    with environment_restored(), cleaned_up() as stack:
        _examine_all(findings, stack)
    if findings.failed or findings.not_checked:
        console.print(
            f"[red]{findings.failed} failed[/], {findings.not_checked} not checked, {findings.healthy} healthy"
        )
        return 1
    console.print(f"[green]all {findings.healthy} healthy[/]")
    return 0


def _examine_all(findings: Findings, stack: ExitStack) -> None:
    findings.examine("Python", checks.check_python)
    if not findings.examine("settings", checks.check_settings):
        return  # nothing can be looked for without knowing where
    findings.examine("strategies", checks.check_strategies)
    has_home = findings.examine("home", checks.check_home)
    bundled: set[str] = set()
    has_gateway = findings.examine("paper gateway", _after(has_home, "the home", lambda: checks.check_gateway(stack)))
    findings.examine("PostgreSQL", _after(has_home, "the home", lambda: checks.check_postgres(stack, bundled)))
    for name, setting, check in (
        ("ledger", "ledger_database_url", checks.check_ledger),
        ("MLflow", "mlflow_tracking_uri", checks.check_mlflow),
        ("Dagster", "dagster_database_url", checks.check_dagster),
    ):
        is_somewhere = getattr(get_settings(), setting) is not None
        findings.examine(name, _after(is_somewhere, "PostgreSQL", partial(check, bundled)))
    findings.examine("lake", checks.check_lake)
    has_broker = findings.examine("broker", _after(has_gateway, "the paper gateway", checks.check_broker))
    findings.examine("market data", _after(has_broker, "the broker", checks.check_market_data))
    findings.examine("code location", checks.check_code_location)


def _after(is_healthy: bool, needed: str, check: Callable[[], str]) -> Callable[[], str]:
    """``check``, unless what it needs is broken."""

    def refuse() -> str:
        msg = f"not checked: it needs {needed}"
        raise NotCheckedError(msg)

    return check if is_healthy else refuse
