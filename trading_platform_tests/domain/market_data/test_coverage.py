"""What is still to be asked: from which bar on, which sessions, and when again."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.coverage import (
    OVERLAP_BARS,
    catch_up_from,
    due_now,
    missing_by_symbol,
    overlap_sessions,
    retry_at,
)

XNYS = get_calendar("XNYS")
OPEN = pd.Timestamp("2013-02-28T14:30Z").as_unit("ns")
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=timezone.utc)
DAYS = XNYS.sessions(date(2013, 2, 25), date(2013, 2, 28))


def minutes(symbol: str, finals: int, unfinished: int = 0) -> pd.DataFrame:
    starts = [OPEN + pd.Timedelta(minutes=i) for i in range(finals + unfinished)]
    is_final = [True] * finals + [False] * unfinished
    return pd.DataFrame({"symbol": symbol, "ts_utc": pd.Series(starts), "is_final": is_final})


def unanswered(kind: str = "failed", attempts: int = 1, day: date = DAYS[0]) -> pd.DataFrame:
    row = {"symbol": "IBM", "session": day.isoformat(), "kind": kind, "attempts": attempts, "asked_at_utc": NOW}
    return pd.DataFrame([row], columns=list(row)).assign(asked_at_utc=pd.Timestamp(NOW))


NONE = unanswered().iloc[:0]


def test_a_symbol_is_asked_for_from_its_third_last_final_bar_on() -> None:
    bars = pd.concat([minutes("AAPL", 10, 1), minutes("IBM", 5), minutes("NEW", 2, 1)]).sample(frac=1, random_state=1)
    assert catch_up_from(bars) == {
        "AAPL": (OPEN + pd.Timedelta(minutes=10 - OVERLAP_BARS)).to_pydatetime(),
        "IBM": (OPEN + pd.Timedelta(minutes=5 - OVERLAP_BARS)).to_pydatetime(),
    }
    assert catch_up_from(bars.iloc[:0]) == {}


def test_what_comes_after_an_unfinished_bar_is_asked_for_again_final_or_not() -> None:
    bars = minutes("AAPL", 10)
    bars.loc[6, "is_final"] = False
    assert catch_up_from(bars) == {"AAPL": (OPEN + pd.Timedelta(minutes=6 - OVERLAP_BARS)).to_pydatetime()}


def test_doubles_of_a_bar_count_once() -> None:
    bars = pd.concat([minutes("AAPL", 4), minutes("AAPL", 4)])
    assert catch_up_from(bars) == {"AAPL": (OPEN + pd.Timedelta(minutes=1)).to_pydatetime()}


def test_waits_double_up_to_a_day() -> None:
    waits = [(retry_at(attempts, NOW) - NOW) / timedelta(minutes=1) for attempts in (1, 2, 3, 8, 9, 1000)]
    assert waits == [10, 20, 40, 1280, 1440, 1440]


def test_each_symbol_lacks_its_own_sessions() -> None:
    complete = {"AAPL": set(DAYS), "IBM": {DAYS[0]}}
    assert missing_by_symbol(DAYS, ("AAPL", "IBM", "NEW"), complete, NONE) == {"IBM": DAYS[1:], "NEW": DAYS}


@pytest.mark.parametrize(
    ("kind", "attempts", "is_missing"), [("failed", 50, True), ("no_bars", 5, True), ("no_bars", 6, False)]
)
def test_only_a_session_that_has_no_bar_time_and_again_is_given_up(kind: str, attempts: int, is_missing: bool) -> None:
    missing = missing_by_symbol(DAYS[:1], ("IBM",), {}, unanswered(kind, attempts))
    assert missing == ({"IBM": [DAYS[0]]} if is_missing else {})


def test_what_was_asked_for_in_vain_waits_and_the_rest_does_not() -> None:
    missing = {"IBM": DAYS[:2], "AAPL": DAYS[:1]}
    assert due_now(missing, unanswered(), NOW + timedelta(minutes=9)) == {"IBM": [DAYS[1]], "AAPL": [DAYS[0]]}
    assert due_now(missing, unanswered(), NOW + timedelta(minutes=10)) == missing


def test_requests_reach_over_closed_sessions_beside_them() -> None:
    asked = [date(2013, 2, 26)]
    assert overlap_sessions(asked, XNYS, NOW, is_daily=False) == [date(2013, 2, 25), date(2013, 2, 27)]
    assert len(overlap_sessions(asked, XNYS, NOW, is_daily=True)) == 6
    assert overlap_sessions([DAYS[-1]], XNYS, NOW, is_daily=False) == [date(2013, 2, 27)]
    assert overlap_sessions([date(1998, 1, 2)], XNYS, NOW, is_daily=False) == [date(1998, 1, 5)]
