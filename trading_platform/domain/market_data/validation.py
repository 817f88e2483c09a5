"""Which bars can be believed. Pure: raw bars in, validated and quarantined bars out, nothing lost.

Every rule has a reason code. A row is convicted by the first rule it breaks, with the numbers that convict it.
Rules about one row come first; what is left is then searched for doubles. Zero volume is no offence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading_platform.domain.calendars import TradingCalendar
from trading_platform.domain.market_data.bars import DAILY, bar_length
from trading_platform.domain.market_data.spans import MISSING, Bools, Int64s, SessionSpans, nanoseconds
from trading_platform.domain.signals.spec import BarSize

PRICES = ["open", "high", "low", "close"]
VALUES = [*PRICES, "volume"]
KEY = ["symbol", "ts_utc"]
Reasons = npt.NDArray[np.object_]
MAX_PRICE = 1e9
MAX_VOLUME = 1e15

REASONS: dict[str, str] = {
    "missing_symbol": "the row names no symbol",
    "missing_timestamp": "the row has no timestamp",
    "missing_price": "open, high, low or close is null",
    "non_finite_price": "open, high, low or close is infinite",
    "non_positive_price": "open, high, low or close is zero or negative",
    "price_out_of_range": "open, high, low or close is 1e9 or more",
    "high_below_low": "the high is below the low",
    "high_below_open_or_close": "the high is below the open or the close",
    "low_above_open_or_close": "the low is above the open or the close",
    "missing_volume": "the volume is null",
    "non_finite_volume": "the volume is infinite",
    "negative_volume": "the volume is negative",
    "volume_out_of_range": "the volume is 1e15 or more",
    "not_a_session": "the session is no session of the calendar",
    "outside_session": "the bar does not start within its session",
    "off_grid": "the bar starts where no bar of its size starts",
    "future_bar": "the bar starts after the moment it was asked for",
    "exact_duplicate": "another row of the same symbol and time with the same values is kept",
    "conflicting_duplicate": "rows of the same symbol and time differ in their values, so none is believed",
}
"""Reason codes and what they mean, in the order in which they are tried."""


@dataclass(frozen=True)
class Validation:
    """The outcome: every raw row is in exactly one of the two frames.

    ``valid`` has the raw columns, sorted by symbol and time, one row per (symbol, ts_utc). ``quarantined`` has
    ``reason`` (a key of ``REASONS``) and ``detail`` besides, sorted likewise.
    """

    valid: pd.DataFrame
    quarantined: pd.DataFrame

    @property
    def reason_counts(self) -> dict[str, int]:
        """Number of quarantined rows by reason, most frequent first."""
        return {str(reason): int(count) for reason, count in self.quarantined["reason"].value_counts().items()}


def discredited_symbols(quarantined: pd.DataFrame) -> frozenset[str]:
    """Symbols with convicted bars. Exact doubles convict nobody: one copy is kept."""
    return frozenset(quarantined.loc[quarantined["reason"] != "exact_duplicate", "symbol"])


def validate_bars(raw: pd.DataFrame, *, bar_size: BarSize, calendar: TradingCalendar, as_of: datetime) -> Validation:
    """Divide raw bars into those that can be believed and those that can't.

    Args:
        raw: columns ``symbol, session, ts_utc`` (tz-aware) ``, open, high, low, close, volume`` (floats) and any
            others, in any order. Rows may be unsorted; that is repaired, not punished.
        bar_size: size of the bars.
        calendar: the market's calendar.
        as_of: tz-aware; no bar may start after it.

    Among rows that differ only in other columns the final and then the earliest received one is kept. A double
    of a row that is convicted for itself does not discredit the other.

    Raises:
        ValueError: a column is missing or ``ts_utc`` has no time zone.
    """
    absent = [name for name in ["symbol", "session", "ts_utc", *VALUES] if name not in raw.columns]
    if absent:
        msg = f"raw bars lack the column(s) {', '.join(absent)}"
        raise ValueError(msg)
    frame = _sorted(raw)
    reason = _row_reasons(frame, bar_size, calendar, as_of)
    _convict_doubles(frame, reason)
    is_valid = reason == ""
    valid = frame[is_valid].reset_index(drop=True)
    quarantined = frame[~is_valid].assign(reason=reason[~is_valid])
    quarantined["detail"] = _details(quarantined, bar_size, calendar, as_of)
    return Validation(valid, quarantined.reset_index(drop=True))


def _sorted(raw: pd.DataFrame) -> pd.DataFrame:
    """By symbol and time; doubles with the one to be kept first."""
    order: dict[str, bool] = {"symbol": True, "ts_utc": True, "is_final": False, "received_at_utc": True}
    by = [name for name in order if name in raw.columns]
    ascending = [order[name] for name in by]
    return raw.sort_values(by, ascending=ascending, kind="stable", ignore_index=True)


def _row_reasons(frame: pd.DataFrame, bar_size: BarSize, calendar: TradingCalendar, as_of: datetime) -> Reasons:
    prices = frame[PRICES].to_numpy(dtype=np.float64)
    open_, high, low, close = prices.T
    volume = frame["volume"].to_numpy(dtype=np.float64)
    stamps = nanoseconds(frame["ts_utc"])
    no_stamp = frame["ts_utc"].isna().to_numpy()
    if no_stamp.any():
        stamps = np.where(no_stamp, stamps.max(), stamps)  # convicted anyway, but NaT would be the year 1677
    starts, session_rules = _session_rules(frame, stamps, bar_size, calendar)
    symbol = frame["symbol"]
    rules: dict[str, Bools] = {
        "missing_symbol": (symbol.isna() | (symbol == "")).to_numpy(),
        "missing_timestamp": no_stamp,
        "missing_price": np.isnan(prices).any(axis=1),
        "non_finite_price": np.isinf(prices).any(axis=1),
        "non_positive_price": np.less_equal(prices, 0).any(axis=1),
        "price_out_of_range": np.greater_equal(prices, MAX_PRICE).any(axis=1),
        "high_below_low": high < low,
        "high_below_open_or_close": high < np.maximum(open_, close),
        "low_above_open_or_close": low > np.minimum(open_, close),
        "missing_volume": np.isnan(volume),
        "non_finite_volume": np.isinf(volume),
        "negative_volume": volume < 0,
        "volume_out_of_range": volume >= MAX_VOLUME,
        **session_rules,
        "future_bar": starts > pd.Timestamp(as_of).as_unit("ns").value,
    }
    return np.select(list(rules.values()), list(rules), default="").astype(object)


def _session_rules(
    frame: pd.DataFrame, stamps: Int64s, bar_size: BarSize, calendar: TradingCalendar
) -> tuple[Int64s, dict[str, Bools]]:
    """When each bar really begins to form, and the rules about sessions. A daily bar forms from the open on."""
    labels = pd.to_datetime(frame["session"], format="%Y-%m-%d", errors="coerce", utc=True).dropna()
    spans = SessionSpans.around(calendar, np.concatenate([stamps, nanoseconds(labels)]))
    position = spans.labelled(frame["session"])
    is_unknown = position == MISSING
    if len(spans.days) == 0:
        return stamps, {"not_a_session": is_unknown}
    opens, closes = spans.opens[position], spans.closes[position]
    if bar_size == DAILY:
        return np.where(is_unknown, stamps, opens), {
            "not_a_session": is_unknown,
            "outside_session": stamps != spans.midnights[position],
        }
    length = int(bar_length(bar_size).total_seconds()) * 1_000_000_000
    is_off_grid = (stamps != opens) & ((stamps + spans.offsets[position]) % length != 0)
    return stamps, {
        "not_a_session": is_unknown,
        "outside_session": (stamps < opens) | (stamps >= closes),
        "off_grid": is_off_grid,
    }


def _convict_doubles(frame: pd.DataFrame, reason: Reasons) -> None:
    """Write the reasons of doubles among the rows that have none yet into ``reason``."""
    innocent = np.flatnonzero(reason == "")
    rows = frame.iloc[innocent]
    is_double = rows.duplicated(KEY, keep=False).to_numpy()
    if not is_double.any():
        return
    doubles = rows[is_double]
    groups = doubles.groupby(KEY, sort=False)[VALUES]
    is_conflict = (groups.transform("max") != groups.transform("min")).any(axis=1).to_numpy()
    is_repeat = doubles.duplicated(KEY, keep="first").to_numpy()
    where = innocent[is_double]
    reason[where[is_conflict]] = "conflicting_duplicate"
    reason[where[~is_conflict & is_repeat]] = "exact_duplicate"


def _details(quarantined: pd.DataFrame, bar_size: BarSize, calendar: TradingCalendar, as_of: datetime) -> list[str]:
    """The numbers that convict each row. Only convicted rows are put into words."""
    columns = ["session", "ts_utc", "reason", *VALUES]
    by_reason: dict[str, Callable[[dict[str, object]], str]] = {
        "not_a_session": lambda row: f"session {row['session']} of {calendar.name}, bar at {row['ts_utc']}",
        "outside_session": lambda row: f"bar at {row['ts_utc']}, {_hours(str(row['session']), calendar)}",
        "off_grid": lambda row: f"bar at {row['ts_utc']}, bar size {bar_size}",
        "future_bar": lambda row: f"bar at {row['ts_utc']}, as of {as_of.isoformat()}",
    }
    rows = quarantined[columns].to_dict("records")
    return [
        by_reason.get(str(row["reason"]), _values)({str(name): value for name, value in row.items()}) for row in rows
    ]


def _values(row: dict[str, object]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in VALUES)


def _hours(session: str, calendar: TradingCalendar) -> str:
    day = datetime.fromisoformat(session).date()
    return f"session {session} is {calendar.open_of(day).isoformat()} to {calendar.close_of(day).isoformat()}"
