"""What persons decided about bars, kept in the lake: one small file per decision, written once and never changed.

Nobody reads, changes and writes back, so that two who decide at the same moment can't lose each other's word, on a
disk or in an object store. Of several decisions about one bar the newest holds. Any of them opens in one line::

    SELECT * FROM read_parquet('<base>/bar_decisions/*.parquet')
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import get_args

import pandas as pd

from trading_platform.domain.market_data.validation.model import BarDecision, Verdict
from trading_platform.storage.lake import Lake

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
        if decision.at.tzinfo is None or decision.ts_utc.tzinfo is None:
            msg = "the instants of a decision need a time zone"
            raise ValueError(msg)
        if not decision.who.strip() or not decision.why.strip():
            msg = "a decision names who took it and why"
            raise ValueError(msg)
        row = {"feed": feed, "session": session, **vars(decision)}
        frame = pd.DataFrame([row])
        for column in ("ts_utc", "at"):
            frame[column] = pd.to_datetime(frame[column], utc=True).dt.as_unit("ns")
        name = f"{feed}.{session}.{decision.bar_id}.{secrets.token_hex(4)}"
        return self._lake.write_table((STAGE, name), frame).path

    def of(self, feed: str, sessions: Iterable[str]) -> list[BarDecision]:
        """All decisions about bars of ``sessions`` of ``feed``, oldest first."""
        wanted = {f"{feed}.{session}" for session in sessions}
        names = [name for name in self._lake.tables(STAGE) if name.rsplit(".", 2)[0] in wanted]
        found = [_decision(self._lake.read_table((STAGE, name))) for name in names]
        return sorted(found, key=lambda one: (one.at, one.bar_id, one.verdict))


def _decision(frame: pd.DataFrame) -> BarDecision:
    row = frame.to_dict("records")[0]
    verdict: Verdict = row["verdict"]
    if verdict not in get_args(Verdict):
        msg = f"the decision about the bar {row['bar_id']} says {verdict!r}; written by another version?"
        raise ValueError(msg)
    return BarDecision(
        bar_id=row["bar_id"],
        symbol=row["symbol"],
        ts_utc=row["ts_utc"].to_pydatetime(),
        verdict=verdict,
        reason=row["reason"],
        who=row["who"],
        at=row["at"].to_pydatetime(),
        why=row["why"],
    )
