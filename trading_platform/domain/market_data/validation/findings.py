"""What the rules found, collected: which rows are set aside, which are only held or warned of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from trading_platform.domain.market_data.spans import Bools, Int64s
from trading_platform.domain.market_data.validation.model import Action
from trading_platform.domain.market_data.validation.table import BarTable, Judge

Detail = Callable[[int], str] | str
"""The numbers in words; a function is asked only for rows that are listed."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with row ``row`` of the table, in words with its numbers."""

    row: int
    code: str
    detail: str
    action: Action
    is_blocking: bool


class Check(Protocol):
    """One rule or several that share their work, over all rows that are still believed."""

    def __call__(self, table: BarTable, judge: Judge, found: Findings) -> None:
        """Add what is wrong to ``found``."""
        ...


@dataclass
class Findings:
    """The findings so far. ``is_out`` marks rows that are set aside or removed; rules look at the others only."""

    table: BarTable
    judge: Judge
    is_out: Bools = field(init=False)
    is_released: Bools = field(init=False)
    entries: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.is_out = np.zeros(len(self.table), dtype=np.bool_)
        self.is_released = np.zeros(len(self.table), dtype=np.bool_)

    @property
    def believed(self) -> Int64s:
        """The rows that are not set aside."""
        return np.flatnonzero(~self.is_out)

    def convict(self, code: str, rows: Iterable[int], detail: Detail, *, is_blocking: bool = True) -> None:
        """Set rows aside, unless they are already or are only context."""
        for row in rows:
            if not self.is_out[row] and self.table.order[row] < self.table.raw_rows:
                self.is_out[row] = True
                self.entries.append(Finding(int(row), code, _words(detail, row), "quarantined", is_blocking))

    def repair(self, code: str, rows: Iterable[int], detail: Detail, *, is_removed: bool = False) -> None:
        """Record what was put right."""
        for row in rows:
            self.is_out[row] |= is_removed
            self.entries.append(Finding(int(row), code, _words(detail, row), "repaired", is_blocking=False))

    def judge_rows(self, code: str, rows: Iterable[int], detail: Detail) -> None:
        """Quarantine, hold or report rows, as the configuration says; what a person released is let be."""
        severity = self.judge.rules.severity(code)
        if severity == "ignore":
            return
        mine = [row for row in rows if not self.is_released[row]]
        if severity == "quarantine":
            self.convict(code, mine, detail)
            return
        action: Action = "held" if severity == "hold" else "warned"
        for row in mine:
            if not self.is_out[row] and self.table.order[row] < self.table.raw_rows:
                self.entries.append(
                    Finding(int(row), code, _words(detail, row), action, is_blocking=severity == "hold")
                )

    def cleared(self) -> Sequence[Finding]:
        """The entries, without what was merely suspected of rows that were then set aside."""
        return [
            entry for entry in self.entries if entry.action in ("quarantined", "repaired") or not self.is_out[entry.row]
        ]


def _words(detail: Detail, row: int) -> str:
    return detail if isinstance(detail, str) else detail(int(row))
