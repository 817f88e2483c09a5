"""Feeds: which bars are collected for whom. Derived from strategy specs; pure and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from trading_platform.domain.calendars import ALWAYS_OPEN
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize, StrategySpec

DAILY = "daily"
MINUTE = "minute"


@dataclass(frozen=True)
class Feed:
    """Bars of one size for some symbols on one calendar.

    ``history_sessions`` is how many sessions before the current one must be stored for its strategies to
    decide. ``strategies`` names those that read it.
    """

    name: str
    calendar: str
    bar_size: BarSize
    symbols: tuple[str, ...]
    history_sessions: int
    strategies: tuple[str, ...]

    @property
    def is_daily(self) -> bool:
        """Whether a session has one bar."""
        return self.bar_size == "1 day"

    @property
    def rows_per_session(self) -> int:
        """About how many bars a session has, rather too many: an exchange is taken to be open for eight hours."""
        minutes = 24 * 60 if self.calendar == ALWAYS_OPEN else 8 * 60
        return len(self.symbols) * (1 if self.is_daily else ceil(minutes / BAR_MINUTES[self.bar_size]))


def feeds_of(specs: Sequence[StrategySpec], ingest_symbols: Sequence[str]) -> tuple[Feed, ...]:
    """The feeds that the strategies read, and the minute ingest.

    Daily strategies of one calendar share the feed ``daily``, whose symbols are their universes together;
    each intraday strategy has a feed of its own name.

    Raises:
        ValueError: two daily strategies on different calendars.
    """
    feeds: list[Feed] = []
    daily = [spec for spec in specs if spec.is_daily]
    calendars = sorted({spec.calendar for spec in daily})
    if len(calendars) > 1:
        msg = f"daily strategies share one feed and so one calendar, but these are used: {', '.join(calendars)}"
        raise ValueError(msg)
    if daily:
        symbols = dict.fromkeys(symbol for spec in daily for symbol in spec.universe)
        feeds.append(
            Feed(
                DAILY,
                calendars[0],
                "1 day",
                tuple(symbols),
                max(spec.history_sessions for spec in daily),
                tuple(spec.name for spec in daily),
            )
        )
    feeds += [
        Feed(spec.feed, spec.calendar, spec.bar_size, spec.universe, spec.history_sessions, (spec.name,))
        for spec in specs
        if not spec.is_daily
    ]
    if ingest_symbols:
        feeds.append(Feed(MINUTE, "XNYS", "1 min", tuple(ingest_symbols), 1, ()))
    return tuple(feeds)
