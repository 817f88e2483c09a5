"""Rows of the same symbol and time: copies are removed and recorded, contradictions are set aside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading_platform.domain.market_data.spans import Bools, Int64s
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.model import VALUES
from trading_platform.domain.market_data.validation.structure import in_words
from trading_platform.domain.market_data.validation.table import BarTable

Ranked = Callable[[Int64s], Int64s]
"""Puts some rows in the order in which they are preferred: positions among them."""


def check_doubles(table: BarTable, found: Findings, ranked: Ranked) -> None:
    """Of rows with equal values the first by ``ranked`` is kept.

    Where values differ nobody is believed, unless a person released one of the rows: then the others are set aside,
    and block nobody.
    """
    rows = found.believed
    symbols, stamps = table.symbols[rows], table.stamps[rows]
    is_repeat: Bools = (symbols[1:] == symbols[:-1]) & (stamps[1:] == stamps[:-1])
    if not is_repeat.any():
        return
    begins = np.flatnonzero(np.append(True, ~is_repeat))
    ends = np.append(begins[1:], len(rows))
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        _judge_group(table, found, rows[begin:end], ranked)


def _judge_group(table: BarTable, found: Findings, group: Int64s, ranked: Ranked) -> None:
    mine = group[~table.is_context[group]]
    if not len(mine):
        return
    released = mine[found.is_released[mine]]
    values = np.stack([getattr(table, name)[mine] for name in VALUES])
    if (values == values[:, :1]).all():
        keep = mine[ranked(mine)[0]]
        found.repair(
            "exact_duplicate",
            mine[mine != keep],
            lambda row: f"{in_words(table, row)}; one of {len(mine)} is kept",
            is_removed=True,
        )
    elif len(released):
        keep = released[ranked(released)[0]]
        found.convict(
            "conflicting_duplicate",
            mine[mine != keep],
            lambda row: f"{in_words(table, row)}; another of the {len(mine)} was released",
            is_blocking=False,
        )
    else:
        found.convict("conflicting_duplicate", mine, lambda row: f"{in_words(table, row)}; {len(mine)} rows differ")
