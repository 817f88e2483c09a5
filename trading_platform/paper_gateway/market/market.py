"""The paper market: bars, the top of the book and headlines of any contract at any moment.

Everything is a pure function of (data, seed, anchor, contract, time): the market keeps caches, no state, and
reads no clock. Nothing it says at ``now`` depends on what comes after.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache

import numpy as np

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.market.bar_sizes import (
    BAR_SIZE_MINUTES,
    BAR_SIZE_PERIODS,
    aggregate,
    bars_of,
    check_bar_size,
    day_bar,
    empty_bar,
    group_days,
    midnight,
)
from trading_platform.paper_gateway.market.bridge import MinuteBars, bridge, generator
from trading_platform.paper_gateway.market.datasets import Dataset, MarketData
from trading_platform.paper_gateway.market.listings import LISTINGS, Listing, listing_of
from trading_platform.paper_gateway.market.news import NEWS_PROVIDERS, headline_of_session, parse_article_id
from trading_platform.paper_gateway.market.replay import ReplayedSource, Source
from trading_platform.paper_gateway.market.sessions import UTC, from_minute, session_index, to_minute
from trading_platform.paper_gateway.market.synthetic import SyntheticSource
from trading_platform.paper_gateway.market.timeline import Timeline
from trading_platform.paper_gateway.model import Bar, Contract, Headline, TopOfBook

__all__ = ["NEWS_PROVIDERS", "Market"]

_DAY = timedelta(days=1)
_CACHED_SESSIONS = 1024
_HALF_SPREAD = Decimal("0.0001")
_USUAL_VOLUME_SESSIONS = 20


class Market:
    """The paper market.

    ``anchor`` is the date from :func:`~trading_platform.paper_gateway.market.timeline.choose_anchor`, kept by
    the caller from the first start on. ``start`` is the moment of this start, tz-aware: when it lies within a
    data set's own dates, that data set is replayed at its original timestamps.
    """

    def __init__(self, data: MarketData, seed: int, anchor: date, start: datetime) -> None:
        self.seed = seed
        self.data = data
        self._anchor = anchor
        self._start = start
        self._timelines: dict[tuple[Dataset, str], Timeline] = {}
        self._sources: dict[str, Source] = {}
        self._minutes = lru_cache(maxsize=_CACHED_SESSIONS)(self._make_minutes)

    @property
    def start(self) -> datetime:
        """The moment of this start, tz-aware."""
        return self._start

    def listing(self, symbol: str) -> Listing:
        """What is listed under ``symbol``: the well-known contract, or one for the symbol of a data set."""
        found = self.data.find(symbol)
        return listing_of(symbol) if found is None else listing_of(symbol, found[1].calendar)

    def origin_of(self, symbol: str) -> str:
        """The sentence that says where the symbol's prices come from."""
        return self._source(symbol).origin

    def bars(
        self,
        contract: Contract,
        bar_size: str,
        start: datetime,
        end: datetime,
        now: datetime,
        *,
        regular_hours_only: bool = True,
        is_adjusted: bool = False,
    ) -> list[Bar]:
        """Bars that start in [``start``, ``end``) and have started by ``now`` (tz-aware), oldest first.

        The first intraday bar starts at the session's open, the others at multiples of their size on the market's
        own clock (9:30, 10:00, 11:00 in New York); bars of a day and longer carry midnight UTC of their first
        session. The bar in progress holds the minutes that
        are complete at ``now``; before its first one it is empty, at the last price. Nothing trades outside
        the session, so ``regular_hours_only`` makes no difference. ``is_adjusted``: prices before a split or
        dividend that went ex by ``now`` are brought to the scale after it, as TWS's ADJUSTED_LAST has them.

        Raises:
            ValueError: a bar size that is not served.
        """
        del regular_hours_only
        check_bar_size(bar_size)
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        if bar_size in BAR_SIZE_MINUTES:
            first = max(source.first_position, index.opened_by(start))
            bars: list[Bar] = []
            for position in range(first, index.opened_by(min(end, now)) + 1):
                bars += self._session_bars(contract, position, BAR_SIZE_MINUTES[bar_size], now)
        else:
            period = BAR_SIZE_PERIODS[bar_size]
            # The first week or month must be whole to be known for what it is, and the last one goes on to
            # ``now`` whatever ``end`` is: 31 days more on both sides.
            more = timedelta(days=0 if period == "day" else 31)
            first = max(source.first_position, index.up_to(start.astimezone(UTC).date() - more - _DAY) + 1)
            last = min(index.opened_by(now), index.up_to(end.astimezone(UTC).date() + more))
            days = [self._daily_bar(contract, position, now) for position in range(first, last + 1)]
            bars = group_days([bar for bar in days if bar is not None], period)
        found = [bar for bar in bars if start <= bar.ts_utc < end]
        return [self._adjusted(contract, bar, now) for bar in found] if is_adjusted else found

    def _adjusted(self, contract: Contract, bar: Bar, now: datetime) -> Bar:
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        latest, own = source.latest(index.opened_by(now)), index.up_to(bar.ts_utc.astimezone(UTC).date())
        if latest is None:
            return bar
        factor = source.adjustment(own) / source.adjustment(latest)
        prices = {name: round(getattr(bar, name) * factor, 6) for name in ("open", "high", "low", "close", "wap")}
        return bar if factor == 1.0 else replace(bar, **prices)

    def top_of_book(self, contract: Contract, now: datetime) -> TopOfBook | None:
        """Bid, ask and last at ``now``; the last session's close when the market is closed.

        None when the contract has never traded by then. The last price runs through its minute's open, its
        extremes and its close; bid and ask are at least one tick away from it.
        """
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        position = source.latest(index.opened_by(now))
        if position is None:
            return None
        price, traded_at, minute_volume = self._last_trade(contract, position, now)
        tick = contract.min_tick
        last = Decimal(str(price))
        half = max(tick, last * _HALF_SPREAD)
        bid = ((last - half) / tick).to_integral_value(ROUND_FLOOR) * tick
        ask = ((last + half) / tick).to_integral_value(ROUND_CEILING) * tick
        depth = to_minute(traded_at) + contract.con_id
        lot = 1 if contract.security_type == "CRYPTO" else 100
        return TopOfBook(
            bid=max(bid, tick),
            ask=ask,
            last=last,
            bid_size=lot * (1 + depth % 7),
            ask_size=lot * (1 + depth // 7 % 7),
            last_size=max(1, min(lot, int(minute_volume))),
            previous_close=Decimal(str(self._previous_close(source, position))),
            ts_utc=traded_at,
        )

    def minute_volume(self, contract: Contract, minute_start: datetime) -> Decimal:
        """What trades in the whole minute that holds ``minute_start``: 0 when the market is closed."""
        bar = self.minute_bar(contract, minute_start)
        if bar is None:
            return Decimal(0)
        return Decimal(int(bar.volume)) if bar.volume.is_integer() else Decimal(str(bar.volume))

    def minute_bar(self, contract: Contract, minute_start: datetime) -> Bar | None:
        """The whole minute that holds ``minute_start``; None when nothing trades then.

        The caller asks for it when the minute is over: this is the one answer that does not know ``now``.
        """
        index, minute = session_index(contract.calendar), to_minute(minute_start)
        position = index.opened_by(minute_start)
        if position < 0 or minute >= index.closes[position]:
            return None
        minutes = self._minutes(contract, position)
        offset = minute - int(index.opens[position])
        if minutes is None or not minutes.has_bar[offset]:
            return None
        one = MinuteBars(*(values[offset : offset + 1] for values in vars(minutes).values()))
        return bars_of(aggregate(one, 1, 1), minute, is_fractional=_is_fractional(contract))[0]

    def is_open(self, contract: Contract, now: datetime) -> bool:
        """Whether the contract's market is open at ``now``."""
        return get_calendar(contract.calendar).is_open(now)

    def has_data(self, contract: Contract, now: datetime) -> bool:
        """Whether the contract has traded by ``now``."""
        return self._source(contract.listed_as).latest(session_index(contract.calendar).opened_by(now)) is not None

    def first_bar_at(self, contract: Contract) -> datetime | None:
        """The open of the contract's first session, UTC."""
        return session_index(contract.calendar).open_of(self._source(contract.listed_as).first_position)

    def headlines(self, contract: Contract, start: datetime, end: datetime, limit: int) -> list[Headline]:
        """At most ``limit`` headlines of [``start``, ``end``), newest first: one at the close of each session.

        They state what the market did. The caller keeps ``end`` at or before its now.
        """
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        found: list[Headline] = []
        position = index.closed_by(end)
        while len(found) < limit and position >= source.first_position and index.close_of(position) >= start:
            headline = self._headline(contract.listed_as, position)
            if headline is not None and headline.ts_utc < end:
                found.append(headline)
            position -= 1
        return found

    def article(self, article_id: str, now: datetime) -> Headline | None:
        """The headline with that id; None when there is none, or not yet at ``now``."""
        parsed = parse_article_id(article_id)
        if parsed is None or parsed[0] not in {*LISTINGS, *self.data.symbols}:
            return None
        symbol, session = parsed
        position = session_index(self.listing(symbol).calendar).position(session)
        headline = None if position is None else self._headline(symbol, position)
        return headline if headline is not None and headline.ts_utc <= now else None

    def _headline(self, symbol: str, position: int) -> Headline | None:
        source, listing = self._source(symbol), self.listing(symbol)
        day = source.day(position)
        if day is None:
            return None
        reach = range(max(source.first_position, position - _USUAL_VOLUME_SESSIONS), position)
        earlier = [bar for bar in map(source.day, reach) if bar is not None]
        close = session_index(listing.calendar).close_of(position)
        return headline_of_session(listing, close, day, earlier, source.origin)

    @staticmethod
    def _previous_close(source: Source, position: int) -> float:
        """The close before the session at ``position``; the first session's open stands in for its own."""
        before = source.latest(position - 1)
        session = source.day(position if before is None else before)
        if session is None:
            msg = f"no session at position {position}: ask for one that latest() gave"
            raise ValueError(msg)
        return session.open if before is None else session.close

    def _source(self, symbol: str) -> Source:
        source = self._sources.get(symbol)
        if source is None:
            source = self._sources[symbol] = self._make_source(symbol)
        return source

    def _make_source(self, symbol: str) -> Source:
        listing, found = self.listing(symbol), self.data.find(symbol)
        if found is None:
            return SyntheticSource(listing, session_index(listing.calendar), self.seed)
        dataset, history = found
        return ReplayedSource(
            history,
            self._timeline(dataset, history.calendar),
            name=dataset.name,
            tick=float(listing.min_tick),
            unit=float(listing.min_size),
            seed=self.seed,
        )

    def _timeline(self, dataset: Dataset, calendar: str) -> Timeline:
        key = (dataset, calendar)
        if key not in self._timelines:
            self._timelines[key] = Timeline.of(
                calendar, dataset.last_position(calendar), anchor=self._anchor, start=self._start
            )
        return self._timelines[key]

    def _make_minutes(self, contract: Contract, position: int) -> MinuteBars | None:
        """The whole session's minutes; None when the contract does not trade in it."""
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        day = source.day(position)
        if day is None:
            return None
        minutes = source.minutes(position)
        if minutes is not None:
            return minutes
        rng = generator(self.seed, contract.listed_as, index.days[position].isoformat())
        return bridge(day, index.minutes(position), rng, float(contract.min_tick), float(contract.min_size))

    def _session_bars(self, contract: Contract, position: int, step: int, now: datetime) -> list[Bar]:
        minutes, index = self._minutes(contract, position), session_index(contract.calendar)
        if minutes is None:
            return []
        open_minute, length = int(index.opens[position]), index.minutes(position)
        complete, phase = min(to_minute(now) - open_minute, length), index.minute_of_day(position) % step
        bars = bars_of(aggregate(minutes, complete, step, phase), open_minute, is_fractional=_is_fractional(contract))
        newest = max(0, (complete + phase) // step * step - phase)
        begun = from_minute(open_minute + newest)
        is_missing = not bars or bars[-1].ts_utc < begun
        if complete < length and is_missing and minutes.has_bar[newest : complete + 1].any():
            bars.append(empty_bar(begun, self._last_trade(contract, position, now)[0]))
        return bars

    def _daily_bar(self, contract: Contract, position: int, now: datetime) -> Bar | None:
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        if position <= index.closed_by(now):
            day = source.day(position)
            return None if day is None else day_bar(index, position, day, is_fractional=_is_fractional(contract))
        minutes = self._minutes(contract, position)
        if minutes is None:
            return None
        complete = to_minute(now) - int(index.opens[position])
        table = aggregate(minutes, complete, len(minutes.volume))
        stamp = midnight(index, position)
        if len(table.start) == 0:
            return empty_bar(stamp, self._last_trade(contract, position, now)[0])
        return bars_of(table, to_minute(stamp), is_fractional=_is_fractional(contract))[0]

    def _last_trade(self, contract: Contract, position: int, now: datetime) -> tuple[float, datetime, float]:
        """Price and instant of the newest trade at ``now`` in the session at ``position``, and its minute's volume."""
        source, index = self._source(contract.listed_as), session_index(contract.calendar)
        minutes = self._minutes(contract, position)
        day = source.day(position)
        if minutes is None or day is None:
            msg = f"{contract.symbol} does not trade in the session {index.days[position]}"
            raise ValueError(msg)
        open_minute, length = int(index.opens[position]), index.minutes(position)
        offset = to_minute(now) - open_minute
        if offset < length and minutes.has_bar[offset]:
            seconds = (now - from_minute(open_minute + offset)).total_seconds()
            return _within(minutes, offset, seconds / 60, contract), now.astimezone(UTC), float(minutes.volume[offset])
        traded = np.flatnonzero(minutes.has_bar[: max(0, min(offset, length))])
        if len(traded):
            newest = int(traded[-1])
            ended = index.close_of(position) if offset >= length else from_minute(open_minute + newest + 1)
            return float(minutes.close[newest]), ended, float(minutes.volume[newest])
        before = source.latest(position - 1)
        if before is None:
            return day.open, index.open_of(position), 0.0
        return self._last_trade(contract, before, now)


def _within(minutes: MinuteBars, offset: int, fraction: float, contract: Contract) -> float:
    """The price a ``fraction`` of the way through a minute: from the open to the close by way of both extremes."""
    opened, closed = float(minutes.open[offset]), float(minutes.close[offset])
    high, low = float(minutes.high[offset]), float(minutes.low[offset])
    corners = [opened, low, high, closed] if closed >= opened else [opened, high, low, closed]
    place = fraction * 3
    leg = min(int(place), 2)
    tick = float(contract.min_tick)
    price = corners[leg] + (corners[leg + 1] - corners[leg]) * (place - leg)
    if price in corners:
        return price
    return min(max(round(round(price / tick) * tick, 10), low), high)


def _is_fractional(contract: Contract) -> bool:
    return contract.size_increment < 1
