"""The lake as the ingest of one feed sees it: raw bars, what the source said of the past, what it had no answer for.

Three tables by session: ``market_data/<feed>_raw_bars``, ``market_data/<feed>_revised_bars`` (rows are only added) and
``market_data/<feed>_unanswered_bars`` (as things stand). A session without a row of the last two has no file.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trading_platform.schemas.base import Table, empty, validate
from trading_platform.schemas.market_data import RawBars, RevisedBars, UnansweredBars
from trading_platform.storage.lake import VERSIONS, Lake, LakeWrite, Versions, upsert

STAGE = "market_data"
BRIEF = ["symbol", "session", "ts_utc", "source"]
REVISION_KEY = ["symbol", "ts_utc", "kind", "noticed_at_utc"]


class BarStore:
    """The tables of one feed in ``lake``. Raises the lake's errors, and TableValidationError for rows that are none.

    ``written`` is what was written of raw bars so far.
    """

    def __init__(self, lake: Lake, feed: str) -> None:
        self._lake = lake
        self.raw = (STAGE, f"{feed}_raw_bars")
        self.revised = (STAGE, f"{feed}_revised_bars")
        self.unanswered = (STAGE, f"{feed}_unanswered_bars")
        self.written: LakeWrite | None = None

    def bars(self, sessions: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The stored raw bars of ``sessions`` (ISO dates), as far as there are any."""
        return self._read(self.raw, sessions, RawBars, columns)

    def write_bars(self, bars: pd.DataFrame, sessions: Sequence[str]) -> None:
        """Replace the raw bars of ``sessions``, each session in one step."""
        done = self._lake.write_sessions(self.raw, validate(RawBars, bars), sessions)
        before = self.written
        if before is not None:
            done = LakeWrite(
                f"{self._lake.base}/{'/'.join(self.raw)}",
                before.files + done.files,
                before.rows + done.rows,
                before.bytes + done.bytes,
                before.changed + done.changed,
                Versions({**before.versions, **done.versions}),
            )
        self.written = done

    def contents(self, sessions: Sequence[str]) -> tuple[pd.DataFrame, LakeWrite]:
        """What is stored of ``sessions`` now, in brief (columns :data:`BRIEF`), and what was written of them."""
        bars, _ = self._lake.read_available(self.raw, sessions, columns=BRIEF)
        versions = Versions({**bars.attrs.get(VERSIONS, {}), **(self.written.versions if self.written else {})})
        done = self.written or LakeWrite(f"{self._lake.base}/{'/'.join(self.raw)}", 0, 0, 0, 0, versions)
        return bars, LakeWrite(done.path, done.files, done.rows, done.bytes, done.changed, versions)

    def revisions(self, sessions: Sequence[str]) -> pd.DataFrame:
        """What the source said differently of the bars of ``sessions`` than was stored, oldest first."""
        return self._read(self.revised, sessions, RevisedBars)

    def add_revisions(self, rows: pd.DataFrame) -> None:
        """Keep ``rows`` for good."""
        sessions = sorted(rows["session"].unique())
        if sessions:
            known = self.revisions(sessions)
            self._lake.write_sessions(self.revised, upsert(known, validate(RevisedBars, rows), REVISION_KEY), sessions)

    def unanswered_bars(self, sessions: Sequence[str]) -> pd.DataFrame:
        """What the source had no bars for, of ``sessions``."""
        return self._read(self.unanswered, sessions, UnansweredBars)

    def write_unanswered(self, rows: pd.DataFrame, sessions: Sequence[str]) -> None:
        """Replace what is known of ``sessions``; nothing happens when there are none."""
        if sessions:
            self._lake.write_sessions(self.unanswered, validate(UnansweredBars, rows), sessions)

    def _read(
        self,
        table: tuple[str, str],
        sessions: Sequence[str],
        model: type[Table],
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        frame, _ = self._lake.read_available(table, sessions, columns=columns) if sessions else (pd.DataFrame(), [])
        nothing = empty(model)
        return frame if len(frame.columns) and len(frame) else nothing[list(columns or nothing.columns)]
