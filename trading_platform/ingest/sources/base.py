"""The protocol of a source of bars, and its typed errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.signals.spec import BarSize

if TYPE_CHECKING:
    import pandas as pd

BAR_COLUMNS = ["ts_utc", "open", "high", "low", "close", "volume"]


class SourceError(Exception):
    """A source has no usable bars for one request. The message says what to do; other symbols may still have them."""


class SourceUnavailableError(SourceError):
    """The source can't be reached or read at all, so no symbol has a chance."""


@dataclass(frozen=True)
class SourcedBars:
    """What a source sent for one instrument.

    ``bars`` has the columns ``BAR_COLUMNS``, stamped with the bars' start (tz-aware UTC; daily bars: midnight UTC of
    the session's date), as the source has them: no bar is judged, repaired or left out. ``origin`` says where they come
    from, for the column ``source``. ``requests`` counts what was asked of somebody else. ``left_out``
    counts, by reason, rows that the source has and that no session of the calendar can hold yet, or ever.
    """

    bars: pd.DataFrame
    origin: str
    requests: int
    left_out: Mapping[str, int] = field(default_factory=dict)


class BarSource(Protocol):
    """Where a feed's bars come from. Calls are synchronous and thread-safe."""

    def bars(
        self,
        instrument: Instrument,
        bar_size: BarSize,
        sessions: Sequence[date],
        *,
        since: datetime | None,
        now: datetime,
    ) -> SourcedBars:
        """The bars of ``sessions``, oldest first; more may come, and is dropped by the caller.

        Args:
            instrument: whose bars; its calendar is that of ``sessions``.
            bar_size: their length.
            sessions: at least one; all have opened by ``now``.
            since: of the newest session only the bars that start then or later are wanted; ``None``: all of it.
            now: the platform's instant, tz-aware UTC.

        Raises:
            BrokerError, SourceError: there are none for this instrument; says why.
            BrokerConnectionError, SourceUnavailableError: the source can't be reached.
        """
        ...
