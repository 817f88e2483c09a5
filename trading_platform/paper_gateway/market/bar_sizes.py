"""Bar sizes as TWS spells them, and bars of minutes put together to longer ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal

import numpy as np

from trading_platform.paper_gateway.market.bridge import DayBar, Floats, MinuteBars
from trading_platform.paper_gateway.market.sessions import UTC, SessionIndex, from_minute
from trading_platform.paper_gateway.model import Bar

BAR_SIZE_MINUTES: dict[str, int] = {
    "1 min": 1,
    "2 mins": 2,
    "3 mins": 3,
    "5 mins": 5,
    "10 mins": 10,
    "15 mins": 15,
    "20 mins": 20,
    "30 mins": 30,
    "1 hour": 60,
    "2 hours": 120,
    "3 hours": 180,
    "4 hours": 240,
    "8 hours": 480,
}
"""Intraday bar sizes and their length in minutes."""

Period = Literal["day", "week", "month"]
BAR_SIZE_PERIODS: dict[str, Period] = {
    "1 day": "day",
    "1 week": "week",
    "1W": "week",
    "1 month": "month",
    "1M": "month",
}
"""Bar sizes of a day and longer."""

_SHARES_PER_TRADE = 100.0
_FRACTIONS_PER_TRADE = 0.05


@dataclass(frozen=True, eq=False)
class BarTable:
    """Bars of one session as arrays. ``start`` is the bar's start in minutes since the open."""

    start: Floats
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    wap: Floats


def check_bar_size(bar_size: str) -> None:
    """Raise ``ValueError`` unless the market serves ``bar_size``."""
    if bar_size not in BAR_SIZE_MINUTES and bar_size not in BAR_SIZE_PERIODS:
        msg = f"bar size {bar_size!r} is not served: use one of {', '.join([*BAR_SIZE_MINUTES, *BAR_SIZE_PERIODS])}"
        raise ValueError(msg)


def aggregate(minutes: MinuteBars, until: int, step: int, phase: int = 0) -> BarTable:
    """The first ``until`` minutes as bars of ``step`` minutes. Stretches without trade give no bar.

    The first bar starts at the open and is ``phase`` minutes shorter than the others, which start at whole steps of the
    market's clock.
    """
    at = np.flatnonzero(minutes.has_bar[:until])
    if len(at) == 0:
        nothing = np.zeros(0)
        return BarTable(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    groups = (at + phase) // step
    firsts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))
    lasts = np.append(firsts[1:], len(at)) - 1
    highs, lows, volumes = minutes.high[at], minutes.low[at], minutes.volume[at]
    closes = minutes.close[at]
    typical = (minutes.open[at] + highs + lows + closes) / 4
    volume: Floats = np.add.reduceat(volumes, firsts).round(8)
    value = np.add.reduceat(volumes * typical, firsts)
    close = closes[lasts]
    return BarTable(
        np.maximum(groups[firsts] * step - phase, 0).astype(np.float64),
        minutes.open[at][firsts],
        np.maximum.reduceat(highs, firsts),
        np.minimum.reduceat(lows, firsts),
        close,
        volume,
        np.where(volume > 0, np.round(value / np.where(volume > 0, volume, 1.0), 6), close),
    )


def bars_of(table: BarTable, open_minute: int, *, is_fractional: bool) -> list[Bar]:
    """The table's rows as bars; the session opens at ``open_minute`` (since 1970)."""
    columns = (table.start, table.open, table.high, table.low, table.close, table.volume, table.wap)
    counts = _trades(table.volume, is_fractional=is_fractional)
    rows = zip(*(column.tolist() for column in columns), counts.tolist(), strict=True)
    return [
        Bar(from_minute(open_minute + int(start)), opened, high, low, close, volume, wap, int(count))
        for start, opened, high, low, close, volume, wap, count in rows
    ]


def day_bar(index: SessionIndex, position: int, day: DayBar, *, is_fractional: bool) -> Bar:
    """A whole session's bar, at midnight UTC of its date."""
    typical = round((day.open + day.high + day.low + day.close) / 4, 6)
    count = int(_trades(np.array([day.volume]), is_fractional=is_fractional)[0])
    return Bar(
        midnight(index, position), day.open, day.high, day.low, day.close, day.volume, wap=typical, trade_count=count
    )


def empty_bar(ts_utc: datetime, price: float) -> Bar:
    """A bar that has just begun: nothing traded yet, every price is the last one."""
    return Bar(ts_utc, price, price, price, price, volume=0.0, wap=price, trade_count=0)


def midnight(index: SessionIndex, position: int) -> datetime:
    """Midnight UTC of the session's date, the stamp of its daily bar."""
    return datetime.combine(index.days[position], time(), UTC)


def group_days(days: list[Bar], period: Period) -> list[Bar]:
    """Daily bars as weekly (ISO weeks) or monthly ones, stamped with their first session."""
    if period == "day":
        return days
    groups: dict[tuple[int, int], list[Bar]] = {}
    for bar in days:
        key = (bar.ts_utc.year, bar.ts_utc.month) if period == "month" else bar.ts_utc.isocalendar()[:2]
        groups.setdefault(key, []).append(bar)
    return [_joined(group) for group in groups.values()]


def _joined(group: list[Bar]) -> Bar:
    volume = round(sum(bar.volume for bar in group), 8)
    value = sum(bar.volume * bar.wap for bar in group)
    return Bar(
        group[0].ts_utc,
        group[0].open,
        max(bar.high for bar in group),
        min(bar.low for bar in group),
        group[-1].close,
        volume,
        wap=round(value / volume, 6) if volume > 0 else group[-1].close,
        trade_count=sum(bar.trade_count for bar in group),
    )


def _trades(volume: Floats, *, is_fractional: bool) -> Floats:
    """How many trades a volume was: there are no real counts, so one per usual trade size."""
    trades: Floats = np.ceil(volume / (_FRACTIONS_PER_TRADE if is_fractional else _SHARES_PER_TRADE))
    return trades
