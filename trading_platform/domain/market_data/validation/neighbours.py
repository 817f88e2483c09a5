"""Bars that could be, but that the bars around them do not support.

Candidates are found with a few comparisons over whole arrays; only they are looked at one by one.
"""

from __future__ import annotations

import math

import numpy as np

from trading_platform.domain.market_data.spans import Bools
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.series import Series
from trading_platform.domain.market_data.validation.table import Judge

SPLIT_RATIOS = (1.25, 4 / 3, 1.5, *range(2, 11), 15, 20, 25, 30, 40, 50, 100)
"""Ratios that splits and reverse splits have."""
POWERS = (10.0, 100.0, 1000.0)
RETURNS_TO_LEVEL = 0.25
"""An isolated bar's neighbours may differ by this part of its own distance, as logarithms."""


def check_ranges(series: Series, judge: Judge, found: Findings) -> None:
    """Convict bars that mix two scales: their range is a split's ratio, or more than the market moves in a bar.

    On the day of a known split the range is compared with its ratio; on other days with ``range_pct``.
    """
    bars, rules = series.bars, judge.rules
    ex_days = _ex_days(series)
    limit = 1 + rules.range_pct / 100 if rules.range_pct else np.inf
    for row in sorted({*np.flatnonzero(bars.high > bars.low * limit).tolist(), *ex_days}):
        ratio = float(bars.high[row] / bars.low[row])
        known = ex_days.get(row)
        is_split = known is not None and not _is_near(known, 1.0, 2 * rules.split_tolerance_pct)
        if known is not None and is_split and _is_near(ratio, max(known, 1 / known), rules.split_tolerance_pct):
            found.judge_rows(
                "split_day_mixture",
                [series.rows[row]],
                (f"{_range(series, row)}: {ratio:.4g} times, and the session's split is {known:.4g}"),
            )
        elif ratio > limit:
            split = _split_ratio(ratio, rules.split_tolerance_pct)
            mixes = split is not None and split >= 2
            found.judge_rows(
                "split_day_mixture" if mixes else "excessive_range",
                [series.rows[row]],
                (
                    f"{_range(series, row)}: {ratio:.4g} times"
                    + (f", as a split by {split:.4g}" if mixes else f", the limit is {limit:.4g}")
                ),
            )


def check_wicks(series: Series, judge: Judge, found: Findings) -> None:
    """Convict highs and lows that the bar's own open and close and the bars beside it leave far behind."""
    bars, factor = series.bars, 1 + judge.rules.wick_pct / 100
    for row in np.flatnonzero(bars.high > factor * bars.low).tolist():  # a wick is part of the range
        beside = _beside(series, row)
        body = float(bars.open[row]), float(bars.close[row])
        top = max([*body, *(float(bars.high[other]) for other in beside)])
        bottom = min([*body, *(float(bars.low[other]) for other in beside)])
        high, low = float(bars.high[row]), float(bars.low[row])
        if high > factor * top and high - top >= judge.rules.min_move:
            numbers = f"high {high:.10g} is {high / top:.4g} times {top:.10g}, the highest of"
        elif low * factor < bottom and bottom - low >= judge.rules.min_move:
            numbers = f"low {low:.10g} is {low / bottom:.4g} times {bottom:.10g}, the lowest of"
        else:
            continue
        what = "open, close and the bar before" + (" and after" if row + 1 in beside else "")
        found.judge_rows("bad_print", [series.rows[row]], f"{numbers} {what}")


def check_isolated(series: Series, judge: Judge, found: Findings) -> None:
    """Convict whole bars above or below both neighbours, where the price is back at once."""
    bars, factor = series.bars, 1 + judge.rules.isolated_pct / 100
    is_up, is_down = _gaps(series, factor)
    if not is_up.any():
        return
    is_peak = np.zeros(len(series), dtype=np.bool_)
    is_peak[1:-1] = (is_up[1:-1] & is_down[2:]) | (is_down[1:-1] & is_up[2:])
    for row in np.flatnonzero(is_peak & series.is_settled).tolist():
        before, here, after = (float(bars.close[row + step]) for step in (-1, 0, 1))
        distance = abs(math.log(here / before))
        is_back = abs(math.log(after / before)) <= RETURNS_TO_LEVEL * distance
        if is_back and abs(here - before) >= judge.rules.min_move:
            found.judge_rows(
                "isolated_bar",
                [series.rows[row]],
                (f"{_range(series, row)}, close {here:.10g}; closes before and after {before:.10g} and {after:.10g}"),
            )


def check_scale(series: Series, judge: Judge, found: Findings) -> None:
    """Convict bars at ten, a hundred or a thousand times the last believed prices, or that part of them.

    As long as the prices stay there, each bar is compared with the last one before they went.
    """
    bars, tolerance = series.bars, judge.rules.scale_tolerance_pct
    for start in series.far:
        if found.is_out[series.rows[start]] or found.is_out[series.rows[start - 1]]:
            continue
        base, row = float(bars.close[start - 1]), int(start)
        while row < len(series) and (row == start or series.is_joined[row]):
            ratios = [float(getattr(bars, name)[row]) / base for name in ("open", "close")]
            power = next((p for p in POWERS if all(_is_near(max(r, 1 / r), p, tolerance) for r in ratios)), None)
            if power is None or (ratios[0] > 1) != (ratios[1] > 1):
                break
            found.judge_rows(
                "scale_error",
                [series.rows[row]],
                (
                    f"open {bars.open[row]:.10g}, close {bars.close[row]:.10g}: off by {power:g} "
                    f"from the last believed close {base:.10g}"
                ),
            )
            row += 1


def check_jumps(series: Series, judge: Judge, found: Findings) -> None:
    """Hold bars whose close is further from the last believed close than believed, known splits taken into account."""
    bars, rules = series.bars, judge.rules
    factor = 1 + rules.jump_pct / 100
    out = found.is_out[series.rows]
    after_convicted = np.flatnonzero(out) + 1  # to be compared with the bar before that one
    candidates = {*series.far.tolist(), *series.split, *after_convicted[after_convicted < len(series)].tolist()}
    for row in sorted(candidates):
        before, ratio = (None, 1.0) if out[row] else _last_believed(series, row, out)
        if before is None:
            continue
        base, here = float(bars.close[before]) / ratio, float(bars.close[row])
        jump = max(here / base, base / here)
        if jump <= factor or abs(here - base) < rules.min_move:
            continue
        split = _split_ratio(jump, rules.split_tolerance_pct)
        numbers = f"close {here:.10g} after {float(bars.close[before]):.10g}" + (
            f", split by {ratio:.4g}" if ratio != 1 else ""
        )
        found.judge_rows(
            "unexplained_jump" if split is None else "split_like_jump",
            [series.rows[row]],
            f"{numbers}: {jump:.4g} times"
            + (f", as a split by {split:.4g}" if split is not None else f", the limit is {factor:.4g}"),
        )


def check_repeats(series: Series, judge: Judge, found: Findings) -> None:
    """Hold bars that repeat the one before to the last digit, though something was traded and the price moved."""
    bars = series.bars
    candidates = np.zeros(len(series), dtype=np.bool_)
    is_equal = (bars.volume[1:] == bars.volume[:-1]) & (bars.close[1:] == bars.close[:-1])
    candidates[1:] = series.is_joined[1:] & is_equal
    rows = np.flatnonzero(candidates)
    rows = rows[(bars.volume[rows] > 0) & (bars.high[rows] > bars.low[rows])]
    for name in ("open", "high", "low"):
        rows = rows[getattr(bars, name)[rows] == getattr(bars, name)[rows - 1]]
    repeats = set(rows.tolist())
    for row in rows.tolist():
        run = 1
        while row - run in repeats:
            run += 1
        if run >= judge.rules.stale_bars:
            found.judge_rows(
                "stale_repeat",
                [series.rows[row]],
                (
                    f"{_range(series, row)}, close {bars.close[row]:.10g}, volume {bars.volume[row]:.10g}: "
                    f"the same {run + 1} times"
                ),
            )


def check_gaps(series: Series, judge: Judge, found: Findings) -> None:
    """Report the first bar after so many missing sessions that the ticker may be somebody else's."""
    del judge
    bars = series.bars
    for row in series.gaps.tolist():
        found.judge_rows(
            "long_gap",
            [series.rows[row]],
            (
                f"{bars.position[row] - bars.position[row - 1] - 1} sessions without a bar; "
                f"close {bars.close[row]:.10g} after {bars.close[row - 1]:.10g}"
            ),
        )


def _beside(series: Series, row: int) -> list[int]:
    """The bar before, and the bar after if the bar's session is settled; as far as they can be compared."""
    beside = [row - 1] if series.is_joined[row] else []
    if row + 1 < len(series) and series.is_joined[row + 1] and series.is_settled[row]:
        beside.append(row + 1)
    return beside


def _gaps(series: Series, factor: float) -> tuple[Bools, Bools]:
    """Whether each bar lies wholly above, or wholly below, the one before by ``factor``."""
    bars = series.bars
    is_up, is_down = (np.zeros(len(series), dtype=np.bool_) for _ in range(2))
    is_up[1:] = series.is_joined[1:] & (bars.low[1:] > factor * bars.high[:-1])
    is_down[1:] = series.is_joined[1:] & (bars.high[1:] * factor < bars.low[:-1])
    return is_up, is_down


def _last_believed(series: Series, row: int, out: Bools) -> tuple[int | None, float]:
    """The last bar before ``row`` that is not set aside, and the ratio of the known splits since."""
    ratio, before = series.split.get(row, 1.0), row
    while series.is_joined[before] or before in series.split:
        before -= 1
        if not out[before]:
            return before, ratio
        ratio *= series.split.get(before, 1.0)
    return None, ratio


def _ex_days(series: Series) -> dict[int, float]:
    """All bars of the sessions in which known splits took effect, with the split's ratio."""
    found: dict[int, float] = {}
    for first, ratio in series.split.items():
        row = first
        while row < len(series) and series.bars.position[row] == series.bars.position[first]:
            if row > first and not series.is_same[row]:
                break
            found[row] = ratio
            row += 1
    return found


def _split_ratio(ratio: float, tolerance_pct: float) -> float | None:
    """The ratio of a split that ``ratio`` is as good as equal to."""
    return next((float(known) for known in SPLIT_RATIOS if _is_near(ratio, known, tolerance_pct)), None)


def _is_near(value: float, other: float, tolerance_pct: float) -> bool:
    return abs(math.log(value / other)) <= math.log1p(tolerance_pct / 100)


def _range(series: Series, row: int) -> str:
    bars = series.bars
    return f"open {bars.open[row]:.10g}, high {bars.high[row]:.10g}, low {bars.low[row]:.10g}"
