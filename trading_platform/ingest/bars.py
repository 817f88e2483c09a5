"""Ask the broker for a feed's bars. One bad symbol never costs the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError, NoDataError
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import final_flags, session_labels
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.history import BarsRequest, complete_sessions, missing_ranges, plan_requests
from trading_platform.schemas.base import empty
from trading_platform.schemas.market_data import RawBars

REQUESTS_AT_ONCE = 8
BAR_COLUMNS = ["ts_utc", "open", "high", "low", "close", "volume"]


@dataclass(frozen=True)
class FetchedBars:
    """What came back: ``bars`` as :class:`RawBars`; ``failures`` by symbol, in words; ``requests`` sent."""

    bars: pd.DataFrame
    failures: Mapping[str, str]
    requests: int


class NoBarsError(Exception):
    """Not one symbol of the feed could be fetched. The message has each symbol's reason."""


def fetch_bars(
    broker: Broker,
    feed: Feed,
    instruments: Mapping[str, Instrument],
    sessions: Sequence[date],
    now: datetime,
) -> FetchedBars:
    """Fetch the bars of ``sessions`` for all symbols of ``feed``, a few symbols at once.

    A session that has not opened by ``now`` has no bars and is not asked for.

    Raises:
        NoBarsError: every symbol failed.
        BrokerConnectionError: the broker can't be reached, so no symbol has a chance.
    """
    calendar = get_calendar(feed.calendar)
    begun = [session for session in sessions if calendar.open_of(session) <= now]
    requests = plan_requests(missing_ranges(begun, (), calendar), feed.bar_size, calendar, now)

    def fetch(symbol: str) -> pd.DataFrame | BrokerError:
        try:
            return _fetch_symbol(broker, feed, instruments[symbol], requests, now)
        except BrokerConnectionError:
            raise
        except BrokerError as error:
            return error

    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix=f"fetch-{feed.name}") as pool:
        answers = dict(zip(feed.symbols, pool.map(fetch, feed.symbols), strict=True))
    failures = {symbol: str(answer) for symbol, answer in answers.items() if isinstance(answer, BrokerError)}
    frames = [answer for answer in answers.values() if isinstance(answer, pd.DataFrame) and len(answer)]
    if requests and len(failures) == len(feed.symbols):
        msg = f"no bars for feed {feed.name}: " + "; ".join(f"{symbol}: {why}" for symbol, why in failures.items())
        raise NoBarsError(msg)
    bars = pd.concat(frames, ignore_index=True) if frames else empty(RawBars)
    wanted = {session.isoformat() for session in begun}
    return FetchedBars(bars[bars["session"].isin(wanted)], failures, len(requests) * len(feed.symbols))


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
    broker: Broker, feed: Feed, instrument: Instrument, requests: Sequence[BarsRequest], now: datetime
) -> pd.DataFrame:
    calendar = get_calendar(feed.calendar)
    origin = broker.instrument_details(instrument).data_origin
    parts: list[pd.DataFrame] = []
    nothing: NoDataError | None = None
    for request in requests:
        try:
            part = broker.historical_bars(
                instrument, end=request.end, duration=request.duration, bar_size=feed.bar_size
            )
        except NoDataError as error:
            nothing = error  # not listed yet, or no trade: other ranges may have bars
            continue
        labelled = part[BAR_COLUMNS].assign(session=session_labels(part["ts_utc"], feed.bar_size, calendar))
        parts.append(labelled[labelled["session"].isin({day.isoformat() for day in request.sessions})])
    if not parts and nothing is not None:
        raise nothing
    bars = pd.concat(parts, ignore_index=True) if parts else empty(RawBars)[[*BAR_COLUMNS, "session"]]
    return bars.assign(
        symbol=instrument.symbol,
        is_final=final_flags(bars["ts_utc"], feed.bar_size, calendar, now),
        source=origin,
        received_at_utc=pd.Timestamp(now).as_unit("ns"),
    )
