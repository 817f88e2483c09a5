"""What the lake holds of a feed's members, session by session."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.member_records import members_table
from trading_platform.domain.market_data.members import Member, MembersSpec
from trading_platform.schemas.base import empty, validate
from trading_platform.schemas.market_data import FeedMembers
from trading_platform.storage.lake import Lake
from trading_platform.storage.recorded_members import recorded_members

TABLE = ("market_data", "movers_members")
FEED = Feed("movers", "XNYS", "5 mins", ("AAPL",), 1, (), "", MembersSpec("default"))
FIRST, SECOND, THIRD = (date(2013, 2, day) for day in (26, 27, 28))
AT = datetime(2013, 2, 26, 15, tzinfo=timezone.utc)
MEMBER = Member(Instrument("IBM", con_id=8314), 8314, "watch list default", "ann: because", None, AT)


def test_a_session_that_nobody_looked_at_is_told_from_one_without_members(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.write_sessions(TABLE, validate(FeedMembers, members_table([MEMBER], FIRST)), [FIRST.isoformat()])
    lake.write_sessions(TABLE, empty(FeedMembers), [SECOND.isoformat()])
    found = recorded_members(lake, TABLE, FEED, [FIRST, SECOND, THIRD])
    assert found.by_session == {FIRST: (MEMBER,)}
    assert found.unrecorded == (THIRD,)
    assert found.instruments == {"IBM": MEMBER.instrument}


def test_a_feed_without_dynamic_members_has_none_and_lacks_none(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    fixed = Feed("daily", "XNYS", "1 day", ("AAPL",), 1, ("momentum",))
    found = recorded_members(lake, TABLE, fixed, [FIRST])
    assert (found.by_session, found.unrecorded, found.facts) == ({}, (), {})
    assert found.parts(fixed, [FIRST]) == [(fixed, (FIRST,))]
