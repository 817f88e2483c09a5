"""What persons decided about bars, kept in the lake as small records. Of several about one bar the newest holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from trading_platform.domain.market_data.validation.model import BarDecision, Verdict
from trading_platform.storage.lake import Lake
from trading_platform.storage.small_records import add_record, read_records

STAGE = "bar_decisions"


class BarDecisions:
    """The decisions about the bars of a lake. Raises the lake's errors."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def record(self, feed: str, session: str, decision: BarDecision) -> str:
        """Add a decision about a bar of ``session`` (ISO date); returns the path of its file.

        Raises:
            ValueError: ``at`` or ``ts_utc`` has no time zone, or nobody or no reason is named.
        """
        row = {"feed": feed, "session": session, **vars(decision)}
        return add_record(self._lake, STAGE, f"{feed}.{session}.{decision.bar_id}", row)

    def of(self, feed: str, sessions: Iterable[str]) -> list[BarDecision]:
        """All decisions about bars of ``sessions`` of ``feed``, oldest first."""
        wanted = {f"{feed}.{session}" for session in sessions}
        rows = read_records(self._lake, STAGE, lambda stem: stem.rsplit(".", 1)[0] in wanted)
        return sorted((_decision(row) for row in rows), key=lambda one: (one.at, one.bar_id, one.verdict))


def _decision(row: dict[str, Any]) -> BarDecision:
    verdict: Verdict = row["verdict"]
    if verdict not in get_args(Verdict):
        msg = f"the decision about the bar {row['bar_id']} says {verdict!r}; written by another version?"
        raise ValueError(msg)
    return BarDecision(**{name: row[name] for name in BarDecision.__dataclass_fields__})
