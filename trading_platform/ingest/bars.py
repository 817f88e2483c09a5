"""Ask a source for a feed's bars, a few symbols at once. One bad symbol never costs the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_platform.brokers.base import BrokerConnectionError, BrokerError, NoDataError, UnknownInstrumentError
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import final_flags, session_labels
from trading_platform.domain.market_data.coverage import Ask
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.ingest.sources.base import BarSource, SourceError, SourceUnavailableError
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import RawBars

REQUESTS_AT_ONCE = 8


@dataclass(frozen=True)
class FetchedBars:
    """What came back: ``bars`` as :class:`RawBars`; ``failures`` by symbol, in words; ``requests`` sent.

    Of the failed symbols ``unknown`` are those that the source does not know, ``without_data`` those it has nothing of.
    """

    bars: pd.DataFrame
    failures: Mapping[str, str]
    requests: int
    unknown: frozenset[str] = frozenset()
    without_data: frozenset[str] = frozenset()


class NoBarsError(Exception):
    """Not one symbol of the feed could be fetched. The message has each symbol's reason."""


def fetch_bars(
    source: BarSource,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    sessions: Sequence[date],
    now: datetime,
) -> FetchedBars:
    """Fetch the bars of ``sessions`` for all symbols of ``feed``.

    A session that has not opened by ``now`` has no bars and is not asked for.

    Raises:
        NoBarsError: every symbol failed.
        BrokerConnectionError, SourceUnavailableError: the source can't be reached, so no symbol has a chance.
    """
    calendar = get_calendar(feed.calendar)
    begun = tuple(session for session in sessions if calendar.open_of(session) <= now)
    if not begun:
        return FetchedBars(empty(RawBars), {}, 0)
    fetched = fetch_asked(source, feed, instruments, {symbol: Ask(begun) for symbol in feed.symbols}, now)
    require_some(feed, fetched.failures, feed.symbols)
    return fetched


def fetch_asked(
    source: BarSource, feed: Feed, instruments: Mapping[str, Instrument], asks: Mapping[str, Ask], now: datetime
) -> FetchedBars:
    """Fetch what is asked of each symbol. All may fail: :func:`require_some` says whether that is too bad.

    Raises:
        BrokerConnectionError, SourceUnavailableError: the source can't be reached, so no symbol has a chance.
    """
    if not asks:
        return FetchedBars(empty(RawBars), {}, 0)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix=f"fetch-{feed.name}") as pool:
        answers = pool.map(lambda item: _fetch_symbol(source, feed, instruments[item[0]], item[1], now), asks.items())
        by_symbol = dict(zip(asks, answers, strict=True))
    failures = {symbol: answer for symbol, answer in by_symbol.items() if isinstance(answer, Exception)}
    fetched = [answer for answer in by_symbol.values() if isinstance(answer, FetchedBars)]
    frames = [answer.bars for answer in fetched if len(answer.bars)]
    return FetchedBars(
        pd.concat(frames, ignore_index=True) if frames else empty(RawBars),
        {symbol: str(error) for symbol, error in failures.items()},
        sum(answer.requests for answer in fetched),
        frozenset(symbol for symbol, error in failures.items() if isinstance(error, UnknownInstrumentError)),
        frozenset(symbol for symbol, error in failures.items() if isinstance(error, NoDataError)),
    )


def require_some(feed: Feed, failures: Mapping[str, str], asked: Sequence[str]) -> None:
    """Raise NoBarsError if every symbol that was asked for failed."""
    if asked and set(asked) <= set(failures):
        msg = f"no bars for feed {feed.name}: " + "; ".join(f"{symbol}: {why}" for symbol, why in failures.items())
        raise NoBarsError(msg)


def _fetch_symbol(
    source: BarSource, feed: Feed, instrument: Instrument, ask: Ask, now: datetime
) -> FetchedBars | BrokerError | SourceError:
    """One symbol's bars with everything that is known of them, or why there are none."""
    calendar = get_calendar(feed.calendar)
    try:
        sent = source.bars(instrument, feed.bar_size, ask.sessions, since=ask.since, now=now)
    except (BrokerConnectionError, SourceUnavailableError):
        raise
    except (BrokerError, SourceError) as error:
        return error
    bars = sent.bars.assign(
        symbol=instrument.symbol,
        session=session_labels(sent.bars["ts_utc"], feed.bar_size, calendar),
        is_final=final_flags(sent.bars["ts_utc"], feed.bar_size, calendar, now),
        source=sent.origin,
        received_at_utc=pd.Timestamp(now).as_unit("ns"),
    )
    is_wanted = bars["session"].isin({day.isoformat() for day in ask.sessions})
    if ask.since is not None:
        is_wanted &= (bars["session"] != max(ask.sessions).isoformat()) | (bars["ts_utc"] >= ask.since)
    return FetchedBars(bars[is_wanted], {}, sent.requests)
