"""A source that is declared: its rows, wherever they lie, become bars as ``BarSource`` has them.

Here: numbers, stamps, and which rows belong to the sessions. Elsewhere: getting at the rows (``directory``,
``postgres``), the arithmetic of stamps (``domain.market_data.stamps``).
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import DAILY, bar_ends
from trading_platform.domain.market_data.sources import EPOCHS, SourceDeclaration
from trading_platform.domain.market_data.spans import Bools, Int64s, SessionSpans
from trading_platform.domain.market_data.stamps import localize, midnights, starts_of
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.sources.base import SourcedBars, SourceError

UTC = ZoneInfo("UTC")
SYMBOL, STAMP = "symbol", "stamp"
NUMBERS = ["open", "high", "low", "close", "volume"]
NOT_ENDED = "had not ended yet"
NO_SESSION = "on a day without a session"
OUTSIDE = "outside the session's hours"
BESIDE = timedelta(days=2)
"""How far the stamps of a window's bars can lie beside it: a day's length by another convention, and the zones."""
KEPT_WINDOWS = 4
_HAS_ZONE = re.compile(r"[T ]\d.*(?:Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """Instants (tz-aware UTC) that bars of the wanted sessions start within: ``first`` ≤ start < ``last``."""

    first: pd.Timestamp
    last: pd.Timestamp

    @classmethod
    def of(cls, sessions: Sequence[date], bar_size: BarSize, calendar: TradingCalendar) -> Window:
        """The days of the sessions on the market's clock; of daily bars in UTC, as they are stamped."""
        first, last = min(sessions), max(sessions)
        zone = UTC if bar_size == DAILY else calendar.time_zone
        begin = datetime.combine(first, time(), zone)
        end = datetime.combine(last + timedelta(days=1), time(), zone)
        if bar_size != DAILY:
            begin, end = min(begin, calendar.open_of(first)), max(end, calendar.close_of(last))
        return cls(*(pd.Timestamp(one).tz_convert("UTC").as_unit("ns") for one in (begin, end)))

    def contains(self, instants: Int64s) -> Bools:
        """For each instant, in nanoseconds, whether it lies within."""
        return (instants >= self.first.value) & (instants < self.last.value)


class Rows(Protocol):
    """Where a declared source's rows lie. Calls are thread-safe."""

    def read(self, name: str, window: Window) -> tuple[pd.DataFrame, int]:
        """The rows of the symbol that is called ``name`` there, and how often somebody was asked for them.

        The rows have ``STAMP`` and ``NUMBERS`` as they are there. Some outside ``window`` may come. All that start
        within must: stamps by another convention lie up to a day beside it.

        Raises:
            SourceError: they can't be had; says why, and what to do.
            SourceUnavailableError: nobody's can.
        """
        ...


class SharedRows:
    """Rows that are read for all symbols at once, a window at a time; the newest few reads are kept.

    ``load`` returns them with the column ``SYMBOL``, and how often somebody was asked. What goes wrong is kept too, as
    every symbol would meet it again. Thread-safe: whoever comes while a window is read waits for it.
    """

    def __init__(self, load: Callable[[Window], tuple[pd.DataFrame, int]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._kept: OrderedDict[Window, dict[str, pd.DataFrame] | SourceError] = OrderedDict()

    def read(self, name: str, window: Window) -> tuple[pd.DataFrame, int]:
        """The rows of one symbol; the request counts for the one that came first."""
        requests = 0
        with self._lock:
            known = self._kept.get(window)
            if known is None:
                try:
                    frame, requests = self._load(window)
                    known = {str(symbol): rows for symbol, rows in frame.groupby(SYMBOL, sort=False)}
                except SourceError as error:
                    known = error
                self._kept[window] = known
                while len(self._kept) > KEPT_WINDOWS:
                    self._kept.popitem(last=False)
        if isinstance(known, SourceError):
            raise type(known)(str(known)) from known
        return known.get(name, pd.DataFrame(columns=[STAMP, *NUMBERS])), requests


class DeclaredSource:
    """The bars of one declaration. ``name`` is its name in ``sources.yaml``."""

    def __init__(self, name: str, declaration: SourceDeclaration, rows: Rows) -> None:
        self._name = name
        self._declared = declaration
        self._rows = rows

    def bars(
        self,
        instrument: Instrument,
        bar_size: BarSize,
        sessions: Sequence[date],
        *,
        since: datetime | None,
        now: datetime,
    ) -> SourcedBars:
        """See :class:`~trading_platform.ingest.sources.base.BarSource`. ``since`` saves nothing and is not looked at.

        A bar is there once it has ended: what a file says of a later one nobody could know at ``now``.

        Raises:
            SourceError: there are none; or a row of the sessions can't be read, with what to do about it.
            SourceUnavailableError: the place can't be read at all.
        """
        del since
        theirs = self._declared.name_of(instrument.symbol)
        who = f"source {self._name}: {theirs}"
        if bar_size != self._declared.bar_size:
            msg = (
                f"source {self._name} has bars of {self._declared.bar_size}, not {bar_size}: name another for the feed"
            )
            raise SourceError(msg)
        calendar = get_calendar(instrument.calendar)
        window = Window.of(sessions, bar_size, calendar)
        rows, requests = self._rows.read(theirs, window)
        starts, is_wanted = self._starts(rows[STAMP], window, calendar, who)
        rows, starts = rows[is_wanted], starts[is_wanted]
        left_out: dict[str, int] = {}
        if len(starts):
            is_there = self._there(starts, calendar, now, left_out)
            rows, starts = rows[is_there], starts[is_there]
        if not len(starts):
            hidden = "".join(f"; {count} row(s) {reason}" for reason, count in left_out.items())
            msg = (
                f"{who} has no bar from {min(sessions)} to {max(sessions)}{hidden}: "
                "check its name there, the place and the convention of the stamps"
            )
            raise SourceError(msg)
        order = np.argsort(starts, kind="stable")
        stamps = pd.DatetimeIndex(starts[order].view("datetime64[ns]"), tz="UTC")
        numbers = {column: numbers_of(rows[column], f"{who}: {column}")[order] for column in NUMBERS}
        frame = pd.DataFrame({"ts_utc": stamps, **numbers})
        return SourcedBars(frame, f"{self._name} ({self._declared.label})", requests, left_out)

    def _there(self, starts: Int64s, calendar: TradingCalendar, now: datetime, left_out: dict[str, int]) -> Bools:
        """Which bars can be handed out; counts those that can't, and those that belong to no session."""
        spans = SessionSpans.around(calendar, starts)
        is_there: Bools = bar_ends(starts, self._declared.bar_size, spans) <= pd.Timestamp(now).as_unit("ns").value
        if not is_there.all():
            left_out[NOT_ENDED] = int((~is_there).sum())
        is_daily = self._declared.bar_size == DAILY
        is_inside = np.isin(starts, spans.midnights) if is_daily else spans.containing(starts) >= 0
        is_strange = is_there & ~is_inside
        if not is_daily:
            is_strange &= ~np.isin(midnights(starts, calendar.time_zone), spans.midnights)
        if is_strange.any():
            left_out[NO_SESSION] = int(is_strange.sum())
            is_there &= ~is_strange
        if self._declared.hours == "regular" and not is_daily:
            is_outside = is_there & ~is_inside
            if is_outside.any():
                left_out[OUTSIDE] = int(is_outside.sum())
                is_there &= ~is_outside
        return is_there

    def _starts(
        self, column: pd.Series[pd.Timestamp], window: Window, calendar: TradingCalendar, who: str
    ) -> tuple[Int64s, Bools]:
        """The bars' starts, and which of them are in the window."""
        declared = self._declared
        where = f"{who}: {declared.columns.stamp}"
        if not len(column):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
        values, has_zone = stamps_of(column, declared.stamp_format, where)
        zone = None if declared.time_zone is None else ZoneInfo(declared.time_zone)
        if has_zone or declared.stamps == "date":
            if has_zone and zone is None and declared.stamps == "date":
                msg = f"{where} holds instants: declare the time_zone in which each has its session's date"
                raise SourceError(msg)
            starts = starts_of(values, declared.bar_size, declared.stamps, calendar, zone if has_zone else UTC)
            return starts, window.contains(starts)
        if zone is None:
            msg = f"{where} has no time zone (such as {column.iloc[0]}): declare time_zone, e.g. {calendar.time_zone}"
            raise SourceError(msg)
        local = localize(values, zone, declared.stamps, calendar)
        starts = starts_of(local.instants, declared.bar_size, declared.stamps, calendar, zone)
        is_wanted = window.contains(starts)
        _refuse(
            column,
            is_wanted & local.is_nonexistent,
            f"{where} does not exist in {zone}: the clock skipped it. Correct the zone or the rows",
        )
        _refuse(
            column,
            is_wanted & local.is_ambiguous,
            f"{where} is there twice in {zone}, when summer time ends. Write the stamps in UTC or with their offset",
        )
        return starts, is_wanted


def stamps_of(column: pd.Series[pd.Timestamp], stamp_format: str | None, where: str) -> tuple[Int64s, bool]:
    """A column of stamps in nanoseconds, and whether they are instants; else they are wall times of some zone.

    Instants, wall times, dates, text and numbers are understood; the last only with a format that says what they are.

    Raises:
        SourceError: one of them can't be read.
    """
    _refuse(column, np.asarray(column.isna()), f"{where} is empty. Fill it or remove the rows")
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(column.dtype):
        is_aware = isinstance(column.dtype, pd.DatetimeTZDtype)
        return np.asarray(pd.DatetimeIndex(column).as_unit("ns").asi8, dtype=np.int64), is_aware
    is_whole = pd.api.types.is_integer_dtype(column.dtype)
    if stamp_format is not None and stamp_format in EPOCHS:
        if not is_whole:
            msg = f"{where} must hold whole numbers ({stamp_format}), but its type is {column.dtype}"
            raise SourceError(msg)
        numbers, most = column.to_numpy(dtype=np.int64), np.iinfo(np.int64).max // EPOCHS[stamp_format]
        _refuse(
            column, np.abs(numbers) > most, f"{where} is too large for {stamp_format}. Declare the unit that it has"
        )
        return numbers * EPOCHS[stamp_format], True
    if pd.api.types.is_numeric_dtype(column.dtype) and not (is_whole and stamp_format):
        msg = (
            f"{where} holds numbers such as {column.iloc[0]}: declare stamp_format, {', '.join(EPOCHS)} or as strptime"
        )
        raise SourceError(msg)
    text = column.astype(str)
    if stamp_format:
        parsed = pd.to_datetime(text, format=stamp_format, errors="coerce", utc="%z" in stamp_format)
        has_zone = "%z" in stamp_format
    else:
        is_instant = np.asarray(text.str.contains(_HAS_ZONE))
        if is_instant.any() and not is_instant.all():
            _refuse(column, ~is_instant, f"{where} names no time zone, and other rows do. Write all in one way")
        has_zone = bool(is_instant.all())
        parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=has_zone)
    wanted = f"the declared stamp_format {stamp_format!r}" if stamp_format else "ISO 8601 (or declare stamp_format)"
    _refuse(column, np.asarray(parsed.isna()), f"{where} is not {wanted}. Correct the format or the rows")
    return np.asarray(pd.DatetimeIndex(parsed).as_unit("ns").asi8, dtype=np.int64), has_zone


def numbers_of(column: pd.Series[float], where: str) -> npt.NDArray[np.float64]:
    """A column of prices or volumes as float64; what is missing is NaN.

    Raises:
        SourceError: it holds something else than numbers.
    """
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if not is_number:
        # float() is the nearest double of a text, which pandas' own parser does not promise
        numbers = [np.nan if pd.isna(value) else _number(value) for value in column]
        is_bad = np.array([number is None for number in numbers], dtype=np.bool_)
        _refuse(column, is_bad, f"{where} is no number. Correct the rows")
        column = pd.Series(numbers, dtype=np.float64)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _number(value: object) -> float | None:
    text = str(value)
    try:
        return None if "_" in text or isinstance(value, bool) else float(text)
    except ValueError:
        return None


def _refuse(column: pd.Series[pd.Timestamp] | pd.Series[float], is_bad: Bools, problem: str) -> None:
    """Raise if a row is bad; the message counts them and shows the first."""
    if not is_bad.any():
        return
    rows = np.flatnonzero(is_bad)
    what, _, remedy = problem.partition(". ")
    msg = f"{what} in {len(rows)} of {len(column)} rows, first {str(column.iloc[int(rows[0])])!r}: {remedy}"
    raise SourceError(msg)
