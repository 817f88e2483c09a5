"""Within a session members are only ever added, whatever the lists show."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.members import Candidate, Member, by_symbol, marked, takes_members, to_resolve

UTC = timezone.utc
SESSION = date(2013, 2, 28)
OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
SCAN, WATCH = "scan TOP_PERC_GAIN", "watch list default"


def candidate(symbol: str, rank: int | None = None, source: str = SCAN) -> Candidate:
    return Candidate(symbol, source, "why", rank)


def member(symbol: str, source: str = SCAN, at: datetime = OPEN) -> Member:
    return Member(Instrument(symbol), 1, source, "why", 1, at)


@pytest.mark.parametrize(
    ("moment", "takes"),
    [
        (OPEN - timedelta(minutes=1), False),
        (OPEN, True),
        (CLOSE, True),
        (CLOSE + timedelta(minutes=59), True),
        (CLOSE + timedelta(hours=1), False),
        (OPEN + timedelta(days=1), False),
    ],
)
def test_a_session_takes_members_from_its_open_until_an_hour_after_its_close(moment: datetime, takes: bool) -> None:
    assert takes_members(SESSION, get_calendar("XNYS"), moment) is takes


def test_a_session_on_a_half_day_ends_earlier() -> None:
    half = date(2012, 11, 23)
    calendar = get_calendar("XNYS")
    assert takes_members(half, calendar, calendar.close_of(half) + timedelta(minutes=59))
    assert not takes_members(half, calendar, datetime(2012, 11, 23, 20, 30, tzinfo=UTC))


def test_where_the_market_never_closes_one_session_at_a_time_takes_members() -> None:
    always = get_calendar("24/7")
    moment = datetime(2013, 3, 1, 0, 30, tzinfo=UTC)
    assert takes_members(date(2013, 3, 1), always, moment)
    assert not takes_members(SESSION, always, moment)


def test_of_several_lists_the_first_that_names_a_symbol_counts() -> None:
    found = by_symbol([[candidate("FB", source=WATCH)], [candidate("AAPL", 1), candidate("FB", 2)]])
    assert {symbol: one.source for symbol, one in found.items()} == {"FB": WATCH, "AAPL": SCAN}


def test_only_what_is_new_is_asked_about() -> None:
    found = by_symbol([[candidate("AAPL"), candidate("FB"), candidate("IBM")]])
    new, left_out = to_resolve(found, known={"FB"}, fixed={"AAPL"}, max_members=10)
    assert [one.symbol for one in new] == ["IBM"]
    assert left_out == []


def test_who_finds_no_room_is_left_out_and_told() -> None:
    found = by_symbol([[candidate(name, rank) for rank, name in enumerate(("A", "B", "C"), 1)]])
    new, left_out = to_resolve(found, known={"Z"}, fixed=(), max_members=2)
    assert [one.symbol for one in new] == ["A"]
    assert [(one.symbol, "max_members" in one.reason) for one in left_out] == [("B", True), ("C", True)]
    assert to_resolve(found, known={"Y", "Z"}, fixed=(), max_members=1)[0] == []


def test_who_leaves_the_list_is_marked_once_and_stays() -> None:
    first = marked([member("FB")], {}, {SCAN}, OPEN + timedelta(minutes=5))
    again = marked(first, {}, {SCAN}, OPEN + timedelta(minutes=9))
    assert [one.left_utc for one in again] == [OPEN + timedelta(minutes=5)]


def test_who_comes_back_is_not_marked_any_more() -> None:
    gone = marked([member("FB")], {}, {SCAN}, OPEN)
    back = marked(gone, {"FB": candidate("FB", 3)}, {SCAN}, OPEN + timedelta(minutes=1))
    assert back == [member("FB")]


def test_a_scan_that_failed_marks_nobody() -> None:
    assert marked([member("FB"), member("IBM", WATCH)], {}, {WATCH}, CLOSE) == [
        member("FB"),
        Member(Instrument("IBM"), 1, WATCH, "why", 1, OPEN, CLOSE),
    ]


LISTS = st.lists(st.one_of(st.none(), st.lists(st.sampled_from("ABCDEF"), unique=True)), max_size=12)


@given(lists=LISTS, room=st.integers(1, 6))
def test_nobody_is_ever_taken_away_and_what_was_recorded_never_changes(
    lists: list[list[str] | None], room: int
) -> None:
    """``None`` is a scan that failed. The law of the table: each look's rows begin with those of the look before."""
    members: list[Member] = []
    for minute, names in enumerate(lists):
        now = OPEN + timedelta(minutes=minute)
        found = by_symbol([[candidate(name, rank) for rank, name in enumerate(names or (), 1)]])
        before = members
        members = marked(members, found, set() if names is None else {SCAN}, now)
        new, _ = to_resolve(found, {one.symbol for one in members}, (), room)
        members += [Member(Instrument(one.symbol), 1, one.source, one.why, one.rank, now) for one in new]
        kept = [(one.symbol, one.rank, one.first_seen_utc) for one in members]
        assert kept[: len(before)] == [(one.symbol, one.rank, one.first_seen_utc) for one in before]
        assert len({one.symbol for one in members}) == len(members) <= room
        assert all(one.first_seen_utc <= now and (one.left_utc is None or one.left_utc <= now) for one in members)
        if names is not None:
            assert {one.symbol for one in members if one.left_utc is None} <= set(names)
