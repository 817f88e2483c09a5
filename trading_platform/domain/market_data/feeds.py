"""Feeds: which bars are collected for whom. Derived from strategy specs and the universe; pure and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from trading_platform.domain.calendars import OUR_OWN
from trading_platform.domain.market_data.members import MembersSpec
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize, StrategySpec, daily_feed


@dataclass(frozen=True)
class Feed:
    """Bars of one size for some symbols on one calendar.

    ``history_sessions`` is how many sessions before the current one must be stored for its strategies to
    decide. ``strategies`` names those that read it; an ingest feed, which the universe file names, has none.
    ``members`` says where an ingest feed's dynamic members come from, beside ``symbols`` or instead of them.
    """

    name: str
    calendar: str
    bar_size: BarSize
    symbols: tuple[str, ...]
    history_sessions: int
    strategies: tuple[str, ...]
    description: str = ""
    members: MembersSpec | None = None

    @property
    def is_daily(self) -> bool:
        """Whether a session has one bar."""
        return self.bar_size == "1 day"

    @property
    def is_ingest(self) -> bool:
        """Whether it is collected for its own sake, and so has a schedule of its own."""
        return not self.strategies

    @property
    def shows_actions(self) -> bool:
        """Whether splits and dividends can be seen in it: daily bars of an exchange, where companies are listed."""
        return self.is_daily and self.calendar not in OUR_OWN

    @property
    def rows_per_session(self) -> int:
        """About how many bars a session has, rather too many: an exchange is taken to be open for eight hours."""
        minutes = 24 * 60 if self.calendar in OUR_OWN else 8 * 60
        symbols = len(self.symbols) + (self.members.max_members if self.members is not None else 0)
        return symbols * (1 if self.is_daily else ceil(minutes / BAR_MINUTES[self.bar_size]))


def feeds_of(specs: Sequence[StrategySpec], ingest: Sequence[Feed]) -> tuple[Feed, ...]:
    """The feeds that the strategies read, and those of the ``ingest`` that have symbols or members.

    Daily strategies of one calendar share a feed (:func:`daily_feed`), whose symbols are their universes together;
    each intraday strategy has a feed of its own name.

    Raises:
        ValueError: two feeds of one name.
    """
    daily = [spec for spec in specs if spec.is_daily]
    feeds = [_shared(calendar, daily) for calendar in sorted({spec.calendar for spec in daily})]
    feeds += [
        Feed(spec.feed, spec.calendar, spec.bar_size, spec.universe, spec.history_sessions, (spec.name,))
        for spec in specs
        if not spec.is_daily
    ]
    feeds += [feed for feed in ingest if feed.symbols or feed.members is not None]
    names = [feed.name for feed in feeds]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"two feeds are called {', '.join(twice)}: rename the strategy or the ingest feed of that name"
        raise ValueError(msg)
    return tuple(feeds)


def _shared(calendar: str, daily: Sequence[StrategySpec]) -> Feed:
    own = [spec for spec in daily if spec.calendar == calendar]
    symbols = dict.fromkeys(symbol for spec in own for symbol in spec.universe)
    history = max(spec.history_sessions for spec in own)
    return Feed(daily_feed(calendar), calendar, "1 day", tuple(symbols), history, tuple(spec.name for spec in own))
