"""A feed's bars and features between ticks, in memory: what the lake holds for the assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_platform.brokers.base import Broker
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.feed import feed_features
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import newest_bars
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import look_back
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.market_data.validation import blocked_symbols
from trading_platform.domain.market_data.validation.feed import CONTEXT_SESSIONS, validate_feed
from trading_platform.ingest.bars import NoBarsError, fetch_bars
from trading_platform.ingest.sources.broker import BrokerSource


@dataclass(frozen=True)
class FeedView:
    """What a tick sees. ``features`` holds the session and the one before it; ``None``: there is no bar at all.

    ``discredited`` are the symbols with bars in the session that block orders.
    """

    features: pd.DataFrame | None
    discredited: frozenset[str]

    @property
    def newest_bars(self) -> dict[str, datetime]:
        """Start of each symbol's newest bar that has ended."""
        return {} if self.features is None else newest_bars(self.features)


class FeedMemory:
    """One feed. At each tick the session's bars are fetched, and of earlier ones what has not been fetched since they
    closed: as the agent's job and the sensor ``missing_history`` do it together."""

    def __init__(
        self,
        feed: Feed,
        names: Sequence[str],
        instruments: Mapping[str, Instrument],
        quality: DataQuality,
        broker: Broker,
        first: date,
    ) -> None:
        self._feed = feed
        self._names = names
        self._instruments = instruments
        self._quality = quality
        self._source = BrokerSource(broker)
        self._first = first.isoformat()
        self._calendar = get_calendar(feed.calendar)
        self._held: set[date] = set()
        self._history: pd.DataFrame | None = None
        self._convicted: dict[str, int] = {}
        self._seen: tuple[str, pd.DataFrame] | None = None
        self._before: tuple[str, pd.DataFrame] | None = None

    @property
    def quarantined(self) -> int:
        """How many bars of the replayed sessions failed validation."""
        return sum(count for label, count in self._convicted.items() if label >= self._first)

    def at(self, session: date, now: datetime) -> FeedView:
        """Fetch and validate what is new, and compute the session's features.

        Raises:
            BrokerConnectionError: the broker can't be reached.
        """
        back = look_back(session, self._feed.history_sessions, self._calendar)[:-1]
        missing = [day for day in back if day not in self._held]
        self._held = {*back}
        label = session.isoformat()
        try:
            raw = fetch_bars(self._source, self._feed, self._instruments, [*missing, session], now).bars
        except NoBarsError:  # at the very open nothing has traded; before a symbol's first bar neither
            return FeedView(self._with_yesterday(session, self._compute(label, None)), frozenset())
        context = self._neighbours(min([*missing, session]))
        judged = validate_feed(raw, self._feed, self._instruments, self._quality, as_of=now, context=context)
        is_own = judged.valid["session"] == label
        self._keep(judged.valid[~is_own], back)
        self._count(judged.quarantined)
        own = self._compute(label, judged.valid[is_own])
        return FeedView(self._with_yesterday(session, own), blocked_symbols(judged.log[judged.log["session"] == label]))

    def _neighbours(self, session: date) -> pd.DataFrame | None:
        """The held bars that lend those of ``session`` and later ones their neighbours."""
        if self._history is None:
            return None
        first = self._calendar.offset(session, -CONTEXT_SESSIONS[self._feed.is_daily]).isoformat()
        return self._history[(self._history["session"] >= first) & (self._history["session"] < session.isoformat())]

    def _compute(self, label: str, bars: pd.DataFrame | None) -> pd.DataFrame | None:
        """The session's own features; ``None`` while there is not one bar to compute with."""
        frames = [frame for frame in (self._history, bars) if frame is not None and len(frame)]
        if not frames:
            return None
        known = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        return feed_features(known, self._names, [label], is_daily=self._feed.is_daily)

    def _keep(self, final: pd.DataFrame, back: Sequence[date]) -> None:
        """Add sessions that have closed, and forget those that nothing looks back to any more."""
        frames = [frame for frame in (self._history, final) if frame is not None and len(frame)]
        if not frames:
            return
        history = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        oldest = back[0].isoformat() if back else ""
        self._history = history[history["session"] >= oldest]

    def _count(self, bad: pd.DataFrame) -> None:
        for label, rows in bad.groupby("session"):
            self._convicted[str(label)] = len(rows)

    def _with_yesterday(self, session: date, own: pd.DataFrame | None) -> pd.DataFrame | None:
        """The features as the strategy's asset reads them: the session before as its last tick left it, and its own."""
        label = session.isoformat()
        if self._seen is not None and self._seen[0] != label:
            self._before = self._seen
        if own is None:
            return None
        self._seen = (label, own)
        if self._before is None or self._before[0] != self._calendar.offset(session, -1).isoformat():
            return own
        return pd.concat([self._before[1], own], ignore_index=True)
