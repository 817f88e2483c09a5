"""The broker as a source of bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from math import ceil

import pandas as pd

from trading_platform.brokers.base import Broker, NoDataError
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import session_labels
from trading_platform.domain.market_data.history import BarsRequest, plan_requests
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.sources.base import BAR_COLUMNS, SourcedBars

ANSWER_WITHIN = timedelta(minutes=2)
"""TWS counts seconds back from when it answers: so much later than asked for may that be, retries included."""
MOST_SECONDS = 86_400
"""IBKR: a duration in seconds is at most a day."""


class BrokerSource:
    """Historical bars of a :class:`~trading_platform.brokers.base.Broker`, in as few requests as it allows."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def bars(
        self,
        instrument: Instrument,
        bar_size: BarSize,
        sessions: Sequence[date],
        *,
        since: datetime | None,
        now: datetime,
    ) -> SourcedBars:
        """Ask for ``sessions``. Of one session of bars within the day only the seconds since ``since``.

        Sessions in which the instrument had no ticker are not asked for: the broker would have nothing, or the bars of
        another company.

        Raises:
            NoDataError: no request had a bar, or the instrument was listed in none of the sessions.
            BrokerError: the broker refused one of the requests.
        """
        sessions = _listed(instrument, sessions)
        calendar = get_calendar(instrument.calendar)
        origin = self._broker.data_origin(instrument)
        requests = _tail(sessions, bar_size, calendar, since, now) or plan_requests(sessions, bar_size, calendar, now)
        parts: list[pd.DataFrame] = []
        nothing: NoDataError | None = None
        for request in requests:
            try:
                part = self._broker.historical_bars(
                    instrument, end=request.end, duration=request.duration, bar_size=bar_size
                )
            except NoDataError as error:
                nothing = error  # not listed yet, or no trade: other ranges may have bars
                continue
            labels = session_labels(part["ts_utc"], bar_size, calendar)
            is_own = labels.isin({session.isoformat() for session in request.sessions})
            parts.append(part.loc[is_own, BAR_COLUMNS])
        if not parts and nothing is not None:
            raise nothing
        return SourcedBars(pd.concat(parts, ignore_index=True), origin, len(requests))


def _listed(instrument: Instrument, sessions: Sequence[date]) -> Sequence[date]:
    """The sessions in which the instrument had a ticker."""
    listed = [session for session in sessions if instrument.is_listed(session)]
    if not listed:
        known = ", ".join(map(str, instrument.tickers))
        msg = f"{instrument.symbol} was not listed from {min(sessions)} to {max(sessions)}: it was {known}"
        raise NoDataError(msg)
    return listed


def _tail(
    sessions: Sequence[date], bar_size: BarSize, calendar: TradingCalendar, since: datetime | None, now: datetime
) -> tuple[BarsRequest, ...]:
    """The request for a running session's bars from ``since`` on; none where a whole session must be asked for."""
    if since is None or bar_size == "1 day" or len(sessions) != 1 or calendar.session_at(now) != sessions[0]:
        return ()
    seconds = ceil((now - since + ANSWER_WITHIN) / timedelta(minutes=1)) * 60
    return () if seconds > MOST_SECONDS else (BarsRequest(tuple(sessions), None, f"{seconds} S"),)
