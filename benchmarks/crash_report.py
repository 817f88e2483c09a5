"""What the crash program counts, and how it shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from common import machine
from crash_audit import Audit

from trading_platform.domain.orders.model import OrderStatus


@dataclass
class Figures:
    """What happened."""

    crashes: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    runs: int = 0
    twins: int = 0
    sessions: int = 0
    given_up: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many crashes have struck."""
        return sum(self.crashes.values())


def where_it_struck(statuses: list[OrderStatus] | None) -> str:
    """Where a crash struck, by the statuses it left behind."""
    if statuses is None:
        return "1 before the tick was decided"
    wanted = [status for status in statuses if status is not OrderStatus.REJECTED]
    waiting = sum(status is OrderStatus.APPROVED for status in wanted)
    if waiting == len(wanted):
        return "2 decided, nothing sent yet"
    doubt = OrderStatus.UNKNOWN in wanted or OrderStatus.SUBMITTING in wanted
    if waiting:
        third = ("early", "middle", "late")[min(2, int(3 * (len(wanted) - waiting) / len(wanted)))]
        return f"3 while sending, {third}" + (", an order in doubt" if doubt else "")
    return "4 all sent, an order in doubt" if doubt else "5 all sent, while waiting for fills or reconciling"


def report(figures: Figures, result: Audit, seed: int, seconds: float) -> None:
    """Print the figures as Markdown."""
    print(f"\nCrashes, seed {seed}\n{machine()}\n\n| what | number |\n|---|---|")
    rows = {
        "crashes that struck": figures.total,
        **{f"… {kind}": number for kind, number in sorted(figures.crashes.items())},
        "sessions": figures.sessions,
        "ticks": figures.ticks,
        "ticks that nobody ran again": figures.given_up,
        "runs (processes)": figures.runs,
        "two runs of a tick at once": figures.twins,
        **{f"runs that {how}": number for how, number in sorted(figures.exits.items())},
        "orders at the broker": result.orders,
        "of them sent in place of another": result.replacements,
        "fills": result.executions,
        "positions": result.positions,
        "cash at the end, USD": result.cash,
        "differences": len(result.differences),
        "seconds": f"{seconds:.0f}",
    }
    for name, number in rows.items():
        print(f"| {name} | {number} |")
    for title, counted in (("Where they struck", figures.struck), ("Points", figures.points)):
        print(f"\n{title}\n")
        widest = max(counted.values(), default=1)
        for name, number in sorted(counted.items()):
            print(f"{name:58s} {number:5d} {'#' * round(40 * number / widest)}")
