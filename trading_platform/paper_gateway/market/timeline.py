"""Where a data set's sessions lie in the paper market's time.

One timeline belongs to all symbols of one data set on one calendar, so a shift keeps cross-sections aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from trading_platform.paper_gateway.market.listings import XNYS
from trading_platform.paper_gateway.market.sessions import UTC, SessionIndex, session_index


def choose_anchor(now: datetime) -> date:
    """The anchor for a market that starts for the first time at ``now`` (tz-aware). Keep it across restarts.

    It is the newest date up to which every session of XNYS, and as far as possible of the markets that never
    close, is complete: the last session on each calendar that is not after it is its last completed one.
    (Only between XNYS's close and midnight UTC is the day of a market that never closes still in progress.)
    """
    index = session_index(XNYS)
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    position = index.closed_by(now)
    return max(index.days[position], yesterday) if position >= 0 else yesterday


@dataclass(frozen=True, eq=False)
class Timeline:
    """Sessions of a data set, moved by ``shift`` ≥ 0 sessions of their calendar.

    ``last`` is the position of the data set's own last session. After it the market replays the history from
    its beginning, again and again.
    """

    index: SessionIndex
    last: int
    shift: int

    @classmethod
    def of(cls, calendar: str, last: int, *, anchor: date, start: datetime) -> Timeline:
        """The timeline of a data set whose last session is at position ``last``.

        When the market starts (``start``, tz-aware) within the data set's own dates, or was anchored within
        them, sessions stay where they were. Otherwise they move so that the last one is the last session that
        is not after ``anchor``.
        """
        index = session_index(calendar)
        is_within = start <= index.close_of(last)
        return cls(index, last, 0 if is_within else max(0, index.up_to(anchor) - last))

    @property
    def end(self) -> int:
        """Position, in the market's time, of the last session that plays the history itself."""
        return self.last + self.shift

    def source_of(self, position: int, first: int) -> tuple[int, int] | None:
        """Which session of the data plays at ``position`` for a symbol whose data begin at ``first``.

        Returns the session's position in the data and the replay: 0 is the history itself, 1 its first
        repetition. None before the symbol's data. A symbol that came to market late repeats its own history,
        not the years before it.
        """
        if position <= self.end:
            source = position - self.shift
            return (source, 0) if source >= first else None
        replays, offset = divmod(position - self.end - 1, self.last - first + 1)
        return first + offset, replays + 1

    def describe(self) -> str:
        """How the dates were treated, for people."""
        if self.shift == 0:
            return "original dates"
        return f"shifted by +{self.shift} sessions; sessions after {self.index.days[self.end]} replay it"
