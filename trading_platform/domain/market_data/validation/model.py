"""What goes into validation besides bars, and what comes out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd

from trading_platform.domain.market_data.spans import nanoseconds

PRICES = ["open", "high", "low", "close"]
VALUES = [*PRICES, "volume"]
KEY = ["symbol", "ts_utc"]
Verdict = Literal["released", "confirmed"]
Action = Literal["quarantined", "held", "warned", "repaired"]


@dataclass(frozen=True)
class BarDecision:
    """What a person decided about one bar, once and for all: it holds for these values of this bar only.

    ``released``: the bar is right and no rule of judgement is held against it. ``confirmed``: the bar is wrong and
    stays set aside, whatever the rules say by then; its symbol may be traded again, since somebody has seen it.
    ``at`` is tz-aware UTC; ``reason`` is the code that the bar was listed with, ``why`` what the person says.
    """

    bar_id: str
    symbol: str
    ts_utc: datetime
    verdict: Verdict
    reason: str
    who: str
    at: datetime
    why: str


@dataclass(frozen=True)
class Validation:
    """The outcome: each raw row is in ``valid`` (as it came, or with its stamp repaired), or is quarantined, or was
    removed as an exact duplicate.

    Attributes:
        valid: the raw columns, sorted by symbol and time, one row per (symbol, ts_utc).
        log: one row per thing that was found: the raw columns as received, and ``bar_id, reason`` (a key of
            ``REASONS``) ``, detail`` (the numbers that convict) ``, action, is_blocking``. Rows with the action
            ``quarantined`` are in no other frame; ``held`` and ``warned`` rows are in ``valid`` too; of the
            ``repaired`` the duplicates were removed, and the others are in ``valid`` with another stamp.
        removed: number of exact duplicates that were removed.
        reordered: number of rows that came before a row that they should have followed.
    """

    valid: pd.DataFrame
    log: pd.DataFrame
    removed: int
    reordered: int

    @property
    def quarantined(self) -> pd.DataFrame:
        """The rows that were set aside, with ``reason`` and ``detail``."""
        return self._with_action("quarantined")

    @property
    def repaired(self) -> pd.DataFrame:
        """The rows that were removed as doubles or given another stamp, as they came."""
        return self._with_action("repaired")

    @property
    def doubtful(self) -> pd.DataFrame:
        """The rows that are valid, but were held or warned of."""
        return self.log[self.log["action"].isin(["held", "warned"])].reset_index(drop=True)

    @property
    def blocked_symbols(self) -> frozenset[str]:
        """Symbols that must get no orders in the session until somebody has decided."""
        return blocked_symbols(self.log)

    @property
    def reason_counts(self) -> dict[str, int]:
        """Number of findings by reason, most frequent first."""
        return {str(reason): int(count) for reason, count in self.log["reason"].value_counts().items()}

    def _with_action(self, action: Action) -> pd.DataFrame:
        return self.log[self.log["action"] == action].reset_index(drop=True)


def blocked_symbols(log: pd.DataFrame) -> frozenset[str]:
    """Symbols of a log's blocking rows. A log from before bars could be held blocks for all but copies."""
    if log.empty:
        return frozenset()
    is_blocking = log["is_blocking"].astype(bool) if "is_blocking" in log else log["reason"] != "exact_duplicate"
    return frozenset(log.loc[is_blocking, "symbol"].astype(str))


def bar_ids(rows: pd.DataFrame) -> list[str]:
    """A short name of each raw row: a pure function of its symbol, stamp and values.

    ``rows`` has the columns ``symbol, ts_utc, open, high, low, close, volume``. The same row gets the same name
    whenever it comes, so that what was decided about it is found again; with another value it is another row.
    """
    values = rows[VALUES].to_numpy(dtype=np.float64)
    return [
        hashlib.blake2b(f"{symbol}|{stamp}|{row.tobytes().hex()}".encode(), digest_size=5).hexdigest()
        for symbol, stamp, row in zip(rows["symbol"], nanoseconds(rows["ts_utc"]), values, strict=True)
    ]
