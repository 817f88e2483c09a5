"""Bars as arrays: sorted by symbol and time, with their sessions. What all rules work on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.bars import DAILY, bar_length
from trading_platform.domain.market_data.quality import QualityRules
from trading_platform.domain.market_data.spans import Bools, Int64s, SessionSpans, nanoseconds
from trading_platform.domain.market_data.validation.model import VALUES
from trading_platform.domain.signals.spec import BarSize

Floats = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
NO_SYMBOL = -1


@dataclass(frozen=True)
class Judge:
    """What rows are judged by. ``now`` is in nanoseconds since the epoch."""

    rules: QualityRules
    bar_size: BarSize
    calendar: TradingCalendar
    as_of: datetime

    @property
    def now(self) -> int:
        """``as_of`` in nanoseconds since the epoch."""
        return int(pd.Timestamp(self.as_of).as_unit("ns").value)

    @property
    def is_daily(self) -> bool:
        """Whether a session has one bar."""
        return self.bar_size == DAILY

    @property
    def length(self) -> int:
        """Nominal length of a bar in nanoseconds."""
        return int(bar_length(self.bar_size).total_seconds()) * 1_000_000_000


@dataclass
class BarTable:
    """Rows sorted by symbol and time; ``order[i]`` is the place of row ``i`` in what was handed in.

    ``symbols`` are positions in ``names`` (``NO_SYMBOL`` where the row names none), ``position`` those of the
    sessions in ``spans``, ``labels`` those of the sessions' names in ``label_names``. Stamps are nanoseconds since the
    epoch. Rows whose ``order`` is ``raw_rows`` or more are context: bars that are believed and only lend themselves
    as neighbours.
    """

    names: npt.NDArray[np.object_]
    label_names: npt.NDArray[np.object_]
    spans: SessionSpans
    symbols: Int64s
    labels: Int64s
    position: Int64s
    stamps: Int64s
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    has_stamp: Bools
    order: Int64s
    raw_rows: int
    reordered: int

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def is_context(self) -> Bools:
        """Rows that are not to be judged."""
        return self.order >= self.raw_rows

    def take(self, rows: Int64s) -> BarTable:
        """Some of the rows, in their order."""
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return BarTable(
            self.names, self.label_names, self.spans, raw_rows=self.raw_rows, reordered=self.reordered, **arrays
        )

    def rows_at(self, symbol: str, stamp: int) -> Int64s:
        """The rows of ``symbol`` that start at ``stamp``."""
        code = np.flatnonzero(self.names == symbol)
        if not len(code):
            return np.empty(0, dtype=np.int64)
        first, last = np.searchsorted(self.symbols, [code[0], code[0] + 1])
        begin, end = np.searchsorted(self.stamps[first:last], [stamp, stamp + 1])
        return np.arange(first + begin, first + end, dtype=np.int64)

    def when(self, row: int) -> str:
        """The stamp of a row in words."""
        return pd.Timestamp(int(self.stamps[row]), tz="UTC").isoformat()


_ARRAYS = (
    "symbols",
    "labels",
    "position",
    "stamps",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "has_stamp",
    "order",
)


def bar_table(raw: pd.DataFrame, context: pd.DataFrame | None, calendar: TradingCalendar) -> BarTable:
    """Bring bars into arrays, sorted. Sorting is what repairs a wrong order; nothing is punished for it."""
    frames = [raw] if context is None or context.empty else [raw, context]
    symbols = _joined([frame["symbol"].to_numpy(dtype=object) for frame in frames])
    sessions = _joined([frame["session"].to_numpy(dtype=object) for frame in frames])
    stamps = _joined([nanoseconds(frame["ts_utc"]) for frame in frames])
    values = {name: _joined([frame[name].to_numpy(dtype=np.float64) for frame in frames]) for name in VALUES}
    has_stamp = stamps != np.iinfo(np.int64).min
    if not has_stamp.all():
        # convicted anyway, but NaT would be the year 1677 and widen the calendar
        stamps = np.where(has_stamp, stamps, stamps[has_stamp].max() if has_stamp.any() else 0)
    codes, names = _codes(symbols)
    labels, found = pd.factorize(sessions)
    days = pd.to_datetime(pd.Series(found, dtype=object), format="%Y-%m-%d", errors="coerce", utc=True)
    spans = SessionSpans.around(calendar, np.concatenate([_ends(stamps), _ends(nanoseconds(days.dropna()))]))
    of_label = np.append(spans.labelled(pd.Series(found, dtype=object)), -1)
    # symbols first, then time; within one instant as they came
    is_sorted = (codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (stamps[1:] >= stamps[:-1]))
    table = BarTable(
        names=names,
        label_names=np.array([*found, None], dtype=object),
        spans=spans,
        symbols=codes,
        labels=labels,
        position=of_label[labels],
        stamps=stamps,
        has_stamp=has_stamp,
        order=np.arange(len(stamps), dtype=np.int64),
        raw_rows=len(raw),
        reordered=0,
        **values,
    )
    if is_sorted.all():
        return table
    ordered = table.take(np.lexsort((stamps, codes)))
    is_late = (codes[1:] == codes[:-1]) & (stamps[1:] < stamps[:-1])
    ordered.reordered = int(is_late[: max(len(raw) - 1, 0)].sum())
    return ordered


def _joined(parts: list[npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _codes(symbols: npt.NDArray[np.object_]) -> tuple[Int64s, npt.NDArray[np.object_]]:
    """Positions of the symbols in their sorted names; ``NO_SYMBOL`` for null and empty ones."""
    # a frame by symbol has few changes, and comparing neighbours is quicker than hashing every row
    begins = np.flatnonzero(np.append(True, symbols[1:] != symbols[:-1]))[: len(symbols)]
    runs, found = pd.factorize(symbols[begins])
    codes = np.repeat(runs, np.diff(np.append(begins, len(symbols))))
    names = np.asarray(found, dtype=object)
    ranking = np.argsort(names.astype(str), kind="stable")
    rank = np.empty(len(names) + 1, dtype=np.int64)
    rank[ranking] = np.arange(len(names))
    rank[-1] = NO_SYMBOL
    rank[:-1][names == ""] = NO_SYMBOL
    return rank[codes], names[ranking]


def _ends(stamps: Int64s) -> Int64s:
    """The smallest and the largest of some stamps, if there are any."""
    return stamps if len(stamps) == 0 else np.array([stamps.min(), stamps.max()])
