"""Volumes that say something about where bars come from."""

from __future__ import annotations

import math

import numpy as np

from trading_platform.domain.market_data.spans import Int64s
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.series import Series
from trading_platform.domain.market_data.validation.table import Floats, Judge


def check_zero_volumes(series: Series, judge: Judge, found: Findings) -> None:
    """Report bars in which nothing was traded: their prices are somebody's last ones, and no one could have them."""
    del judge
    bars = series.bars
    found.judge_rows(
        "zero_volume",
        series.rows[np.flatnonzero(bars.volume == 0)],
        lambda row: f"volume 0, close {found.table.close[row]:.10g}",
    )


def check_volume_shifts(series: Series, judge: Judge, found: Findings) -> None:
    """Report where the usual volume changes for good: the mean logarithm of a window before and of one after.

    A window of ``volume_window`` bars before the bar and one from it on must lie within the symbol's bars, and the
    bar's session must be settled. Of neighbouring bars that say so the one with the largest change is named, and none
    as long as the change may still grow.
    """
    window = judge.rules.volume_window
    if judge.rules.severity("volume_shift") == "ignore" or len(series) < 2 * window:
        return
    sums = np.concatenate([[0.0], np.cumsum(np.log1p(series.bars.volume))])
    symbols = series.bars.symbols
    change = sums[2 * window :] - 2 * sums[window:-window] + sums[: -2 * window]
    rows = np.flatnonzero(np.abs(change) > window * math.log(judge.rules.volume_factor)) + window
    rows = rows[symbols[rows - window] == symbols[rows + window - 1]]
    change = change[rows - window] / window
    peaks = _peaks(rows, np.abs(change), window)
    last = np.append(symbols, -1)[np.minimum(rows + window, len(symbols))] != symbols[rows]
    signed = {
        int(series.rows[rows[at]]): float(change[at]) for at in peaks if series.is_settled[rows[at]] and not last[at]
    }
    found.judge_rows(
        "volume_shift",
        list(signed),
        lambda row: f"usual volume is {math.exp(signed[row]):.4g} times that of the {window} bars before",
    )


def _peaks(rows: Int64s, sizes: Floats, window: int) -> list[int]:
    """Of rows nearer to each other than ``window`` the one with the largest size: positions among the rows."""
    peaks: list[int] = []
    begin = 0
    for nth in range(1, len(rows) + 1):
        if nth == len(rows) or rows[nth] - rows[nth - 1] > window:
            peaks.append(begin + int(np.argmax(sizes[begin:nth])))
            begin = nth
    return peaks
