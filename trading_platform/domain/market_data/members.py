"""Dynamic members of a feed: symbols that a watch list or a scan adds to it for one session. Pure.

Within a session members are only ever added. One that leaves its list is marked and stays, so that its bars stay
complete. The next session begins with none. A member is collected, and nothing else: no strategy trades it unless it is
in the strategy's own universe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.scans import Scan

if TYPE_CHECKING:
    from datetime import date

AFTER_CLOSE = timedelta(hours=1)
"""How long after its close a session still takes members: its settled bars are fetched then, and no other session's."""
MOST_MEMBERS = 100
USUAL_MEMBERS = 50


@dataclass(frozen=True)
class MembersSpec:
    """Where a feed's members come from: a watch list, a scan, or both; at most ``max_members`` in one session."""

    watch_list: str | None = None
    scan: Scan | None = None
    max_members: int = USUAL_MEMBERS


@dataclass(frozen=True)
class Candidate:
    """A symbol that a source names now.

    ``source`` is ``watch list <name>`` or ``scan <code>``; ``why`` is the person's reason, or the scan. ``rank`` 1 is
    a scan's best. The broker's ``con_id``, ``security_type`` and ``currency`` are known of a scan's rows only.
    """

    symbol: str
    source: str
    why: str
    rank: int | None = None
    con_id: int | None = None
    security_type: str | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Member:
    """A symbol that belongs to a feed for one session. Instants are tz-aware UTC, by the platform's clock.

    ``source``, ``why``, ``rank`` and ``first_seen_utc`` are those of the look that found it and never change.
    ``left_utc`` is the look that first found it gone from every list; ``None`` while it is on one.
    """

    instrument: Instrument
    con_id: int
    source: str
    why: str
    rank: int | None
    first_seen_utc: datetime
    left_utc: datetime | None = None

    @property
    def symbol(self) -> str:
        """Its ticker."""
        return self.instrument.symbol


@dataclass(frozen=True)
class LeftOut:
    """A candidate that did not become a member, and why."""

    symbol: str
    source: str
    reason: str


def takes_members(session: date, calendar: TradingCalendar, now: datetime) -> bool:
    """Whether a look at ``now`` may add to the session: from its open until an hour after its close, or the next open.

    Later, whatever a list shows would be knowledge from after the session.
    """
    return calendar.latest_session(now) == session and now < calendar.close_of(session) + AFTER_CLOSE


def by_symbol(lists: Iterable[Sequence[Candidate]]) -> dict[str, Candidate]:
    """The candidates of several lists, each symbol once: the first list that names it counts."""
    found: dict[str, Candidate] = {}
    for candidates in lists:
        for one in candidates:
            found.setdefault(one.symbol, one)
    return found


def to_resolve(
    found: Mapping[str, Candidate], known: Collection[str], fixed: Collection[str], max_members: int
) -> tuple[list[Candidate], list[LeftOut]]:
    """The candidates to be asked about: new ones, as many as the session has room for, in their order.

    Those that the feed collects anyway (``fixed``) are neither asked about nor left out.
    """
    new = [one for symbol, one in found.items() if symbol not in known and symbol not in fixed]
    room = max(0, max_members - len(known))
    full = f"the session has its {max_members} members; max_members says so"
    return new[:room], [LeftOut(one.symbol, one.source, full) for one in new[room:]]


def marked(
    known: Iterable[Member], found: Mapping[str, Candidate], answered: Collection[str], now: datetime
) -> list[Member]:
    """The members with their marks brought up to date: gone, back again, or as they were.

    One is gone only if its own source answered and no list names it: a scan that failed says nothing.
    """
    members: list[Member] = []
    for one in known:
        if one.symbol in found:
            members.append(replace(one, left_utc=None))
        elif one.left_utc is None and one.source in answered:
            members.append(replace(one, left_utc=now))
        else:
            members.append(one)
    return members
