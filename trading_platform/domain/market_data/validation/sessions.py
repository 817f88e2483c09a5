"""Where a bar may start: in its session, on the grid of its size, not after now. And stamps by another convention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trading_platform.domain.market_data.spans import MISSING, Bools, Int64s
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.table import BarTable, Judge

HOUR = 3_600_000_000_000
MINUTE = 60_000_000_000
MAX_SHIFT_HOURS = 14
MIN_SHIFTED_BARS = 10
"""So many bars must say the same before a shift of the clock is believed."""


def repair_daily_stamps(table: BarTable, judge: Judge, found: Findings) -> None:
    """Move daily bars that are stamped with open, close or local midnight of their session to its midnight in UTC."""
    if not judge.is_daily or not len(table.spans.days):
        return
    known = np.flatnonzero((table.position != MISSING) & (table.stamps != table.spans.midnights[table.position]))
    if not len(known):
        return
    spans, position, stamps = table.spans, table.position[known], table.stamps[known]
    local_midnight = spans.midnights[position] - spans.offsets[position]
    is_other = (stamps == spans.opens[position]) | (stamps == spans.closes[position]) | (stamps == local_midnight)
    rows = known[is_other & ~found.is_out[known]]
    before = {int(row): table.when(row) for row in rows}
    table.stamps[rows] = spans.midnights[table.position[rows]]
    found.repair("daily_stamp", rows, lambda row: f"stamped {before[row]}, moved to {table.when(row)}")


def repair_end_stamps(table: BarTable, judge: Judge, found: Findings) -> None:
    """Move the bars of a session to their starts, if their stamps prove that these are ends.

    A symbol proves it with a bar at the close, where none can start, none at the open, and none outside. One that
    has a bar at the open contradicts: then each symbol needs a proof of its own. Only settled sessions are looked at:
    before the close there is no such proof.
    """
    if judge.is_daily or judge.calendar.is_always_open or not len(table):
        return
    groups = _groups(table, found.is_out, judge)
    opens, closes = table.spans.opens[groups.position], table.spans.closes[groups.position]
    is_within = (groups.first > opens) & (groups.last <= closes) & (closes <= judge.now)
    is_proof = is_within & (groups.last == closes) & (groups.end - groups.begin >= MIN_SHIFTED_BARS)
    is_proved, is_denied = (np.zeros(len(table.spans.days), dtype=np.bool_) for _ in range(2))
    is_proved[groups.position[is_proof]] = True
    is_denied[groups.position[groups.first == opens]] = True
    is_ended = is_proof | (is_within & (is_proved & ~is_denied)[groups.position])
    for begin, end in zip(groups.begin[is_ended], groups.end[is_ended], strict=True):
        rows = groups.rows[begin:end]
        into_grid = (table.stamps[rows] + table.spans.offsets[table.position[rows]]) % judge.length
        starts = table.stamps[rows] - np.where(into_grid == 0, judge.length, into_grid)
        table.stamps[rows] = np.maximum(starts, table.spans.opens[table.position[rows]])
        found.repair("end_stamped", rows, lambda row: f"stamped with its end, moved to {table.when(row)}")


def check_sessions(table: BarTable, judge: Judge, found: Findings) -> None:
    """Convict bars of no session, outside their session, off the grid, or of the future."""
    spans = table.spans
    is_unknown = table.position == MISSING
    found.convict(
        "not_a_session",
        np.flatnonzero(is_unknown),
        lambda row: (
            f"session {table.label_names[table.labels[row]]} of {judge.calendar.name}, bar at {table.when(row)}"
        ),
    )
    if not len(spans.days):
        return
    if judge.is_daily:
        is_outside = table.stamps != spans.midnights[table.position]
        begins = spans.opens[table.position]
    else:
        _check_time_zones(table, judge, found)
        before = judge.rules.extended_before_minutes * MINUTE
        after = judge.rules.extended_after_minutes * MINUTE
        begins = table.stamps
        opens = spans.opens[table.position]
        is_outside = (begins < opens - before) | (begins >= spans.closes[table.position] + after)
        is_off = (begins != opens) & ((begins + spans.offsets[table.position]) % judge.length != 0)
    found.convict(
        "outside_session",
        np.flatnonzero(is_outside),
        lambda row: f"bar at {table.when(row)}, {_hours(table, row)}",
    )
    if not judge.is_daily:
        found.convict(
            "off_grid", np.flatnonzero(is_off), lambda row: f"bar at {table.when(row)}, bar size {judge.bar_size}"
        )
    found.convict(
        "future_bar",
        np.flatnonzero(begins > judge.now),
        lambda row: f"bar at {table.when(row)}, as of {judge.as_of.isoformat()}",
    )


def _check_time_zones(table: BarTable, judge: Judge, found: Findings) -> None:
    """Convict all bars of a symbol's settled session that fit it only if all are moved by some whole hours.

    Those that happen to lie within the session are as wrong as the others. Feeds with extended hours can't be told.
    """
    has_extended = judge.rules.extended_before_minutes or judge.rules.extended_after_minutes
    if judge.calendar.is_always_open or has_extended or not len(table):
        return
    groups = _groups(table, found.is_out, judge)
    opens, closes = table.spans.opens[groups.position], table.spans.closes[groups.position]
    is_strange = ((groups.first < opens) | (groups.last >= closes)) & (closes <= judge.now)
    for nth in np.flatnonzero(is_strange):
        rows = groups.rows[groups.begin[nth] : groups.end[nth]]
        is_within = (table.stamps[rows] >= opens[nth]) & (table.stamps[rows] < closes[nth])
        if len(rows) < MIN_SHIFTED_BARS or is_within.mean() > 0.5:
            continue
        hours = -round((groups.first[nth] - opens[nth]) / HOUR)
        moved_first, moved_last = groups.first[nth] + hours * HOUR, groups.last[nth] + hours * HOUR
        if 0 < abs(hours) <= MAX_SHIFT_HOURS and moved_first >= opens[nth] and moved_last < closes[nth]:
            found.convict(
                "time_zone_shift",
                rows,
                f"{len(rows)} bars of the session fit it if moved by {hours:+d} hours",
            )


@dataclass(frozen=True)
class _Groups:
    """The believed rows of each symbol and session: ``rows[begin:end]``, with the first and the last stamp."""

    rows: Int64s
    begin: Int64s
    end: Int64s
    position: Int64s
    first: Int64s
    last: Int64s


def _groups(table: BarTable, is_out: Bools, judge: Judge) -> _Groups:
    rows = np.flatnonzero(~is_out & (table.position != MISSING) & ~table.is_context)
    symbols, position = table.symbols[rows], table.position[rows]
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (symbols[1:] != symbols[:-1]) | (position[1:] != position[:-1])
    begin = np.flatnonzero(is_first)
    end = np.append(begin[1:], len(rows))
    stamps = table.stamps[rows]
    return _Groups(rows, begin, end, position[begin], stamps[begin], stamps[end - 1] if len(rows) else stamps)


def _hours(table: BarTable, row: int) -> str:
    position = table.position[row]
    opens, closes = (pd.Timestamp(int(each[position]), tz="UTC") for each in (table.spans.opens, table.spans.closes))
    return f"session {table.spans.days[position]} is {opens.isoformat()} to {closes.isoformat()}"
