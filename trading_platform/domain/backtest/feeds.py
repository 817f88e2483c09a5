"""A feed's validated bars and features over a stretch of history, as they were known at each tick.

What is computed once, and why that is the same as computing it at each tick:

* A complete bar never changes, and a session's history ends before the session: so the bars of all sessions are asked
  for and validated once.
* A feature at a bar depends on bars up to it only (tested for each of them), and all ticks of a session look back to
  the same first session: so an intraday session's features are computed once, and a tick sees the rows of the bars
  that had ended by then.
* The day's bar in progress is another one at each tick: a daily feed's features are computed at each tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from trading_platform.domain.backtest.market import Market
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.features.feed import feed_features
from trading_platform.domain.market_data.bars import bar_ends
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import look_back
from trading_platform.domain.market_data.spans import Int64s, SessionSpans, nanoseconds
from trading_platform.domain.market_data.validation import discredited_symbols, validate_bars


@dataclass(frozen=True)
class FeatureView:
    """What is known at a tick. ``features`` holds the session and the one before it; ``None``: no bar of the session.

    ``discredited`` are the symbols with convicted bars in the session.
    """

    features: pd.DataFrame | None
    discredited: frozenset[str]


@dataclass(frozen=True)
class _Session:
    """A session's rows with the bars' ends in nanoseconds since the epoch."""

    rows: pd.DataFrame
    ends: Int64s


class FeedHistory:
    """One feed from the first session (a date) to the last. Ask in the order of time."""

    def __init__(self, feed: Feed, names: Sequence[str], market: Market, first: date, last: date) -> None:
        self._feed = feed
        self._names = names
        self._market = market
        self._calendar: TradingCalendar = get_calendar(feed.calendar)
        sessions = self._calendar.sessions(first, last)
        wanted = [*look_back(sessions[0], feed.history_sessions, self._calendar)[:-1], *sessions] if sessions else []
        raw = market.bars(feed, wanted, self._calendar.close_of(wanted[-1])) if wanted else None
        self._valid: dict[str, pd.DataFrame] = {}
        self._convicted: dict[str, pd.DataFrame] = {}
        self.quarantined = 0
        if raw is not None and len(raw):
            judged = validate_bars(
                raw, bar_size=feed.bar_size, calendar=self._calendar, as_of=self._calendar.close_of(wanted[-1])
            )
            self._valid = _by_session(judged.valid.assign(is_final=True))
            self._convicted = _by_session(judged.quarantined)
            first_label = sessions[0].isoformat()
            self.quarantined = int((judged.quarantined["session"] >= first_label).sum())
        self._computed: tuple[str, _Session] | None = None
        self._seen: tuple[str, pd.DataFrame] | None = None
        self._before: tuple[str, pd.DataFrame] | None = None

    def at(self, session: date, now: datetime) -> FeatureView:
        """Features and quarantine as known at ``now``, which lies in ``session``."""
        if self._feed.is_daily:
            own, discredited = self._daily(session, now)
        else:
            own, discredited = self._intraday(session, now)
        if own is None:
            return FeatureView(None, discredited)
        label = session.isoformat()
        if self._seen is not None and self._seen[0] != label:
            self._before = self._seen
        self._seen = (label, own)
        yesterday = self._calendar.offset(session, -1).isoformat()
        is_next = self._before is not None and self._before[0] == yesterday
        features = pd.concat([self._before[1], own], ignore_index=True) if self._before and is_next else own
        return FeatureView(features, discredited)

    def _daily(self, session: date, now: datetime) -> tuple[pd.DataFrame | None, frozenset[str]]:
        raw = self._market.bars(self._feed, [session], now)
        if raw.empty:
            return None, frozenset()
        judged = validate_bars(raw, bar_size=self._feed.bar_size, calendar=self._calendar, as_of=now)
        return self._compute(session, judged.valid.assign(is_final=False)), discredited_symbols(judged.quarantined)

    def _intraday(self, session: date, now: datetime) -> tuple[pd.DataFrame | None, frozenset[str]]:
        label, stamp = session.isoformat(), pd.Timestamp(now).as_unit("ns").value
        valid, convicted = self._valid.get(label), self._convicted.get(label)
        begun = convicted[nanoseconds(convicted["ts_utc"]) <= stamp] if convicted is not None else None
        discredited = discredited_symbols(begun) if begun is not None else frozenset()
        is_any_begun = (valid is not None and bool((nanoseconds(valid["ts_utc"]) <= stamp).any())) or bool(discredited)
        if not is_any_begun:
            return None, discredited
        if self._computed is None or self._computed[0] != label:
            rows = self._compute(session, valid)
            stamps = nanoseconds(rows["ts_utc"])
            ends = bar_ends(stamps, self._feed.bar_size, SessionSpans.around(self._calendar, stamps))
            self._computed = (label, _Session(rows, ends))
        found = self._computed[1]
        return found.rows[found.ends <= stamp], discredited

    def _compute(self, session: date, own: pd.DataFrame | None) -> pd.DataFrame:
        back = look_back(session, self._feed.history_sessions, self._calendar)[:-1]
        frames = [self._valid[label] for day in back if (label := day.isoformat()) in self._valid]
        bars = pd.concat([*frames, *([own] if own is not None else [])], ignore_index=True)
        return feed_features(bars, self._names, [session.isoformat()], is_daily=self._feed.is_daily)


def _by_session(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    labels = bars["session"].to_numpy(dtype=object)
    order = np.argsort(labels, kind="stable")
    ordered, labels = bars.iloc[order], labels[order]
    starts = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1]))) if len(labels) else []
    stops = [*starts[1:], len(labels)] if len(starts) else []
    return {str(labels[a]): ordered.iloc[a:b] for a, b in zip(starts, stops, strict=True)}
