"""What the vendor says about the past now, against what it said when that was stored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trading_platform.domain.market_data.spans import nanoseconds
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.model import VALUES
from trading_platform.domain.market_data.validation.table import BarTable, Judge

FEW = 10
"""Up to so many revised bars of a symbol are listed one by one; more are told in one line."""


def check_revisions(table: BarTable, judge: Judge, found: Findings, stored: pd.DataFrame | None) -> None:
    """Report finished bars that came with other values than are stored.

    Args:
        table: the bars.
        judge: ``revision_pct`` is how far a value may be from the stored one.
        found: gets the findings.
        stored: columns ``symbol, ts_utc, open, high, low, close, volume, is_final``: what was believed before.
    """
    if stored is None or stored.empty or judge.rules.severity("vendor_revision") == "ignore":
        return
    old = stored[stored["is_final"].astype(bool)]
    codes = {str(name): code for code, name in enumerate(table.names)}
    symbols = old["symbol"].map(codes)
    old, symbols = old[symbols.notna()], symbols.dropna().astype(np.int64)
    rows = found.believed
    rows = rows[~table.is_context[rows]]
    mine = pd.MultiIndex.from_arrays([table.symbols[rows], table.stamps[rows]])
    place = mine.get_indexer(pd.MultiIndex.from_arrays([symbols.to_numpy(), nanoseconds(old["ts_utc"])]))
    old, row_of = old[place >= 0], rows[place[place >= 0]]
    before = {name: old[name].to_numpy(dtype=np.float64) for name in VALUES}
    limit = judge.rules.revision_pct / 100
    is_revised = np.zeros(len(row_of), dtype=np.bool_)
    for name in VALUES:
        now = getattr(table, name)[row_of]
        is_revised |= np.abs(now - before[name]) > limit * np.abs(before[name])
    _report(table, found, row_of[is_revised], {name: values[is_revised] for name, values in before.items()})


def _report(
    table: BarTable,
    found: Findings,
    rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    before: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> None:
    for symbol in np.unique(table.symbols[rows]):
        mine = np.flatnonzero(table.symbols[rows] == symbol)
        if len(mine) > FEW:
            ratio = float(np.median(table.close[rows[mine]] / before["close"][mine]))
            text = f"{len(mine)} stored bars were changed; the closes by a factor of {ratio:.6g} (median)"
            found.judge_rows("vendor_revision", [rows[mine[0]]], text)
            continue
        for nth in mine:
            changes = [
                f"{name} {before[name][nth]:.10g} → {getattr(table, name)[rows[nth]]:.10g}"
                for name in VALUES
                if before[name][nth] != getattr(table, name)[rows[nth]]
            ]
            found.judge_rows("vendor_revision", [rows[nth]], ", ".join(changes))
