"""What is recorded of a feed's members, as a table and back, and who is collected when because of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.members import Member

Part = tuple[Feed, tuple[date, ...]]
"""A feed of some symbols, and the sessions in which they are collected."""


def members_table(members: Sequence[Member], session: date) -> pd.DataFrame:
    """The members of ``session`` as a table, in the order in which they came; at least one."""
    rows = [
        {
            "symbol": one.symbol,
            "session": session.isoformat(),
            "con_id": one.con_id,
            "security_type": one.instrument.security_type,
            "exchange": one.instrument.exchange,
            "primary_exchange": one.instrument.primary_exchange,
            "currency": one.instrument.currency,
            "source": one.source,
            "why": one.why,
            "rank": None if one.rank is None else float(one.rank),
            "first_seen_utc": one.first_seen_utc,
            "left_utc": one.left_utc,
        }
        for one in members
    ]
    return pd.DataFrame(rows).astype({"rank": "float64"})


def members_of(table: pd.DataFrame, calendar: str) -> list[Member]:
    """The members that a table of :func:`members_table` holds, in its order; they trade on ``calendar``.

    Their instruments carry the contract's id: the broker is asked for that contract, whoever has its ticker by now.
    """
    return [
        Member(
            Instrument(
                symbol=row["symbol"],
                security_type=row["security_type"],
                exchange=row["exchange"],
                primary_exchange=row["primary_exchange"],
                currency=row["currency"],
                calendar=calendar,
                con_id=int(row["con_id"]),
            ),
            con_id=int(row["con_id"]),
            source=row["source"],
            why=row["why"],
            rank=None if pd.isna(row["rank"]) else int(row["rank"]),
            first_seen_utc=row["first_seen_utc"].to_pydatetime(),
            left_utc=None if pd.isna(row["left_utc"]) else row["left_utc"].to_pydatetime(),
        )
        for row in table.to_dict("records")
    ]


@dataclass(frozen=True)
class RecordedMembers:
    """What is recorded of the members of some sessions.

    ``unrecorded`` are the sessions of which nothing is recorded: they have no dynamic members, and never will have, for
    nobody can know today what a list showed then.
    """

    by_session: Mapping[date, tuple[Member, ...]]
    unrecorded: tuple[date, ...]

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The members' instruments by symbol."""
        return {one.symbol: one.instrument for members in self.by_session.values() for one in members}

    @property
    def facts(self) -> dict[str, int]:
        """For the metadata of what was made with it: nothing where there is nothing to say."""
        count = sum(map(len, self.by_session.values()))
        facts = {"members": count, "sessions_without_member_record": len(self.unrecorded)}
        return facts if count or self.unrecorded else {}

    def with_session(self, session: date, members: Sequence[Member]) -> RecordedMembers:
        """The same with what was recorded of one session just now."""
        unrecorded = tuple(one for one in self.unrecorded if one != session)
        return RecordedMembers({**self.by_session, session: tuple(members)}, unrecorded)

    def parts(self, feed: Feed, sessions: Sequence[date]) -> list[Part]:
        """The feed divided by who is collected in which of ``sessions``, most sessions first.

        Symbols that are collected in the same sessions are one part, so a single session is one part.
        """
        of: dict[str, list[date]] = {symbol: list(sessions) for symbol in feed.symbols}
        for session in sessions:
            for one in self.by_session.get(session, ()):
                if one.symbol not in feed.symbols:
                    of.setdefault(one.symbol, []).append(session)
        together: dict[tuple[date, ...], list[str]] = {}
        for symbol, own in of.items():
            together.setdefault(tuple(own), []).append(symbol)
        parts = [(replace(feed, symbols=tuple(symbols)), own) for own, symbols in together.items()]
        return sorted(parts, key=lambda part: -len(part[1]))
