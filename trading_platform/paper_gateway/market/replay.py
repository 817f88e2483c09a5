"""A symbol's history played on a timeline: as it was, and after its end again and again at the last price."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from trading_platform.paper_gateway.market.bridge import (
    DayBar,
    MinuteBars,
    bridge,
    generator,
    round_to_tick,
)
from trading_platform.paper_gateway.market.datasets import IntradayBars, SymbolHistory
from trading_platform.paper_gateway.market.timeline import Timeline

_GONE_SESSIONS = 20
"""A symbol whose data end more than this many sessions before its data set's has left the market: no replay."""


class Source(Protocol):
    """Where the bars of one contract come from. Positions count sessions of the contract's calendar."""

    first_position: int
    origin: str

    def day(self, position: int) -> DayBar | None:
        """The bar of a whole session; None when the symbol does not trade in it."""
        ...

    def latest(self, position: int) -> int | None:
        """The newest position up to ``position`` that has a bar."""
        ...

    def minutes(self, position: int) -> MinuteBars | None:
        """The session's real minutes; None when they have to be made from the day."""
        ...

    def adjustment(self, position: int) -> float:
        """The session's factor for splits and dividends; the ratio of two sessions' factors makes prices comparable."""
        ...


class ReplayedSource:
    """Bars of a symbol that has data.

    The history itself is served as it is, to the last digit. A replay takes each session's prices to the scale
    at which its first open is the last close before it, so that real returns go on without a jump; prices are
    then rounded to ``tick``.
    """

    def __init__(self, history: SymbolHistory, timeline: Timeline, *, name: str, tick: float, unit: float, seed: int):
        self._history = history
        self._timeline = timeline
        self._tick = tick
        self._unit = unit
        self._seed = seed
        self._rows = {position: row for row, position in enumerate(history.positions.tolist())}
        self._first = int(history.positions[0])
        self._is_gone = timeline.last - int(history.positions[-1]) > _GONE_SESSIONS
        self._growth = float(history.close[-1] * history.factor[-1] / (history.open[0] * history.factor[0]))
        self.first_position = self._first + timeline.shift
        self.origin = (
            f"real {history.grain} bars {history.first_day}..{history.last_day} ({name}), {timeline.describe()}"
        )

    def day(self, position: int) -> DayBar | None:
        found = self._find(position)
        if found is None:
            return None
        row, scale = found
        history = self._history
        prices = np.array([history.open[row], history.high[row], history.low[row], history.close[row]])
        if scale is not None:
            prices = round_to_tick(prices * scale, self._tick)
        opened, high, low, close = prices.tolist()
        return DayBar(opened, high, low, close, float(history.volume[row]))

    def latest(self, position: int) -> int | None:
        while position > self._timeline.end:
            if self._is_gone:
                position = self._timeline.end
            elif self._find(position) is not None:
                return position
            else:
                position -= 1
        place = int(np.searchsorted(self._history.positions, position - self._timeline.shift, side="right")) - 1
        return None if place < 0 else int(self._history.positions[place]) + self._timeline.shift

    def minutes(self, position: int) -> MinuteBars | None:
        """The session's real minutes; None when the data are daily, or the two sessions differ in length.

        (A half day can't play a whole one's minutes: then the day's prices are bridged like a daily bar's.)
        """
        found, intraday, index = self._find(position), self._history.intraday, self._timeline.index
        if found is None or intraday is None:
            return None
        row, scale = found
        rows = slice(int(self._history.intraday_start[row]), int(self._history.intraday_stop[row]))
        length = index.minutes(position)
        if rows.start == rows.stop or index.minutes(int(self._history.positions[row])) != length:
            return None
        columns = {name: getattr(intraday, name)[rows] for name in ("offset", "open", "high", "low", "close", "volume")}
        if scale is not None:
            for name in ("open", "high", "low", "close"):
                columns[name] = round_to_tick(columns[name] * scale, self._tick)
        bars = IntradayBars(intraday.step, **columns)
        if bars.step == 1:
            return _spread(bars, length)
        return self._split(bars, length, index.days[position].isoformat())

    def adjustment(self, position: int) -> float:
        """The data's factor while the history plays for the first time; replays go on without splits and dividends."""
        found, history = self._find(position), self._history
        is_original = found is not None and found[1] is None
        return float(history.factor[found[0]]) if found is not None and is_original else float(history.factor[-1])

    def _find(self, position: int) -> tuple[int, float | None] | None:
        """The row that plays at ``position`` and the scale of its prices (None: as they are)."""
        place = self._timeline.source_of(position, self._first)
        if place is None or (place[1] > 0 and self._is_gone):
            return None
        source, replay = place
        row = self._rows.get(source)
        if row is None:
            return None
        if replay == 0:
            return row, None
        history = self._history
        return row, float(history.factor[row] / history.factor[-1]) * self._growth**replay

    def _split(self, bars: IntradayBars, length: int, session: str) -> MinuteBars:
        """Coarse bars bridged to minutes, each on its own."""
        out = empty_minutes(length)
        stops = np.minimum(np.append(bars.offset[1:], length), bars.offset + bars.step)
        for i, (start, stop) in enumerate(zip(bars.offset.tolist(), stops.tolist(), strict=True)):
            bar = DayBar(*(float(getattr(bars, name)[i]) for name in ("open", "high", "low", "close", "volume")))
            rng = generator(self._seed, self._history.symbol, session, start)
            _put(out, slice(start, stop), bridge(bar, stop - start, rng, self._tick, self._unit))
        return out


def empty_minutes(length: int) -> MinuteBars:
    """``length`` minutes without a bar."""
    opened, high, low, close = np.full((4, length), np.nan)
    return MinuteBars(opened, high, low, close, np.zeros(length), np.zeros(length, np.bool_))


def _spread(bars: IntradayBars, length: int) -> MinuteBars:
    out = empty_minutes(length)
    _put(
        out,
        bars.offset,
        MinuteBars(bars.open, bars.high, bars.low, bars.close, bars.volume, np.ones(len(bars.offset), np.bool_)),
    )
    return out


def _put(out: MinuteBars, where: slice | np.ndarray[tuple[int, ...], np.dtype[np.int64]], bars: MinuteBars) -> None:
    for name in ("open", "high", "low", "close", "volume", "has_bar"):
        getattr(out, name)[where] = getattr(bars, name)
