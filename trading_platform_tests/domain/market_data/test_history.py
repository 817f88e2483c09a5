"""What is asked of the broker covers what is missing, within its limits."""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import ALWAYS_OPEN, TradingCalendar, get_calendar
from trading_platform.domain.market_data.bars import bars_per_session
from trading_platform.domain.market_data.history import (
    MAX_REQUEST_BARS,
    BarsRequest,
    complete_sessions,
    longest_request,
    look_back,
    missing_ranges,
    plan_requests,
    request_chunks,
)
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize
from trading_platform.paper_gateway.spans import parse_duration, span_start

UTC = timezone.utc
XNYS = get_calendar("XNYS")
ALWAYS = get_calendar(ALWAYS_OPEN)
NOW = datetime(2013, 2, 28, 20, 45, tzinfo=UTC)
TODAY = date(2013, 2, 28)
SESSIONS = XNYS.sessions(date(2011, 1, 3), TODAY)


def stored(*rows: tuple[str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "session", "received_at_utc"])
    return frame.assign(received_at_utc=pd.to_datetime(frame["received_at_utc"], utc=True))


def test_the_look_back_holds_the_session_and_those_before_it() -> None:
    assert look_back(TODAY, 3, XNYS) == [date(2013, 2, 25), date(2013, 2, 26), date(2013, 2, 27), TODAY]


def test_a_session_is_complete_once_a_bar_was_received_after_its_close() -> None:
    bars = stored(
        ("AAPL", "2013-02-27", "2013-02-27T18:00Z"),
        ("AAPL", "2013-02-27", "2013-02-27T21:00Z"),
        ("AAPL", "2013-02-28", "2013-02-28T20:45Z"),
        ("IBM", "2013-02-27", "2013-02-27T20:59Z"),
        ("IBM", "2013-03-02", "2013-03-03T20:59Z"),
    )
    assert complete_sessions(bars, XNYS) == {"AAPL": {date(2013, 2, 27)}}
    assert complete_sessions(stored(), XNYS) == {}


def test_missing_sessions_form_runs_that_weekends_do_not_break() -> None:
    needed = look_back(TODAY, 6, XNYS)
    runs = missing_ranges(needed, {date(2013, 2, 26)}, XNYS)
    assert runs == (
        (date(2013, 2, 20), date(2013, 2, 21), date(2013, 2, 22), date(2013, 2, 25)),
        (date(2013, 2, 27), TODAY),
    )


def asked(*sessions: date, bar_size: BarSize = "5 mins", now: datetime = NOW) -> list[tuple[datetime | None, str]]:
    return [(request.end, request.duration) for request in plan_requests(sessions, bar_size, XNYS, now)]


def test_a_request_ends_at_the_close_of_its_last_session_or_now() -> None:
    assert asked(date(2013, 2, 22), date(2013, 2, 25)) == [(datetime(2013, 2, 25, 21, tzinfo=UTC), "4 D")]
    assert asked(TODAY, bar_size="1 min") == [(None, "1 D")]
    assert asked() == []


def test_a_cold_start_of_daily_history_is_one_request() -> None:
    needed = look_back(TODAY, 70, XNYS)
    (request,) = plan_requests(needed, "1 day", XNYS, NOW)
    assert request == BarsRequest(tuple(needed), None, "16 W")


@pytest.mark.parametrize(
    ("bar_size", "on_exchange", "around_the_clock"),
    [("1 min", 28, 5), ("5 mins", 140, 27), ("15 mins", 365, 83), ("1 hour", 4 * 365, 333), ("1 day", 30 * 365, 7665)],
)
def test_a_request_covers_as_many_days_as_make_a_few_thousand_bars(
    bar_size: BarSize, on_exchange: int, around_the_clock: int
) -> None:
    assert longest_request(bar_size, XNYS) == on_exchange
    assert longest_request(bar_size, ALWAYS) == around_the_clock


def test_years_of_minutes_are_a_request_a_month_and_years_of_days_are_one() -> None:
    year = XNYS.sessions(date(2012, 1, 3), date(2012, 12, 31))
    assert len(plan_requests(year, "1 min", XNYS, NOW)) == 13
    assert len(plan_requests(year, "5 mins", XNYS, NOW)) == 3
    (request,) = plan_requests(SESSIONS, "1 day", XNYS, NOW)
    assert request.duration == "3 Y"
    (request,) = plan_requests(SESSIONS, "1 hour", XNYS, NOW)
    assert request.sessions == tuple(SESSIONS)


def test_a_gap_is_bridged_when_that_saves_a_request() -> None:
    (request,) = plan_requests([date(2013, 2, 4), date(2013, 2, 5), date(2013, 2, 26)], "1 min", XNYS, NOW)
    assert request.sessions == (date(2013, 2, 4), date(2013, 2, 5), date(2013, 2, 26))
    assert request.duration == "4 W"


def test_a_gap_is_not_bridged_for_nothing() -> None:
    early, late = XNYS.sessions(date(2013, 1, 2), date(2013, 1, 4)), XNYS.sessions(date(2013, 1, 25), date(2013, 1, 31))
    first, second = plan_requests([*early, *late], "1 min", XNYS, NOW)
    assert (first.sessions, second.sessions) == (tuple(early), tuple(late))


MARKETS = st.sampled_from([XNYS, ALWAYS])
BAR_SIZES = st.sampled_from(list(BAR_MINUTES))


@settings(deadline=None, max_examples=100)
@given(calendar=MARKETS, bar_size=BAR_SIZES, data=st.data())
def test_the_requests_cover_each_needed_session_once_within_what_ibkr_allows(
    calendar: TradingCalendar, bar_size: BarSize, data: st.DataObject
) -> None:
    sessions = calendar.sessions(date(1999, 1, 4), TODAY)
    chosen = st.lists(st.sampled_from(sessions), max_size=12)
    runs = st.tuples(st.integers(0, len(sessions)), st.integers(0, 300)).map(lambda at: sessions[at[0] : sum(at)])
    needed = data.draw(st.one_of(chosen, runs))
    requests = plan_requests(needed, bar_size, calendar, NOW)
    assert [session for request in requests for session in request.sessions] == sorted(set(needed))
    for request in requests:
        is_over = calendar.close_of(request.sessions[-1]) <= NOW
        assert request.end == (calendar.close_of(request.sessions[-1]) if is_over else None)
        # the gateway's own reading of the words, which refuses what IBKR refuses
        duration = parse_duration(request.duration, BAR_MINUTES[bar_size] * 60)
        start = span_start(calendar, request.end or NOW, duration, is_daily=False)
        assert start is None or start <= calendar.open_of(request.sessions[0])
        assert bars_asked_for(calendar, request, start, bar_size) <= MAX_REQUEST_BARS


def bars_asked_for(calendar: TradingCalendar, request: BarsRequest, start: datetime | None, bar_size: BarSize) -> int:
    if start is None:
        return 0
    sessions = calendar.sessions(start.date(), calendar.latest_session((request.end or NOW) - timedelta(seconds=1)))
    return len(sessions) * bars_per_session(bar_size, calendar)


@settings(deadline=None, max_examples=200)
@given(
    calendar=MARKETS,
    bar_size=BAR_SIZES,
    offsets=st.sets(st.integers(0, 40), max_size=7),
    scale=st.sampled_from([1, 3, 20, 90]),
)
def test_there_is_no_plan_with_fewer_requests(
    calendar: TradingCalendar, bar_size: BarSize, offsets: set[int], scale: int
) -> None:
    newest = calendar.latest_session(NOW)
    needed = sorted(calendar.offset(newest, -offset * scale) for offset in offsets)
    requests = plan_requests(needed, bar_size, calendar, NOW)
    assert len(requests) == fewest(needed, longest_request(bar_size, calendar))


def fewest(needed: list[date], longest: int) -> int:
    """The smallest number of spans that cover all days, found by trying all sets of spans."""
    spans = [
        frozenset(day for day in needed if first <= day <= last)
        for first, last in itertools.combinations_with_replacement(needed, 2)
        if (last - first).days + 1 <= longest
    ]
    return next(
        count
        for count in range(len(needed) + 1)
        if any(set().union(*chosen) == set(needed) for chosen in itertools.combinations(spans, count))
    )


@given(needed=st.lists(st.sampled_from(SESSIONS), unique=True), complete=st.sets(st.sampled_from(SESSIONS)))
def test_missing_ranges_are_whole_runs_of_what_is_missing(needed: list[date], complete: set[date]) -> None:
    runs = missing_ranges(needed, complete, XNYS)
    for run in runs:
        assert list(run) == XNYS.sessions(run[0], run[-1])
    assert [session for run in runs for session in run] == sorted(set(needed) - complete)


def test_pieces_are_what_one_request_can_cover() -> None:
    days = XNYS.sessions(date(2013, 2, 25), date(2013, 2, 28))
    years = XNYS.sessions(date(2011, 6, 1), date(2013, 2, 28))
    assert [len(piece) for piece in request_chunks(days, "1 min", XNYS)] == [4]
    assert request_chunks(years, "1 day", XNYS) == [years]
    pieces = request_chunks(years, "1 min", XNYS)
    assert [day for piece in pieces for day in piece] == years
    assert all((piece[-1] - piece[0]).days < longest_request("1 min", XNYS) for piece in pieces)
    assert len(pieces) == 23
