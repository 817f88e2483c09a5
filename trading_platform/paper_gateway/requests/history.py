"""Requests for historical bars."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.errors import (
    HISTORY_PREFIX,
    RequestError,
    refuse_history,
    refuse_invalid,
    refuse_processing,
)
from trading_platform.paper_gateway.faults import RewriteHistory
from trading_platform.paper_gateway.messages import history as messages
from trading_platform.paper_gateway.messages.contracts import ContractQuery
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.messages.times import parse_instant
from trading_platform.paper_gateway.model import Bar, Contract
from trading_platform.paper_gateway.spans import DAY_SECONDS, bar_seconds, midnight, parse_duration, span_start

if TYPE_CHECKING:
    from trading_platform.paper_gateway.hub import Hub
    from trading_platform.paper_gateway.sessions import Session
    from trading_platform.paper_gateway.wire import FieldReader

_KIND = "history"
_NOT_KNOWN = -1
_SHORTEST_BAR_SECONDS = 60


@dataclass(frozen=True)
class Span:
    """What one request asks the market for: bars that start in [start, end), with nothing after ``until``."""

    start: datetime
    end: datetime
    until: datetime


@dataclass
class HistoryStream:
    """The newest bar of a request that is kept up to date."""

    session: Session
    request: messages.HistoryRequest
    contract: Contract
    style: messages.BarFormat
    newest: Bar
    interval_seconds: float = 1.0

    def refresh(self) -> None:
        """Send the newest bar, and those that were finished since, if anything changed."""
        hub = self.session.hub
        now = hub.now()
        end = _end_of_bars(self.contract, now) if self.style.is_daily else now
        span = Span(self.newest.ts_utc, max(end, self.newest.ts_utc + timedelta(microseconds=1)), now)
        for bar in _bars(hub, self.contract, self.request, span):
            if bar != self.newest:
                self.newest = bar
                self.session.send(messages.historical_data_update(self.request.request_id, bar, self.style))


@dataclass
class PendingHistory:
    """A request that is open until its answer is due."""

    session: Session
    request: messages.HistoryRequest
    contract: Contract
    span: Span
    interval_seconds: float

    def refresh(self) -> None:
        """Answer, and close the request."""
        self.session.unsubscribe(_KIND, self.request.request_id)
        try:
            _answer(self.session, self.request, self.contract, self.span)
        except RequestError as error:
            self.session.error(self.request.request_id, error.code, error.text)


def historical_data(session: Session, reader: FieldReader) -> None:
    """Send bars; with keep-up-to-date, the newest one again whenever it changes."""
    request = messages.HistoryRequest.read(reader)
    if (_KIND, request.request_id) in session.streams:
        refuse_processing("Duplicate ticker ID for API historical data query")
    contract = session.hub.one(request.query)
    seconds = bar_seconds(request.bar_size)
    _check_what(request, contract)
    if request.keep_up_to_date and request.end:
        refuse_invalid("The end date must be empty for a request that is kept up to date")
    span = _span(session.hub, request, contract, seconds)
    _check_pacing(session, request, contract, seconds)
    refusal = session.hub.faults.history_refusal(contract.symbol)
    if refusal is not None:
        refuse_history(refusal.text)
    pending = PendingHistory(session, request, contract, span, session.hub.config.history_rules.answer_seconds)
    if pending.interval_seconds:
        session.subscribe(_KIND, request.request_id, pending)
    else:
        _answer(session, request, contract, span)


def _answer(session: Session, request: messages.HistoryRequest, contract: Contract, span: Span) -> None:
    bars = _bars(session.hub, contract, request, span)
    if not bars:
        asked = f"{contract.symbol}@{request.query.exchange or contract.exchange} {request.what.title()}"
        refuse_history(f"HMDS query returned no data: {asked}")
    style = messages.BarFormat(bar_seconds(request.bar_size) >= DAY_SECONDS, request.date_format, contract.time_zone)
    session.send(messages.historical_data(request.request_id, bars, style, span.start, span.until))
    if request.keep_up_to_date:
        session.subscribe(_KIND, request.request_id, HistoryStream(session, request, contract, style, bars[-1]))


def _check_what(request: messages.HistoryRequest, contract: Contract) -> None:
    """Refuse tick types that IBKR refuses for the kind of contract."""
    if request.what not in messages.TICK_TYPES:
        refuse_invalid(f"Invalid tick type '{request.what}'. Legal ones are: {', '.join(messages.TICK_TYPES)}")
    if contract.security_type == "CRYPTO" and request.what == "TRADES":
        raise RequestError(10299, "Expected what to show is AGGTRADES, please use that instead of TRADES.")
    if contract.security_type == "CASH" and request.what in ("TRADES", "AGGTRADES"):
        name = f"{contract.local_symbol}@{contract.exchange}"
        refuse_history(f"No historical data query found for {name}: there are no trades, ask for MIDPOINT")
    if request.what == "ADJUSTED_LAST" and request.end:
        refuse_invalid("The end date is not supported with adjusted last")


def _span(hub: Hub, request: messages.HistoryRequest, contract: Contract, seconds: int) -> Span:
    now = hub.now()
    until = min(parse_instant(request.end), now) if request.end else now
    duration = parse_duration(request.duration, seconds)
    is_daily = seconds >= DAY_SECONDS
    calendar = get_calendar(contract.calendar)
    start = span_start(calendar, until, duration, is_daily=is_daily) or hub.market.first_bar_at(contract)
    end = _end_of_bars(contract, until) if is_daily else until
    return Span(min(start, end) if start is not None else end, end, until)


def _end_of_bars(contract: Contract, until: datetime) -> datetime:
    """The end of daily bars: just after the date of the last session that opened before ``until``."""
    session = get_calendar(contract.calendar).latest_session(until - timedelta(microseconds=1))
    return midnight(session) + timedelta(microseconds=1)


def _bars(hub: Hub, contract: Contract, request: messages.HistoryRequest, span: Span) -> list[Bar]:
    if bar_seconds(request.bar_size) < _SHORTEST_BAR_SECONDS:
        return []
    bars = hub.market.bars(
        contract,
        request.bar_size,
        span.start,
        span.end,
        span.until,
        regular_hours_only=request.regular_hours_only,
        is_adjusted=request.what == "ADJUSTED_LAST",
    )
    if request.what != "ADJUSTED_LAST":
        bars = _rewritten(hub.faults.rewrites(contract.symbol), bars)
    if request.what in ("TRADES", "AGGTRADES", "ADJUSTED_LAST"):
        return bars
    offset = {"BID": -1.0, "ASK": 1.0}.get(request.what, 0.0) * float(contract.min_tick)
    return [_quoted(bar, offset) for bar in bars]


def _rewritten(faults: Sequence[RewriteHistory], bars: list[Bar]) -> list[Bar]:
    for fault in faults:
        kept = [bar for bar in bars if not (fault.is_removed and fault.holds_for(bar.ts_utc))]
        bars = [_scaled(bar, fault) if fault.holds_for(bar.ts_utc) else bar for bar in kept]
    return bars


def _scaled(bar: Bar, fault: RewriteHistory) -> Bar:
    prices = {
        name: round(getattr(bar, name) * fault.price_factor, 6) for name in ("open", "high", "low", "close", "wap")
    }
    return replace(bar, **prices, volume=bar.volume * fault.volume_factor)


def _quoted(bar: Bar, offset: float) -> Bar:
    """A bar of quotes made from one of trades: shifted by a tick, without volume."""
    return replace(
        bar,
        open=round(bar.open + offset, 6),
        high=round(bar.high + offset, 6),
        low=round(bar.low + offset, 6),
        close=round(bar.close + offset, 6),
        volume=_NOT_KNOWN,
        wap=_NOT_KNOWN,
        trade_count=_NOT_KNOWN,
    )


def _check_pacing(session: Session, request: messages.HistoryRequest, contract: Contract, seconds: int) -> None:
    hub = session.hub
    if not hub.config.pacing_enabled:
        return
    open_requests = sum(kind == _KIND for other in hub.sessions.values() for kind, _ in other.streams)
    allowed = hub.config.history_rules.open_requests
    if open_requests >= allowed:
        refuse_processing(f"Only {allowed} simultaneous API historical data requests allowed.")
    stream = (contract.con_id, request.query.exchange, request.what)
    identical = (*stream, request.end, request.bar_size, request.duration, request.regular_hours_only)
    weight = 2 if request.what == "BID_ASK" else 1
    now = asyncio.get_running_loop().time()
    broken = hub.history_pacing.violation(identical, stream, seconds, weight, now)
    if broken:
        refuse_history(f"Historical data request pacing violation ({broken})")


def cancel_historical_data(session: Session, reader: FieldReader) -> None:
    """End a request that is kept up to date."""
    reader.skip()  # version
    request_id = reader.request_id()
    if not session.unsubscribe(_KIND, request_id):
        raise RequestError(366, f"No historical data query found for ticker id:{request_id}")
    session.error(request_id, 162, f"{HISTORY_PREFIX}API historical data query cancelled: {request_id}")


def head_timestamp(session: Session, reader: FieldReader) -> None:
    """Tell when the oldest bar starts."""
    request_id = reader.request_id()
    contract = session.hub.one(ContractQuery.read(reader))
    reader.skip(3)  # expired contracts, regular hours, tick type
    date_format = reader.integer()
    first = session.hub.market.first_bar_at(contract)
    if first is None:
        refuse_history("No head time stamp")
    session.send(messages.head_timestamp(request_id, first, date_format))


def cancel_head_timestamp(session: Session, reader: FieldReader) -> None:
    """Nothing to cancel: the answer is sent at once."""
    del session, reader


HANDLERS = {
    Incoming.REQ_HISTORICAL_DATA: historical_data,
    Incoming.CANCEL_HISTORICAL_DATA: cancel_historical_data,
    Incoming.REQ_HEAD_TIMESTAMP: head_timestamp,
    Incoming.CANCEL_HEAD_TIMESTAMP: cancel_head_timestamp,
}
