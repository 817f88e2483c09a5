"""Divides bars into those that can be believed and those that can't, by all rules in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.quality import DataQuality, QualityRules
from trading_platform.domain.market_data.spans import Int64s, nanoseconds
from trading_platform.domain.market_data.validation.decisions import apply_decisions
from trading_platform.domain.market_data.validation.doubles import check_doubles
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.listings import Listings, check_listings
from trading_platform.domain.market_data.validation.model import VALUES, BarDecision, Validation, bar_ids
from trading_platform.domain.market_data.validation.neighbours import (
    check_gaps,
    check_isolated,
    check_jumps,
    check_ranges,
    check_repeats,
    check_scale,
    check_wicks,
)
from trading_platform.domain.market_data.validation.revisions import check_revisions
from trading_platform.domain.market_data.validation.series import Series, Splits, series_of
from trading_platform.domain.market_data.validation.sessions import (
    check_sessions,
    repair_daily_stamps,
    repair_end_stamps,
)
from trading_platform.domain.market_data.validation.structure import check_structure
from trading_platform.domain.market_data.validation.table import BarTable, Judge, bar_table
from trading_platform.domain.market_data.validation.volumes import check_volume_shifts, check_zero_volumes
from trading_platform.domain.signals.spec import BarSize

REQUIRED = ["symbol", "session", "ts_utc", *VALUES]
LOG_COLUMNS = ["bar_id", "reason", "detail", "action", "is_blocking"]

CONVICTING: tuple[Callable[[Series, Judge, Findings], None], ...] = (
    check_ranges,
    check_wicks,
    check_isolated,
    check_scale,
)
"""What makes a bar unfit as a neighbour; the others are judged when these are done."""

SUSPECTING: tuple[Callable[[Series, Judge, Findings], None], ...] = (
    check_jumps,
    check_repeats,
    check_zero_volumes,
    check_gaps,
    check_volume_shifts,
)


def validate_bars(
    raw: pd.DataFrame,
    *,
    bar_size: BarSize,
    calendar: TradingCalendar,
    as_of: datetime,
    rules: QualityRules | None = None,
    context: pd.DataFrame | None = None,
    splits: Splits | None = None,
    stored: pd.DataFrame | None = None,
    decisions: Sequence[BarDecision] = (),
    listings: Listings | None = None,
) -> Validation:
    """Divide raw bars into those that can be believed and those that can't.

    Nothing later than ``as_of`` is believed, and a bar of a session that is still running is judged without the bars
    after it: what is said of it stays the same until its session is settled.

    Args:
        raw: columns ``symbol, session, ts_utc`` (tz-aware) ``, open, high, low, close, volume`` (floats) and any
            others, in any order. Rows may be unsorted; that is repaired, not punished.
        bar_size: size of the bars.
        calendar: the market's calendar.
        as_of: tz-aware; no bar may start after it.
        rules: severities and thresholds; unset: the defaults for the bar size.
        context: believed bars of other sessions, with the same columns: neighbours, not to be judged.
        splits: known splits, by symbol and ex-date; without them a split is a jump that nobody explains.
        stored: what was believed of these bars before, to see what the vendor has changed.
        decisions: what persons decided about bars.
        listings: the dated tickers of instruments that have some; bars of other sessions are not theirs.

    Among rows that differ only in other columns the final and then the earliest received one is kept. A double
    of a row that is convicted for itself does not discredit the other.

    The valid bars share memory with ``raw`` where all of it is valid: don't change either in place.

    Raises:
        ValueError: a column is missing or ``ts_utc`` has no time zone.
    """
    absent = [name for name in REQUIRED if name not in raw.columns]
    if absent:
        msg = f"raw bars lack the column(s) {', '.join(absent)}"
        raise ValueError(msg)
    judge = Judge(rules or DataQuality().rules_for(bar_size), bar_size, calendar, as_of)
    table = bar_table(raw, context, calendar)
    found = Findings(table, judge)
    if len(table):
        _apply_rules(table, raw, found, splits or {}, stored, decisions, listings or {})
    return _outcome(raw, table, found)


def _apply_rules(
    table: BarTable,
    raw: pd.DataFrame,
    found: Findings,
    splits: Splits,
    stored: pd.DataFrame | None,
    decisions: Sequence[BarDecision],
    listings: Listings,
) -> None:
    judge = found.judge
    check_structure(table, judge, found)
    check_listings(table, found, listings)
    apply_decisions(table, raw, found, decisions)
    repair_daily_stamps(table, judge, found)
    repair_end_stamps(table, judge, found)
    check_sessions(table, judge, found)
    check_doubles(table, found, lambda rows: _ranked(raw, table, rows))
    series = series_of(table, judge, found, splits)
    for check in CONVICTING:
        check(series, judge, found)
    for check in SUSPECTING:
        check(series, judge, found)
    check_revisions(table, judge, found, stored)


def _ranked(raw: pd.DataFrame, table: BarTable, rows: Int64s) -> Int64s:
    """The order in which doubles are preferred: final before unfinished, then the earliest received."""
    mine = raw.iloc[table.order[rows]]
    unfinished = ~mine["is_final"].astype(bool) if "is_final" in mine else pd.Series(0, index=mine.index)
    received = nanoseconds(mine["received_at_utc"]) if "received_at_utc" in mine else np.zeros(len(mine))
    return np.asarray(np.lexsort((received, unfinished.to_numpy())), dtype=np.int64)


def _outcome(raw: pd.DataFrame, table: BarTable, found: Findings) -> Validation:
    is_valid = ~found.is_out & ~table.is_context
    order = table.order[is_valid]
    is_untouched = len(order) == len(raw) and bool((order == np.arange(len(raw))).all())
    valid = raw.copy(deep=False) if is_untouched else raw.take(order)
    valid.index = pd.RangeIndex(len(valid))
    entries = sorted(found.cleared(), key=lambda entry: (entry.row, entry.code))
    moved = [entry.row for entry in entries if entry.code in ("end_stamped", "daily_stamp")]
    if moved:
        stamps = pd.DatetimeIndex(table.stamps[is_valid]).as_unit("ns").tz_localize("UTC")
        valid = valid.assign(ts_utc=stamps).sort_values(["symbol", "ts_utc"], kind="stable", ignore_index=True)
    log = raw.take(table.order[[entry.row for entry in entries]]).reset_index(drop=True)
    log["bar_id"] = pd.Series(bar_ids(log), dtype=object)
    for name in LOG_COLUMNS[1:-1]:
        log[name] = pd.Series([getattr(entry, name if name != "reason" else "code") for entry in entries], dtype=object)
    log["is_blocking"] = np.array([entry.is_blocking for entry in entries], dtype=np.bool_)
    removed = sum(entry.code == "exact_duplicate" for entry in entries)
    return Validation(valid, log, removed, table.reordered)
