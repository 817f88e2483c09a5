"""Ask a source for a feed's bars. One bad symbol never costs the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_platform.brokers.base import BrokerConnectionError, BrokerError
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import final_flags, session_labels
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import complete_sessions
from trading_platform.ingest.sources.base import BarSource, SourceError, SourceUnavailableError
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import RawBars

REQUESTS_AT_ONCE = 8


@dataclass(frozen=True)
class FetchedBars:
    """What came back: ``bars`` as :class:`RawBars`; ``failures`` by symbol, in words; ``requests`` sent."""

    bars: pd.DataFrame
    failures: Mapping[str, str]
    requests: int


class NoBarsError(Exception):
    """Not one symbol of the feed could be fetched. The message has each symbol's reason."""


def fetch_bars(
    source: BarSource,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    sessions: Sequence[date],
    now: datetime,
) -> FetchedBars:
    """Fetch the bars of ``sessions`` for all symbols of ``feed``, a few symbols at once.

    A session that has not opened by ``now`` has no bars and is not asked for.

    Raises:
        NoBarsError: every symbol failed.
        BrokerConnectionError, SourceUnavailableError: the source can't be reached, so no symbol has a chance.
    """
    calendar = get_calendar(feed.calendar)
    begun = [session for session in sessions if calendar.open_of(session) <= now]
    if not begun:
        return FetchedBars(empty(RawBars), {}, 0)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix=f"fetch-{feed.name}") as pool:
        answers = pool.map(lambda symbol: _fetch_symbol(source, feed, instruments[symbol], begun, now), feed.symbols)
        by_symbol = dict(zip(feed.symbols, answers, strict=True))
    failures = {symbol: str(answer) for symbol, answer in by_symbol.items() if isinstance(answer, Exception)}
    if len(failures) == len(feed.symbols):
        msg = f"no bars for feed {feed.name}: " + "; ".join(f"{symbol}: {why}" for symbol, why in failures.items())
        raise NoBarsError(msg)
    fetched = [answer for answer in by_symbol.values() if isinstance(answer, FetchedBars)]
    frames = [answer.bars for answer in fetched if len(answer.bars)]
    bars = pd.concat(frames, ignore_index=True) if frames else empty(RawBars)
    return FetchedBars(bars, failures, sum(answer.requests for answer in fetched))


def with_stored(fetched: FetchedBars, stored: pd.DataFrame, calendar: TradingCalendar) -> pd.DataFrame:
    """The fetched bars, and of the symbols that failed what is ``stored`` of sessions received after their close.

    A session is replaced as a whole, and a symbol that can't be had today must not lose its past. Of the current
    session nothing is kept: old bars would pass for new ones.
    """
    complete = complete_sessions(stored[stored["symbol"].isin(fetched.failures)], calendar) if len(stored) else {}
    labels = {symbol: {session.isoformat() for session in sessions} for symbol, sessions in complete.items()}
    kept = [stored[(stored["symbol"] == name) & stored["session"].isin(own)] for name, own in labels.items()]
    return pd.concat([frame for frame in (fetched.bars, *kept) if len(frame)] or [fetched.bars], ignore_index=True)


def _fetch_symbol(
    source: BarSource, feed: Feed, instrument: Instrument, sessions: Sequence[date], now: datetime
) -> FetchedBars | BrokerError | SourceError:
    """One symbol's bars with everything that is known of them, or why there are none."""
    calendar = get_calendar(feed.calendar)
    try:
        sent = source.bars(instrument, feed.bar_size, sessions, since=None, now=now)
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
    return FetchedBars(bars[bars["session"].isin({day.isoformat() for day in sessions})], {}, sent.requests)
