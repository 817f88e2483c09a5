"""Collect a feed's bars: ask for what is not stored for good, hold the answer against what is, and write it.

Three kinds of runs, told apart by what they cover (docs/architecture.md, "What a run asks for"):

* one session that is running: a *tick*, which asks each symbol's bars from its last final ones on;
* one session that has closed: it is *settled*, asked for as a whole and replaced;
* a range of sessions: what is missing of them, in pieces that are written as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Protocol

import numpy as np
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.coverage import (
    Ask,
    catch_up_from,
    missing_by_symbol,
    overlap_sessions,
)
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import complete_sessions, request_chunks
from trading_platform.domain.market_data.rewrites import (
    Rewrites,
    as_traded_again,
    describe,
    find_rewrites,
    is_explained,
    is_in_span,
    merge_bars,
    scale_beside,
    split_product,
)
from trading_platform.ingest.bars import FetchedBars, fetch_asked, require_some
from trading_platform.ingest.sources.base import BarSource
from trading_platform.ingest.unanswered import after_asking, resting
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import RawBars, RevisedBars

ALL = frozenset({"all"})
"""In place of symbols: every symbol of the feed."""


class BarStore(Protocol):
    """Where a feed's bars are kept; ``storage.bar_store`` is the one."""

    def bars(self, sessions: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The stored raw bars of ``sessions``."""
        ...

    def write_bars(self, bars: pd.DataFrame, sessions: Sequence[str]) -> None:
        """Replace the raw bars of ``sessions``, each in one step."""
        ...

    def add_revisions(self, rows: pd.DataFrame) -> None:
        """Keep rows of :class:`RevisedBars`."""
        ...

    def unanswered_bars(self, sessions: Sequence[str]) -> pd.DataFrame:
        """Rows of :class:`UnansweredBars`."""
        ...

    def write_unanswered(self, rows: pd.DataFrame, sessions: Sequence[str]) -> None:
        """Replace what is known of ``sessions``."""
        ...


@dataclass(frozen=True)
class Wish:
    """What a run is told beside its sessions.

    ``limits``: by symbol, how far a value may be from the stored one, as a fraction. ``splits``: known ones, by symbol
    and ex-session. ``refetch``: symbols to be asked again for what is stored for good (:data:`ALL`: all).
    ``accepted``: symbols whose rescaled answers a person has decided to take as they come. ``is_range``: the run is a
    backfill, also of one session: it asks for what is missing only.
    """

    limits: Mapping[str, float]
    splits: Mapping[str, Mapping[str, float]]
    refetch: Collection[str] = frozenset()
    accepted: Collection[str] = frozenset()
    is_range: bool = False

    def is_refetched(self, symbol: str) -> bool:
        """Whether the symbol is to be asked again."""
        return symbol in self.refetch or set(self.refetch) >= ALL


@dataclass
class Collected:
    """What a run did: requests sent, bars received, sessions of symbols asked for; failures and held-back answers by
    symbol, in words; and every difference from what was stored, as :class:`RevisedBars`.
    """

    requests: int = 0
    bars: int = 0
    asked: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    revisions: pd.DataFrame = field(default_factory=lambda: empty(RevisedBars))

    def add(self, other: Collected) -> None:
        """Take in what another part of the run did."""
        self.requests += other.requests
        self.bars += other.bars
        self.asked += other.asked
        self.failures |= other.failures
        self.add_revisions(other.revisions)

    def add_revisions(self, rows: pd.DataFrame) -> None:
        """Take in differences."""
        found = [table for table in (self.revisions, rows) if len(table)]
        self.revisions = pd.concat(found, ignore_index=True) if found else self.revisions


def collect(
    source: BarSource,
    store: BarStore,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    sessions: Sequence[date],
    *,
    clock: Callable[[], datetime],
    wish: Wish,
) -> Collected:
    """Bring the stored bars of ``sessions`` up to date. What is written before an error stays.

    ``clock`` tells the time (tz-aware UTC); it is asked once for each piece, since a backfill may take hours.

    Raises:
        NoBarsError: every symbol that was asked for failed.
        BrokerConnectionError, SourceUnavailableError: the source can't be reached.
        TableValidationError: the answer is no table of bars; the sessions of its piece are left as they were.
    """
    return _Collection(source, store, feed, instruments, clock, wish).run(sorted(sessions))


class _Collection:
    """One run of :func:`collect`."""

    def __init__(
        self,
        source: BarSource,
        store: BarStore,
        feed: Feed,
        instruments: Mapping[str, Instrument],
        clock: Callable[[], datetime],
        wish: Wish,
    ) -> None:
        self._source, self._store, self._feed, self._instruments = source, store, feed, instruments
        self._clock, self._now, self._wish = clock, clock(), wish
        self._calendar: TradingCalendar = get_calendar(feed.calendar)
        self._done = Collected()
        self._answered: set[str] = set()
        self._has_asked = False
        self._nothing: dict[str, str] = {}
        self._is_range = False

    def run(self, sessions: Sequence[date]) -> Collected:
        is_begun = [self._calendar.open_of(day) <= self._now for day in sessions]
        begun = [day for day, has_begun in zip(sessions, is_begun, strict=True) if has_begun]
        ahead = [day.isoformat() for day in sessions if day not in begun]
        if ahead:  # nothing to ask for yet, and a session of the run has a file
            self._store.write_bars(self._store.bars(ahead), ahead)
        self._is_range = self._wish.is_range or len(sessions) > 1
        if self._is_range:
            for chunk in request_chunks(begun, self._feed.bar_size, self._calendar):
                self._now = self._clock()
                self._fill(chunk)
        elif begun and self._now < self._calendar.close_of(begun[0]):
            self._tick(begun[0])
        elif begun:
            self._write(begun, self._fetch({symbol: Ask(tuple(begun)) for symbol in self._feed.symbols}), "settling")
        # without data before it was listed, and with data since, is no failure
        self._done.failures |= {name: why for name, why in self._nothing.items() if name not in self._answered}
        failures = {name: why for name, why in self._done.failures.items() if name not in self._answered}
        if self._has_asked:
            require_some(self._feed, failures, self._feed.symbols)
        return self._done

    def _tick(self, session: date) -> None:
        """A running session: each symbol from its last final bars on."""
        label = [session.isoformat()]
        stored = self._store.bars(label)
        begin = {} if self._feed.is_daily else catch_up_from(stored)
        patient = [symbol for symbol in self._feed.symbols if not self._wish.is_refetched(symbol)]
        waiting = resting(self._store.unanswered_bars(label), patient, self._now)
        asks = {
            symbol: Ask((session,), None if self._wish.is_refetched(symbol) else begin.get(symbol))
            for symbol in self._feed.symbols
            if symbol not in waiting
        }
        self._done.failures |= waiting
        self._has_asked |= bool(waiting)
        asks, fetched = self._fetch(asks)
        again = self._disagreeing(asks, stored, fetched)
        if again:
            asks_again, more = self._fetch({symbol: Ask((session,)) for symbol in again})
            rest = fetched.bars[~fetched.bars["symbol"].isin(asks_again)]
            fetched = replace(
                more,
                bars=pd.concat([rest, more.bars], ignore_index=True),
                failures={**fetched.failures, **more.failures},
                unknown=fetched.unknown | more.unknown,
                without_data=fetched.without_data | more.without_data,
            )
            asks = {**asks, **asks_again}
        self._write([session], (asks, fetched), "tick")

    def _disagreeing(self, asks: Mapping[str, Ask], stored: pd.DataFrame, fetched: FetchedBars) -> list[str]:
        """Symbols whose answer does not begin with the stored bar that it must hold: all must be asked for again."""
        begin = {symbol: ask.since for symbol, ask in asks.items() if ask.since and symbol not in fetched.failures}
        if not begin:
            return []

        def anchors(frame: pd.DataFrame) -> pd.DataFrame:
            own = frame[frame["symbol"].isin(begin)]
            own = own[is_in_span(own, begin)].sort_values("ts_utc", kind="stable").drop_duplicates("symbol")
            return own[[begin[symbol] == stamp for symbol, stamp in zip(own["symbol"], own["ts_utc"], strict=True)]]

        theirs, ours = anchors(fetched.bars), anchors(stored)
        found = find_rewrites(ours, theirs, self._wish.limits, as_traded=())
        missing = set(begin) - set(theirs["symbol"])
        return sorted(missing | set(found.rows["symbol"]))

    def _fill(self, chunk: Sequence[date]) -> None:
        """Sessions of a range: what is missing of them."""
        labels = [day.isoformat() for day in chunk]
        stored = self._store.bars(labels, ["symbol", "session", "received_at_utc"])
        missing = missing_by_symbol(
            chunk, self._feed.symbols, complete_sessions(stored, self._calendar), self._store.unanswered_bars(labels)
        )
        for symbol in filter(self._wish.is_refetched, self._feed.symbols):
            missing[symbol] = list(chunk)
        own = sorted({day for days in missing.values() for day in days})
        if own:
            asks = {symbol: Ask(tuple(days)) for symbol, days in missing.items()}
            self._write(own, self._fetch(asks), "refetch" if self._wish.refetch else "settling")
        written = {day.isoformat() for day in own} | set(stored["session"])
        empty_ones = [label for label in labels if label not in written]
        if empty_ones:
            self._store.write_bars(self._store.bars(empty_ones), empty_ones)

    def _fetch(self, asks: Mapping[str, Ask]) -> tuple[dict[str, Ask], FetchedBars]:
        """Ask, reaching over stored sessions beside what is wanted; returns what was wanted, and the answers."""
        self._done.asked += sum(len(ask.sessions) for ask in asks.values())
        self._has_asked |= bool(asks)
        beside = self._beside(asks)
        wider = {
            symbol: replace(ask, sessions=tuple(sorted({*ask.sessions, *beside.get(symbol, ())})))
            for symbol, ask in asks.items()
        }
        fetched = fetch_asked(self._source, self._feed, self._instruments, wider, self._now)
        self._done.requests += fetched.requests
        self._done.bars += len(fetched.bars)
        return dict(asks), fetched

    def _beside(self, asks: Mapping[str, Ask]) -> dict[str, list[date]]:
        """Stored sessions that the request is to reach over: those received before the newest session opened.

        What was received since is on today's scale, and was compared when it came.
        """
        days = sorted({day for ask in asks.values() for day in ask.sessions})
        if not days or any(ask.since for ask in asks.values()):
            return {}
        found = overlap_sessions(days, self._calendar, self._now, is_daily=self._feed.is_daily)
        if not self._feed.is_daily and self._now < self._calendar.close_of(days[-1]):
            return {}  # a tick is to be quick; daily bars cost no request more
        stored = self._store.bars(
            [day.isoformat() for day in found], ["symbol", "session", "is_final", "received_at_utc"]
        )
        opened = pd.Timestamp(self._calendar.open_of(self._calendar.latest_session(self._now)))
        old = stored[stored["is_final"] & (stored["received_at_utc"] < opened)]
        pairs = old[["symbol", "session"]].drop_duplicates().sort_values("session")
        beside: dict[str, list[date]] = {}
        for symbol, session in pairs.itertuples(index=False):
            beside.setdefault(str(symbol), []).append(date.fromisoformat(session))
        return {symbol: own for symbol, own in beside.items() if symbol in asks}

    def _write(self, own: Sequence[date], answer: tuple[Mapping[str, Ask], FetchedBars], found_in: str) -> None:
        """Hold an answer against what is stored, and put it there."""
        asks, fetched = answer
        labels = [day.isoformat() for day in own]
        stored, beside = self._store.bars(labels), self._beside_bars(fetched.bars, labels)
        if self._feed.strategies:  # who left the feed must not be taken for one of its symbols today
            today = self._calendar.latest_session(self._now).isoformat()
            stored = stored[stored["symbol"].isin(self._feed.symbols) | (stored["session"] != today)]
        rewrites = self._rewrites(asks, stored, beside, fetched.bars)
        bars, held = self._scaled(asks, fetched.bars[fetched.bars["session"].isin(labels)], rewrites)
        self._record(rewrites, labels, found_in)
        for symbol, why in fetched.failures.items():
            (self._nothing if symbol in fetched.without_data else self._done.failures)[symbol] = why
        self._done.failures |= held
        self._answered |= set(asks) - set(fetched.failures)
        if self._is_range or set(fetched.failures) < set(asks) or not asks:
            since = {symbol: ask.since for symbol, ask in asks.items() if ask.since}
            merged = merge_bars(stored, bars, since, kept=rewrites.rescaled, now=self._now)
            self._store.write_bars(merged, labels)
        has_bars = set(zip(bars["symbol"], bars["session"], strict=True)) - rewrites.rescaled
        known = self._store.unanswered_bars(labels)
        unanswered = after_asking(
            known,
            asks,
            fetched,
            has_bars,
            reasons=self._done.failures,
            is_running=lambda day: self._now < self._calendar.close_of(day),
            now=self._now,
        )
        self._store.write_unanswered(unanswered, sorted({*known["session"], *unanswered["session"]}))

    def _beside_bars(self, bars: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
        sessions = sorted(set(bars["session"]) - set(labels))
        stored = self._store.bars(sessions) if sessions else empty(RawBars)
        keys = pd.MultiIndex.from_frame(bars[["symbol", "session"]].drop_duplicates())
        return stored[pd.MultiIndex.from_frame(stored[["symbol", "session"]]).isin(keys)]

    def _rewrites(
        self, asks: Mapping[str, Ask], stored: pd.DataFrame, beside: pd.DataFrame, bars: pd.DataFrame
    ) -> Rewrites:
        """Where the answer differs from what is stored in the span that was asked for."""
        in_span = is_in_span(stored, {symbol: ask.since for symbol, ask in asks.items() if ask.since})
        asked = {(symbol, day.isoformat()) for symbol, ask in asks.items() for day in ask.sessions}
        pairs = zip(stored["symbol"], stored["session"], strict=True)
        is_asked = np.fromiter((pair in asked for pair in pairs), dtype=np.bool_, count=len(stored))
        is_older = (stored["received_at_utc"] <= pd.Timestamp(self._now)).to_numpy()  # or a later run knows more
        own = stored[in_span & is_asked & is_older]
        old = pd.concat([frame for frame in (own, beside) if len(frame)] or [beside])
        done = complete_sessions(old, self._calendar)
        latest = self._calendar.latest_session(self._now).isoformat()
        accepted = set(self._wish.accepted)
        if accepted >= ALL:
            accepted |= set(self._feed.symbols)
        found = find_rewrites(
            old,
            bars,
            self._wish.limits,
            as_traded={day for day in bars["session"].unique() if day < latest},
            complete={(symbol, day.isoformat()) for symbol, days in done.items() for day in days},
        )
        kept = {key: factor for key, factor in found.factors.items() if key[0] not in accepted}
        return Rewrites(found.rows, kept)

    def _scaled(
        self, asks: Mapping[str, Ask], bars: pd.DataFrame, rewrites: Rewrites
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """The answer on the scale of what is stored; and the symbols of which it can't be had, with why."""
        latest = self._calendar.latest_session(self._now).isoformat()
        held: dict[str, str] = {}
        for symbol, session in sorted(rewrites.rescaled):
            if not self._is_explained(rewrites.factors[symbol, session], symbol, session):
                held[symbol] = _held_back(rewrites.factors[symbol, session], symbol)
        suspects = {symbol for symbol, _ in rewrites.rescaled} & set(asks)
        if not suspects:
            return bars, held
        parts = [bars[~bars["symbol"].isin(suspects)]]
        for key, rows in bars[bars["symbol"].isin(suspects)].groupby(["symbol", "session"], sort=True):
            symbol, session = (str(part) for part in key)
            beside = scale_beside(rewrites.factors, symbol, session)
            is_compared = (symbol, session) in rewrites.factors
            if session == latest or is_compared or beside is None or beside[1] == 1.0:
                parts.append(rows)  # of today, or judged by itself, or on the scale of what is stored
            elif self._is_explained(beside[1], symbol, beside[0]):
                parts.append(as_traded_again(rows, split_product(self._wish.splits, symbol, session, latest)))
            else:
                held[symbol] = _held_back(beside[1], symbol)
        return pd.concat(parts, ignore_index=True), held

    def _is_explained(self, factor: float, symbol: str, session: str) -> bool:
        today = self._calendar.latest_session(self._now).isoformat()
        return is_explained(factor, split_product(self._wish.splits, symbol, session, today))

    def _record(self, rewrites: Rewrites, own: Sequence[str], found_in: str) -> None:
        """Keep the differences before anything is replaced: a run that is killed in between does not lose them."""
        rows = rewrites.rows
        if rows.empty:
            return
        beside = "refetch" if self._wish.refetch else "overlap"
        table = rows.assign(
            is_explained=[
                row["kind"] == "rescaled" and self._is_explained(row["factor"], row["symbol"], row["session"])
                for row in rows.to_dict("records")
            ],
            detail=[describe(row) for row in rows.to_dict("records")],
            found_in=np.where(rows["session"].isin(own), found_in, beside),
            noticed_at_utc=pd.Timestamp(self._now).as_unit("ns"),
        )
        self._store.add_revisions(table)
        self._done.add_revisions(table)


def _held_back(factor: float, symbol: str) -> str:
    return (
        f"the source's prices of the past are {factor:.6g} times the stored ones, which no known split explains: "
        f"stored bars are kept. Materialize market_data/corporate_actions, or decide about {symbol} by hand"
    )
