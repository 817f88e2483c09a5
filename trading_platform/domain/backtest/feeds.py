"""A feed's validated bars and features over a stretch of history, as they were known at each tick.

What is computed once, and why that is the same as computing it at each tick:

* A complete bar never changes, and a session's history ends before the session: so the bars of all sessions are asked
  for once, and validated once as what is settled. A running session is validated for itself, as of its tick or, since
  later bars say nothing about earlier ones while a session runs, as of its end. (What is settled can convict a bar by
  bars of the next sessions: there the backtest's history knows what a live feed learns when it is validated again.)
* A feature at a bar depends on bars up to it only (tested for each of them), and all ticks of a session look back to
  the same first session: so an intraday session's features are computed once, and a tick sees the rows of the bars
  that had ended by then.
* The indicators of one symbol know nothing of another's bars. So the windows of many daily ticks, each ending with its
  bar in progress, are computed in one call, as if each were a symbol of its own. Comparisons across symbols
  are not: with one of them among the features each session is computed by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from trading_platform.domain.backtest.market import Market
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.feed import feed_features
from trading_platform.domain.features.registry import parse
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import bar_ends
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import look_back
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.market_data.spans import Bools, Int64s, SessionSpans, nanoseconds
from trading_platform.domain.market_data.validation import Validation, blocked_symbols
from trading_platform.domain.market_data.validation.feed import CONTEXT_SESSIONS, merged, validate_feed

_ROWS_AT_ONCE = 200_000
"""Rows of daily windows that are computed together: enough to be fast, little enough for any machine."""


@dataclass(frozen=True)
class FeatureView:
    """What is known at a tick. ``features`` holds the session and the one before it.

    ``discredited`` are the symbols with bars in the session that block orders.
    """

    features: pd.DataFrame
    discredited: frozenset[str]


@dataclass(frozen=True)
class _Computed:
    """A session's features, those of the session before in front of them, with the bars' ends in nanoseconds.

    ``log`` is what was found out about the session's bars while it ran.
    """

    session: date
    rows: pd.DataFrame
    ends: Int64s
    is_own: Bools
    log: pd.DataFrame


@dataclass(frozen=True)
class _Day:
    """A session's features on daily bars. ``rows`` has those of the session before in front of its ``own``."""

    rows: pd.DataFrame
    own: pd.DataFrame


class FeedHistory:
    """One feed at some ticks: pairs of session and instant, at least one, in the order of time.

    :meth:`at` is asked in that order, too.
    """

    def __init__(
        self,
        feed: Feed,
        names: Sequence[str],
        market: Market,
        ticks: Sequence[tuple[date, datetime]],
        *,
        instruments: Mapping[str, Instrument],
        quality: DataQuality,
    ) -> None:
        self._feed = feed
        self._instruments = instruments
        self._quality = quality
        self._names = names
        self._calendar = get_calendar(feed.calendar)
        self._sessions = list(dict.fromkeys(session for session, _ in ticks))
        self._raw = self._complete_bars(market)
        self._known = self._validated(self._raw, self._calendar.close_of(self._sessions[-1]))
        self._ordinals = _ordinals(self._known.valid)
        self._day_so_far = self._bars_in_progress(market, dict(ticks)) if feed.is_daily else None
        self._daily: dict[date, _Day] = {}
        self._computed: _Computed | None = None
        self._last: tuple[date, datetime] | None = None

    @property
    def quarantined(self) -> int:
        """How many bars of the ticks' sessions failed validation."""
        return int((self._known.quarantined["session"] >= self._sessions[0].isoformat()).sum())

    def at(self, session: date, now: datetime) -> FeatureView:
        """Features and quarantine as known at ``now``, which lies in ``session``."""
        if self._day_so_far is not None:
            return self._day(session, self._day_so_far)
        view = self._intraday(session, now)
        self._last = (session, now)
        return view

    def _complete_bars(self, market: Market) -> pd.DataFrame:
        """All sessions that are looked back to or decided in, once they have closed."""
        first = look_back(self._sessions[0], self._feed.history_sessions, self._calendar)[0]
        wanted = self._calendar.sessions(first, self._sessions[-1])
        return market.bars(self._feed, wanted, self._calendar.close_of(wanted[-1])).assign(is_final=True)

    def _validated(self, raw: pd.DataFrame, as_of: datetime, context: pd.DataFrame | None = None) -> Validation:
        return validate_feed(raw, self._feed, self._instruments, self._quality, as_of=as_of, context=context)

    def _before(self, session: date) -> pd.DataFrame:
        """The settled bars that lend a session's bars their neighbours."""
        first = self._calendar.offset(session, -CONTEXT_SESSIONS[self._feed.is_daily])
        is_near = (self._ordinals >= first.toordinal()) & (self._ordinals < session.toordinal())
        return self._known.valid[is_near]

    def _bars_in_progress(self, market: Market, ticks: dict[date, datetime]) -> Validation:
        """Each session's bar as it was at its tick. No bar can start after it: a session's tick is in the session."""
        judged = []
        for session, now in ticks.items():
            raw = market.bars(self._feed, [session], now).assign(is_final=False)
            judged.append(self._validated(raw, now, self._before(session)))
        return merged([one for one in judged if len(one.valid) or len(one.log)] or judged[:1])

    def _day(self, session: date, so_far: Validation) -> FeatureView:
        discredited = blocked_symbols(so_far.log[so_far.log["session"] == session.isoformat()])
        if session not in self._daily:
            self._daily = self._daily_chunk(session, so_far, self._daily)
        return FeatureView(self._daily[session].rows, discredited)

    def _daily_chunk(self, session: date, so_far: Validation, before: Mapping[date, _Day]) -> dict[date, _Day]:
        """The features of ``session`` and of some sessions after it, each as known at its tick."""
        start = self._sessions.index(session)
        is_compared = any(parse(name).cross_section or parse(name).reference for name in self._names)
        per_session = len(self._feed.symbols) * (self._feed.history_sessions + 1)
        chunk = self._sessions[start : start + (1 if is_compared else max(_ROWS_AT_ONCE // per_session, 1))]
        windows = self._windows(chunk, so_far)
        numbers = np.repeat(np.arange(len(chunk)), [len(rows) for rows in windows])
        bars = pd.concat([self._known.valid, so_far.valid], ignore_index=True).take(np.concatenate(windows))
        if not is_compared:
            names = [f"{number:06d} {symbol}" for number, symbol in zip(numbers, bars["symbol"], strict=True)]
            bars = bars.assign(symbol=names)
        computed = compute_features(bars, self._names)
        codes: Int64s = np.zeros(len(computed), dtype=np.int64)
        if not is_compared:
            codes = computed["symbol"].str.slice(0, 6).to_numpy().astype(np.int64)
            computed["symbol"] = computed["symbol"].str.slice(7)
        labels = np.array([day.isoformat() for day in chunk], dtype=object)
        is_own = computed["session"].to_numpy(dtype=object) == labels[codes]
        own = computed[is_own].reset_index(drop=True)
        bounds = np.searchsorted(codes[is_own], np.arange(len(chunk) + 1)).tolist()
        days: dict[date, _Day] = {}
        for number, day in enumerate(chunk):
            mine = own.iloc[bounds[number] : bounds[number + 1]]
            yesterday = self._calendar.offset(day, -1)
            rows = mine
            if yesterday in days:
                rows = own.iloc[bounds[number - 1] : bounds[number + 1]]
            elif yesterday in before:
                rows = pd.concat([before[yesterday].own, mine], ignore_index=True)
            days[day] = _Day(rows, mine)
        return days

    def _windows(self, chunk: Sequence[date], so_far: Validation) -> list[Int64s]:
        """For each session the rows it looks at: of the complete bars, and behind them of the bars in progress."""
        progress = _ordinals(so_far.valid)
        windows = []
        for day in chunk:
            first = look_back(day, self._feed.history_sessions, self._calendar)[0]
            history = np.flatnonzero((self._ordinals >= first.toordinal()) & (self._ordinals < day.toordinal()))
            own = np.flatnonzero(progress == day.toordinal()) + len(self._known.valid)
            windows.append(np.concatenate([history, own]))
        return windows

    def _intraday(self, session: date, now: datetime) -> FeatureView:
        stamp = pd.Timestamp(now).as_unit("ns").value
        if self._computed is None or self._computed.session != session:
            self._computed = self._compute_session(session)
        found = self._computed
        begun = found.log[nanoseconds(found.log["ts_utc"]) <= stamp] if len(found.log) else found.log
        return FeatureView(found.rows[found.ends <= stamp], blocked_symbols(begun))

    def _compute_session(self, session: date) -> _Computed:
        first = look_back(session, self._feed.history_sessions, self._calendar)[0]
        label = session.isoformat()
        last_moment = self._calendar.close_of(session) - timedelta(microseconds=1)
        running = self._validated(self._raw[self._raw["session"] == label], last_moment, self._before(session))
        history = self._known.valid[(self._ordinals >= first.toordinal()) & (self._ordinals < session.toordinal())]
        bars = pd.concat([history, running.valid], ignore_index=True)
        own = feed_features(bars, self._names, [label], is_daily=False)
        before = self._computed
        yesterday = self._calendar.offset(session, -1)
        if before is not None and self._last is not None and before.session == yesterday == self._last[0]:
            is_seen = before.is_own & (before.ends <= pd.Timestamp(self._last[1]).as_unit("ns").value)
            rows = pd.concat([before.rows[is_seen], own], ignore_index=True)
        else:
            rows = own.reset_index(drop=True)
        stamps = nanoseconds(rows["ts_utc"])
        ends = bar_ends(stamps, self._feed.bar_size, SessionSpans.around(self._calendar, stamps))
        is_own = (rows["session"] == label).to_numpy()
        return _Computed(session, rows, ends, is_own, running.log)


def _ordinals(bars: pd.DataFrame) -> Int64s:
    """The session of each bar as a day's number; every one of them is an ISO date."""
    codes, labels = pd.factorize(bars["session"])
    days = np.array([date.fromisoformat(label).toordinal() for label in labels], dtype=np.int64)
    return days[codes] if len(days) else np.zeros(0, dtype=np.int64)
