"""The believed bars of each symbol one after the other, and which of them can be compared with the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trading_platform.domain.market_data.spans import Bools, Int64s
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.table import BarTable, Judge

Splits = Mapping[str, Mapping[str, float]]
"""Known splits: new shares per old by symbol and session (ISO date of the ex-date)."""


@dataclass(frozen=True)
class Series:
    """Believed bars, context included. All arrays run over ``bars``; ``rows`` are their places in the whole table.

    ``is_joined[i]``: bar ``i`` follows bar ``i - 1`` of the same symbol, near enough to be compared with it, and no
    known split lies between. ``is_settled``: the bar's session has closed, so that later bars may speak for or
    against it. ``far`` are the bars whose close is so far from that of the bar they are joined to that it has to be
    looked at, ``gaps`` those that follow a gap too long to compare over. ``split[i]``: ratio of a known split whose
    first bar is ``i``, if there is one.
    """

    bars: BarTable
    rows: Int64s
    is_same: Bools
    is_joined: Bools
    is_settled: Bools
    far: Int64s
    gaps: Int64s
    split: Mapping[int, float]

    def __len__(self) -> int:
        return len(self.rows)


def series_of(table: BarTable, judge: Judge, found: Findings, splits: Splits) -> Series:
    """Line up the rows that are still believed."""
    rows = found.believed
    bars = table if len(rows) == len(table) else table.take(rows)
    is_same = np.zeros(len(rows), dtype=np.bool_)
    is_same[1:] = bars.symbols[1:] == bars.symbols[:-1]
    distance = np.zeros(len(rows), dtype=np.int64)
    distance[1:] = bars.position[1:] - bars.position[:-1]
    is_joined = is_same & (distance <= judge.rules.gap_sessions)
    gaps = np.flatnonzero(is_same & (distance > judge.rules.gap_sessions))
    known = _known_splits(bars, is_same, splits)
    is_joined[list(known)] = False
    factor = 1 + judge.rules.jump_pct / 100
    is_far = (bars.close[1:] > factor * bars.close[:-1]) | (bars.close[1:] * factor < bars.close[:-1])
    far = np.flatnonzero(is_far & is_joined[1:]) + 1
    is_open = np.append(bars.spans.closes > judge.now, False)  # the last one is what MISSING points to
    is_settled = ~is_open[bars.position] if is_open.any() else np.ones(len(rows), dtype=np.bool_)
    return Series(bars, rows, is_same, is_joined, is_settled, far, gaps, known)


def _known_splits(bars: BarTable, is_same: Bools, splits: Splits) -> dict[int, float]:
    """The first bar on or after each ex-date, with the product of the ratios of all splits since the bar before."""
    found: dict[int, float] = {}
    for symbol, of_symbol in splits.items():
        code = np.flatnonzero(bars.names == symbol)
        if not len(code):
            continue
        first, last = np.searchsorted(bars.symbols, [code[0], code[0] + 1])
        for day, ratio in of_symbol.items():
            position = int(np.searchsorted(np.asarray(bars.spans.days, dtype=object), day))
            row = int(first + np.searchsorted(bars.position[first:last], position))
            if row < last and is_same[row]:
                found[row] = found.get(row, 1.0) * ratio
    return found
