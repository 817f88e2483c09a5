"""What is asked of the broker covers what is missing, within its limits."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.history import (
    MAX_REQUEST_DAYS,
    BarsRequest,
    complete_sessions,
    look_back,
    missing_ranges,
    plan_request,
    plan_requests,
)
from trading_platform.domain.signals.spec import BAR_MINUTES, BarSize

UTC = timezone.utc
XNYS = get_calendar("XNYS")
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


def test_a_request_ends_at_the_close_of_its_last_session_or_now() -> None:
    assert plan_request([date(2013, 2, 22), date(2013, 2, 25)], "5 mins", XNYS, NOW) == (
        datetime(2013, 2, 25, 21, tzinfo=UTC),
        "4 D",
    )
    assert plan_request([TODAY], "1 min", XNYS, NOW) == (None, "1 D")


def test_a_request_beyond_the_limits_of_ibkr_is_refused() -> None:
    with pytest.raises(ValueError, match="4 days of 1 min bars are too much for one request: at most 1"):
        plan_request([date(2013, 2, 22), date(2013, 2, 25)], "1 min", XNYS, NOW)
    with pytest.raises(ValueError, match="no sessions"):
        plan_request([], "1 min", XNYS, NOW)


def test_a_cold_start_of_daily_history_is_one_request() -> None:
    runs = missing_ranges(look_back(TODAY, 70, XNYS), set(), XNYS)
    (request,) = plan_requests(runs, "1 day", XNYS, NOW)
    assert request == BarsRequest(runs[0], None, "106 D")


@given(
    needed=st.lists(st.sampled_from(SESSIONS), unique=True),
    complete=st.sets(st.sampled_from(SESSIONS)),
    bar_size=st.sampled_from(list(BAR_MINUTES)),
)
def test_the_requests_cover_each_missing_session_once_within_the_limits(
    needed: list[date], complete: set[date], bar_size: BarSize
) -> None:
    runs = missing_ranges(needed, complete, XNYS)
    for run in runs:
        assert list(run) == XNYS.sessions(run[0], run[-1])
    requests = plan_requests(runs, bar_size, XNYS, NOW)
    assert [session for request in requests for session in request.sessions] == sorted(set(needed) - complete)
    for request in requests:
        count, unit = request.duration.split()
        assert unit == "D"
        assert int(count) <= MAX_REQUEST_DAYS[bar_size]
        end = request.end or NOW
        assert end - timedelta(days=int(count)) < XNYS.open_of(request.sessions[0])
        assert end <= NOW
