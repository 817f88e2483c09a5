"""The names of what an order was made of, as the ledger keeps them, so that a fill can be traced back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 12
_NO_RUN = "-"


@dataclass(frozen=True)
class SignalVersion:
    """Which signals: the Dagster run that made them, ``None`` if unknown, and a digest of the tick's rows."""

    run_id: str | None
    digest: str

    def __str__(self) -> str:
        return f"{self.run_id or _NO_RUN}#{self.digest}"

    @classmethod
    def parse(cls, text: str) -> SignalVersion:
        """The inverse of ``str``.

        Raises:
            ValueError: the text is no signal version.
        """
        run_id, mark, digest = text.rpartition("#")
        if not mark or not run_id or not digest:
            msg = f"{text!r} is no signal version: <run id or -> # <digest> is"
            raise ValueError(msg)
        return cls(None if run_id == _NO_RUN else run_id, digest)


def signal_version(run_id: str | None, signals: pd.DataFrame) -> SignalVersion:
    """The version of one tick's signals. The digest depends on their values only, not on the order of rows.

    Args:
        run_id: the Dagster run that made them, if it is known.
        signals: the rows of one tick, columns of ``schemas.signals.Signals``.
    """
    columns = sorted(signals.columns)
    text = signals[columns].sort_values("symbol").to_csv(index=False, float_format="%.17g")
    return SignalVersion(run_id, hashlib.sha256(text.encode()).hexdigest()[:_DIGITS])
