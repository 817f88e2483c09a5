"""What is recorded of members comes back as it was, and decides who is collected in which session."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.member_records import RecordedMembers, members_of, members_table
from trading_platform.domain.market_data.members import Member, MembersSpec
from trading_platform.schemas.base import TableValidationError, validate
from trading_platform.schemas.market_data import FeedMembers

AT = datetime(2013, 2, 28, 15, 0, tzinfo=timezone.utc)
SESSIONS = tuple(date(2013, 2, day) for day in (25, 26, 27, 28))
FEED = Feed("movers", "XNYS", "5 mins", ("AAPL",), 1, (), "", MembersSpec("default"))


def member(symbol: str, **more: object) -> Member:
    fields = {"con_id": 7, "source": "watch list default", "why": "ann: because", "rank": None, "first_seen_utc": AT}
    return Member(Instrument(symbol, primary_exchange="NYSE", con_id=7), **{**fields, **more})  # type: ignore[arg-type]  # a test's fields


def test_members_come_back_from_their_table_as_they_were() -> None:
    members = [member("FB"), member("IBM", rank=3, source="scan MOST_ACTIVE", left_utc=AT)]
    table = validate(FeedMembers, members_table(members, SESSIONS[-1]))
    assert set(table["session"]) == {"2013-02-28"}
    assert members_of(table, "XNYS") == members


def test_a_member_is_in_a_session_once() -> None:
    double = pd.concat([members_table([member("FB")], SESSIONS[0])] * 2, ignore_index=True)
    with pytest.raises(TableValidationError, match="FeedMembers"):
        validate(FeedMembers, double)


def test_a_single_session_is_one_part_of_the_feeds_own_symbols_and_its_members() -> None:
    recorded = RecordedMembers({SESSIONS[0]: (member("FB"), member("AAPL"))}, ())
    ((feed, sessions),) = recorded.parts(FEED, SESSIONS[:1])
    assert feed.symbols == ("AAPL", "FB")
    assert sessions == SESSIONS[:1]


def test_members_are_collected_in_their_own_sessions_only() -> None:
    recorded = RecordedMembers({SESSIONS[1]: (member("FB"), member("IBM")), SESSIONS[3]: (member("IBM"),)}, ())
    parts = {feed.symbols: sessions for feed, sessions in recorded.parts(FEED, SESSIONS)}
    assert parts == {("AAPL",): SESSIONS, ("IBM",): (SESSIONS[1], SESSIONS[3]), ("FB",): (SESSIONS[1],)}


def test_a_feed_without_symbols_of_its_own_and_without_a_record_has_no_part() -> None:
    nobody = Feed("movers", "XNYS", "5 mins", (), 1, (), "", MembersSpec("default"))
    assert RecordedMembers({}, SESSIONS).parts(nobody, SESSIONS) == []


def test_what_is_not_recorded_is_told_and_what_is_nothing_is_not() -> None:
    assert RecordedMembers({}, ()).facts == {}
    assert RecordedMembers({SESSIONS[0]: (member("FB"),)}, SESSIONS[1:]).facts == {
        "members": 1,
        "sessions_without_member_record": 3,
    }


def test_a_look_replaces_its_own_session_and_no_other() -> None:
    before = RecordedMembers({SESSIONS[0]: (member("FB"),)}, SESSIONS[1:])
    after = before.with_session(SESSIONS[1], [member("IBM")])
    assert after.by_session == {SESSIONS[0]: (member("FB"),), SESSIONS[1]: (member("IBM"),)}
    assert after.unrecorded == SESSIONS[2:]


@given(
    st.dictionaries(
        st.sampled_from(SESSIONS), st.lists(st.sampled_from(["FB", "IBM", "AAPL", "KO"]), unique=True), max_size=4
    )
)
def test_every_pair_of_symbol_and_session_is_in_exactly_one_part(names: dict[date, list[str]]) -> None:
    recorded = RecordedMembers({day: tuple(member(name) for name in own) for day, own in names.items()}, ())
    pairs = [(symbol, day) for feed, own in recorded.parts(FEED, SESSIONS) for symbol in feed.symbols for day in own]
    expected = {("AAPL", day) for day in SESSIONS} | {(name, day) for day, own in names.items() for name in own}
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
