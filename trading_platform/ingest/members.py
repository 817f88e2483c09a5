"""Who belongs to a feed for a session: ask watch list and scanner, resolve what is new, keep what was known.

And the bars of those who did: each in the sessions it belongs to, and in no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.members import (
    Candidate,
    LeftOut,
    Member,
    MembersSpec,
    by_symbol,
    marked,
    to_resolve,
)
from trading_platform.ingest.bars import NoBarsError
from trading_platform.ingest.collect import BarStore, Collected, Wish, collect

if TYPE_CHECKING:
    from trading_platform.domain.market_data.member_records import Part
    from trading_platform.domain.market_data.watch_lists import Watched
    from trading_platform.ingest.sources.base import BarSource


@dataclass(frozen=True)
class Look:
    """What one look found.

    ``failures`` are the sources that did not answer, with the reason; ``collected_anyway`` the symbols that are the
    feed's own; ``ranks`` the ranks of this look; ``messages`` how many were sent to the broker, about.
    """

    members: tuple[Member, ...]
    left_out: tuple[LeftOut, ...]
    failures: Mapping[str, str]
    collected_anyway: tuple[str, ...]
    ranks: Mapping[str, int]
    messages: int


def look(
    broker: Broker,
    feed: Feed,
    spec: MembersSpec,
    instruments: Mapping[str, Instrument],
    known: Sequence[Member],
    listed: Sequence[Watched],
    now: datetime,
) -> Look:
    """Ask every source of ``spec`` and merge what it names into the session's ``known`` members.

    A source that fails costs nobody: what was known stays. A symbol that ``instruments`` does not hold is looked up as
    a stock in USD, smart-routed.

    Args:
        broker: for the scan, and to resolve what is new.
        feed: the feed.
        spec: where its members come from.
        instruments: the universe, by symbol.
        known: the session's members so far.
        listed: what is on the watch list of ``spec``.
        now: tz-aware UTC.
    """
    lists: list[Sequence[Candidate]] = []
    failures: dict[str, str] = {}
    answered: set[str] = set()
    messages = 0
    if spec.watch_list is not None:
        source = f"watch list {spec.watch_list}"
        lists.append([Candidate(one.symbol, source, f"{one.who}: {one.why}") for one in listed])
        answered.add(source)
    if spec.scan is not None:
        source, messages = f"scan {spec.scan.scan_code}", 2
        try:
            rows = broker.scan(spec.scan)
        except BrokerError as error:
            failures[source] = str(error)
        else:
            answered.add(source)
            lists.append(
                [
                    Candidate(row.symbol, source, str(spec.scan), row.rank, row.con_id, row.security_type, row.currency)
                    for row in rows
                ]
            )
    found = by_symbol(lists)
    members = marked(known, found, answered, now)
    new, left_out = to_resolve(found, {one.symbol for one in known}, feed.symbols, spec.max_members)
    for place, candidate in enumerate(new):
        try:
            outcome, asked = _resolved(broker, feed, instruments, candidate, now)
        except BrokerConnectionError as error:
            # who can't be reached is not asked once per symbol: the next look asks again
            left_out += [LeftOut(one.symbol, one.source, str(error)) for one in new[place:]]
            break
        messages += asked
        if isinstance(outcome, Member):
            members.append(outcome)
        else:
            left_out.append(outcome)
    return Look(
        tuple(members),
        tuple(left_out),
        failures,
        tuple(symbol for symbol in found if symbol in feed.symbols),
        {one.symbol: one.rank for candidates in lists for one in candidates if one.rank is not None},
        messages,
    )


def _resolved(
    broker: Broker, feed: Feed, instruments: Mapping[str, Instrument], candidate: Candidate, now: datetime
) -> tuple[Member | LeftOut, int]:
    """The candidate as a member, or why not; and how many questions that took."""
    symbol = candidate.symbol

    def refused(reason: str) -> LeftOut:
        return LeftOut(symbol, candidate.source, reason)

    kind = f"{candidate.security_type or 'STK'} in {candidate.currency or 'USD'}"
    if kind != "STK in USD":
        return refused(f"it is {kind}: only stocks in USD can be members from a scan"), 0
    instrument = instruments.get(symbol) or Instrument(symbol)
    if instrument.calendar != feed.calendar:
        whose = "universe.yaml says" if symbol in instruments else "it would be looked up as a US stock, which trades"
        return refused(f"{whose} {instrument.calendar}, and the feed collects {feed.calendar}"), 0
    if instrument.bar_sizes and feed.bar_size not in instrument.bar_sizes:
        return refused(f"universe.yaml allows it {', '.join(instrument.bar_sizes)}, and not {feed.bar_size}"), 0
    try:
        details = broker.instrument_details(instrument)
    except BrokerConnectionError:
        raise
    except BrokerError as error:
        return refused(str(error)), 1
    if candidate.con_id is not None and details.con_id != candidate.con_id:
        return refused(
            f"the scan means contract {candidate.con_id}, and {symbol} at {instrument.exchange} in "
            f"{instrument.currency} is contract {details.con_id}: give it a primary_exchange in universe.yaml"
        ), 1
    resolved = replace(instrument, con_id=details.con_id)
    member = Member(resolved, details.con_id, candidate.source, candidate.why, candidate.rank, first_seen_utc=now)
    return member, 1


def collect_parts(
    source: BarSource,
    store: BarStore,
    parts: Sequence[Part],
    instruments: Mapping[str, Instrument],
    *,
    clock: Callable[[], datetime],
    wish: Wish,
) -> Collected:
    """:func:`collect` of every part, as one.

    Raises:
        NoBarsError: not one symbol of any part could be fetched.
        BrokerConnectionError, SourceUnavailableError, TableValidationError: as there.
    """
    done, nothing = Collected(), []
    for feed, sessions in parts:
        one = _collect_part(source, store, (feed, sessions), instruments, clock, wish)
        if isinstance(one, NoBarsError):
            nothing.append(str(one))
            done.failures |= dict.fromkeys(feed.symbols, str(one))
            continue
        done.add(one)
    if nothing and len(nothing) == len(parts):
        raise NoBarsError("; ".join(nothing))
    return done


def _collect_part(
    source: BarSource,
    store: BarStore,
    part: Part,
    instruments: Mapping[str, Instrument],
    clock: Callable[[], datetime],
    wish: Wish,
) -> Collected | NoBarsError:
    """What a part's run did; if none of its symbols has any bar, that is their failure and not yet everybody's."""
    feed, sessions = part
    try:
        return collect(source, store, feed, instruments, sessions, clock=clock, wish=wish)
    except NoBarsError as error:
        return error
