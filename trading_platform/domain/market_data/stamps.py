"""Stamps of bars by other conventions, brought to ours: the start, in UTC; of daily bars midnight UTC of the session.

Instants and wall times are nanoseconds since the epoch; a wall time counts as if its zone were UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.bars import DAILY, bar_length
from trading_platform.domain.market_data.sources import Stamps
from trading_platform.domain.market_data.spans import MISSING, Bools, Int64s, SessionSpans
from trading_platform.domain.signals.spec import BarSize

DAY = 86_400_000_000_000


def starts_of(
    instants: Int64s, bar_size: BarSize, stamps: Stamps, calendar: TradingCalendar, zone: ZoneInfo | None = None
) -> Int64s:
    """Starts of the bars that are stamped with ``instants`` by the convention ``stamps``.

    ``end``: the bar began its length before, but not before its session's open if it ends on the grid; one that ends
    with the session began at the last grid point before. ``zone`` is needed for ``date`` only: where an instant has the
    session's date. Daily bars that lie in no session get their date on the market's clock. Nothing is judged.
    """
    if stamps == "date":
        return midnights(instants, ZoneInfo("UTC") if zone is None else zone)
    spans = SessionSpans.around(calendar, instants)
    inside = instants - 1 if stamps == "end" else instants
    position = spans.containing(inside)
    if bar_size == DAILY:
        starts = midnights(inside, calendar.time_zone)
        is_known = position != MISSING
        starts[is_known] = spans.midnights[position[is_known]]
        return starts
    if stamps == "start" or not len(spans.days):
        return instants - (int(bar_length(bar_size).total_seconds()) * 1_000_000_000 if stamps == "end" else 0)
    length = int(bar_length(bar_size).total_seconds()) * 1_000_000_000
    into_grid = (instants + spans.offsets[position]) % length
    is_close = instants == spans.closes[position]
    starts = instants - np.where(is_close & (into_grid > 0), into_grid, length)
    is_whole = (position != MISSING) & ((into_grid == 0) | is_close)
    return np.where(is_whole, np.maximum(starts, spans.opens[position]), starts)


@dataclass(frozen=True)
class Localized:
    """Wall times as instants. Where one can't be told, ``instants`` has a possible one, for saying where it lies."""

    instants: Int64s
    is_ambiguous: Bools
    is_nonexistent: Bools


def localize(walls: Int64s, zone: ZoneInfo, stamps: Stamps, calendar: TradingCalendar) -> Localized:
    """The instants of wall times in ``zone``.

    Of the hour that the clock shows twice in autumn the one within the market's session is meant, if only one is.
    Where both or none are, nothing tells them apart; in spring an hour does not exist. Neither is guessed.
    """
    index = pd.DatetimeIndex(walls.view("datetime64[ns]"))
    earlier, later = (
        index.tz_localize(zone, ambiguous=np.full(len(index), is_summer), nonexistent="shift_forward")
        for is_summer in (True, False)
    )
    first, second = (np.asarray(one.as_unit("ns").asi8, dtype=np.int64) for one in (earlier, later))
    is_nonexistent = np.asarray(earlier.tz_localize(None).as_unit("ns").asi8, dtype=np.int64) != walls
    is_double = first != second
    if not is_double.any():
        return Localized(first, is_double, is_nonexistent)
    spans = SessionSpans.around(calendar, first)
    shift = 1 if stamps == "end" else 0
    is_first, is_second = (spans.containing(one - shift) != MISSING for one in (first, second))
    instants = np.where(is_double & is_second & ~is_first, second, first)
    return Localized(instants, is_double & (is_first == is_second), is_nonexistent)


def midnights(instants: Int64s, zone: ZoneInfo) -> Int64s:
    """Midnight UTC of each instant's date in ``zone``."""
    walls = pd.DatetimeIndex(instants.view("datetime64[ns]"), tz="UTC").tz_convert(zone).tz_localize(None)
    return np.asarray(walls.as_unit("ns").asi8, dtype=np.int64) // DAY * DAY
