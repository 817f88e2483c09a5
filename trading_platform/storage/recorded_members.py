"""The members of a feed that the lake has recorded, session by session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.member_records import RecordedMembers, members_of
from trading_platform.storage.lake import Lake


def recorded_members(lake: Lake, table: tuple[str, str], feed: Feed, sessions: Sequence[date]) -> RecordedMembers:
    """What ``table`` holds of the feed's members in ``sessions``; nothing for a feed without dynamic members."""
    if feed.members is None:
        return RecordedMembers({}, ())
    rows, missing = lake.read_available(table, [session.isoformat() for session in sessions])
    groups = rows.groupby("session", sort=True) if len(rows) else ()
    return RecordedMembers(
        {date.fromisoformat(str(session)): tuple(members_of(own, feed.calendar)) for session, own in groups},
        tuple(date.fromisoformat(session) for session in missing),
    )
