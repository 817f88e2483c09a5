"""What a source says about bars that are stored already, held against them; and putting both together. Pure.

Stored bars are as traded. A vendor that adjusts its history for splits says after a split that all of the past was
traded at a fraction of its price: a *rescaled* answer. That is no correction, and taken for one it would be adjusted
twice. So a stored bar of a closed session is never replaced by a rescaled one; see docs/decisions/0024.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from trading_platform.domain.market_data.spans import Bools, nanoseconds

KEY = ["symbol", "ts_utc"]
PRICES = ["open", "high", "low", "close"]
VALUES = [*PRICES, "volume"]
GRAIN = 0.01
"""What vendors round prices to, in currency units: a rescaled price may be off by as much."""
LARGEST_SCATTER = 0.005
"""How far, as a fraction, the ratios of a rescaled session's prices may be apart, apart from rounding."""
EXPLAINED_WITHIN = 0.02
"""How far, as a fraction, known splits may be from the factor they explain: a dividend may go ex with them."""

_EVER = np.iinfo(np.int64).min
SessionOf = tuple[str, str]
"""Symbol and session (ISO date)."""


@dataclass(frozen=True)
class Rewrites:
    """``rows``: one per bar that differs, ``kind`` ``revised``, ``vanished`` or ``appeared``, and one per ``rescaled``
    session; columns :data:`COLUMNS`. ``factors``: answer over stored price of each session that was compared and may
    not be rescaled; 1 where it is not.
    """

    rows: pd.DataFrame
    factors: Mapping[SessionOf, float]

    @property
    def rescaled(self) -> frozenset[SessionOf]:
        """The sessions whose answer is on another scale than what is stored."""
        return frozenset(key for key, factor in self.factors.items() if factor != 1.0)


COLUMNS = [
    "symbol",
    "session",
    "ts_utc",
    "kind",
    "factor",
    *(f"old_{name}" for name in VALUES),
    *(f"new_{name}" for name in VALUES),
    "old_received_at_utc",
]


def find_rewrites(
    stored: pd.DataFrame,
    fetched: pd.DataFrame,
    limits: Mapping[str, float],
    *,
    as_traded: Collection[str],
    complete: Collection[SessionOf] = (),
) -> Rewrites:
    """Where an answer differs from the final bars that are stored.

    Only sessions of a symbol with bars on both sides are compared: an answer without a bar of a session says nothing
    of it.

    Args:
        stored: raw bars. Those in the span that was asked for, none else: a final one that is not in the answer has
            vanished.
        fetched: raw bars of the answer.
        limits: by symbol, how far a value may be from the stored one, as a fraction of it.
        as_traded: sessions that have traded out, whose scale may not change: all but the newest.
        complete: of these every bar is stored, so that a bar that is new in the answer is a change.
    """
    old, new = _finals(stored), _finals(fetched)
    both = pd.merge(old[["symbol", "session"]].drop_duplicates(), new[["symbol", "session"]].drop_duplicates())
    pairs = old.merge(both).merge(
        new.drop(columns="received_at_utc").merge(both),
        on=[*KEY, "session"],
        how="outer",
        suffixes=("_old", "_new"),
        indicator="side",
    )
    limit = pairs["symbol"].map(limits).fillna(0.0).to_numpy(dtype=np.float64)
    is_changed = np.zeros(len(pairs), dtype=np.bool_)
    for name in VALUES:
        before = pairs[f"{name}_old"].to_numpy(dtype=np.float64)
        now = pairs[f"{name}_new"].to_numpy(dtype=np.float64)
        is_same = (np.abs(now - before) <= limit * np.abs(before)) | (np.isnan(now) & np.isnan(before))
        is_changed |= ~is_same
    known = pd.MultiIndex.from_tuples(list(complete), names=["symbol", "session"]) if complete else None
    is_appeared = (pairs["side"] == "right_only").to_numpy()
    if known is None:
        is_changed &= ~is_appeared
    else:
        is_changed &= ~is_appeared | pd.MultiIndex.from_frame(pairs[["symbol", "session"]]).isin(known)
    kinds = pairs["side"].map({"both": "revised", "left_only": "vanished", "right_only": "appeared"}).astype(object)
    factors = _factors(pairs, is_changed, limits, as_traded)
    is_rescaled = np.array(
        [factors.get(key, 1.0) != 1.0 for key in zip(pairs["symbol"], pairs["session"], strict=True)], dtype=np.bool_
    )
    changed = pairs.assign(kind=kinds, factor=np.nan)[is_changed & ~is_rescaled]
    whole = pairs[is_rescaled].drop_duplicates(["symbol", "session"]).assign(kind="rescaled")
    whole["factor"] = [factors[key] for key in zip(whole["symbol"], whole["session"], strict=True)]
    rows = pd.concat([frame for frame in (changed, whole) if len(frame)] or [changed], ignore_index=True)
    named = {f"{name}_{side}": f"{side}_{name}" for name in VALUES for side in ("old", "new")}
    rows = rows.rename(columns={**named, "received_at_utc": "old_received_at_utc"})
    return Rewrites(rows[COLUMNS].sort_values(KEY, kind="stable", ignore_index=True), factors)


def split_product(splits: Mapping[str, Mapping[str, float]], symbol: str, session: str, today: str) -> float:
    """New shares per old of the known splits that went ex after ``session``, up to ``today`` (ISO dates)."""
    known = [ratio for ex_session, ratio in splits.get(symbol, {}).items() if session < ex_session <= today]
    return float(np.prod(known)) if known else 1.0


def is_explained(factor: float, product: float) -> bool:
    """Whether splits of ``product`` new shares per old rescale by ``factor``."""
    return abs(factor * product - 1.0) < EXPLAINED_WITHIN


def scale_beside(factors: Mapping[SessionOf, float], symbol: str, session: str) -> tuple[str, float] | None:
    """The compared session whose factor tells the scale of a session that nothing is stored of, and that factor.

    It is the last one before it, or the first one after it. ``None``: nothing was compared beside it.
    """
    days = sorted(day for name, day in factors if name == symbol)
    before = [day for day in days if day < session]
    beside = before[-1] if before else next(iter(days), None)
    return None if beside is None else (beside, factors[symbol, beside])


def as_traded_again(bars: pd.DataFrame, product: float) -> pd.DataFrame:
    """Bars that a vendor adjusted for splits of ``product`` new shares per old, as they traded. They say so."""
    prices = {name: bars[name] * product for name in PRICES}
    told = bars["source"] + f" (prices x {product:g}, as before the split)"
    return bars.assign(**prices, volume=bars["volume"] / product, source=told)


def merge_bars(
    stored: pd.DataFrame,
    fetched: pd.DataFrame,
    since: Mapping[str, datetime],
    *,
    kept: Collection[SessionOf],
    now: datetime,
) -> pd.DataFrame:
    """Stored and fetched bars of some sessions as one table, the fetched ones in the place of those they bring anew.

    A session of a symbol that the answer has bars of is replaced from ``since`` on, or as a whole. What the answer has
    nothing of keeps its final bars; a bar that was unfinished when it came is not kept. What another run received
    after ``now`` is left alone, so that runs that overlap end up with the newest, in whichever order they write.

    Doubles of one key within an answer stay: judging them is validation's business.

    Args:
        stored: raw bars of these sessions.
        fetched: raw bars received at ``now``, of these sessions.
        since: by symbol, where an answer begins that is not of the whole session.
        kept: sessions of a symbol that are not to be replaced; their fetched bars are left out.
        now: tz-aware UTC.
    """
    if stored.empty:
        return fetched
    stamp = pd.Timestamp(now)
    in_answer = _is_in(stored, set(zip(fetched["symbol"], fetched["session"], strict=True)) - set(kept))
    in_span = is_in_span(stored, since)
    is_newer = (stored["received_at_utc"] > stamp).to_numpy()
    rest = stored[is_newer | (stored["is_final"].to_numpy(dtype=np.bool_) & ~(in_answer & in_span))]
    taken = fetched[~_is_in(fetched, set(kept))]
    newer = stored[is_newer]
    if len(newer):
        taken = taken[~pd.MultiIndex.from_frame(taken[KEY]).isin(pd.MultiIndex.from_frame(newer[KEY]))]
    frames = [frame for frame in (rest, taken) if len(frame)]
    if not frames:
        return fetched.iloc[:0]
    return pd.concat(frames, ignore_index=True).sort_values("symbol", kind="stable", ignore_index=True)


def is_in_span(bars: pd.DataFrame, since: Mapping[str, datetime]) -> Bools:
    """Whether each bar starts at or after its symbol's ``since``; true for symbols without one."""
    if not since:
        return np.ones(len(bars), dtype=np.bool_)
    starts = {name: pd.Timestamp(start).as_unit("ns").value for name, start in since.items()}
    begin = np.array([starts.get(name, _EVER) for name in bars["symbol"]], dtype=np.int64)
    return np.asarray(nanoseconds(bars["ts_utc"]) >= begin, dtype=np.bool_)


def _finals(bars: pd.DataFrame) -> pd.DataFrame:
    finals = bars[bars["is_final"].to_numpy(dtype=np.bool_)]
    return finals[["symbol", "session", "ts_utc", *VALUES, "received_at_utc"]].drop_duplicates(KEY, keep="last")


def _is_in(bars: pd.DataFrame, sessions: Collection[SessionOf]) -> Bools:
    pairs = zip(bars["symbol"], bars["session"], strict=True)
    return np.fromiter((pair in sessions for pair in pairs), dtype=np.bool_, count=len(bars))


def _factors(
    pairs: pd.DataFrame,
    is_changed: Bools,
    limits: Mapping[str, float],
    as_traded: Collection[str],
) -> dict[SessionOf, float]:
    """The factor of each compared session of ``as_traded``.

    A split rescales all of the past: the oldest sessions that were compared, up to its ex-session. A session in the
    midst whose prices all moved by one factor is a correction.
    """
    is_pair = ((pairs["side"] == "both") & pairs["session"].isin(list(as_traded))).to_numpy()
    touched = set(zip(pairs["symbol"][is_pair & is_changed], pairs["session"][is_pair & is_changed], strict=True))
    factors: dict[SessionOf, float] = {}
    for symbol, rows in pairs[is_pair].groupby("symbol", sort=True):
        days = sorted(rows["session"].unique())
        name = str(symbol)

        def factor(
            day: str, name: str = name, rows: pd.DataFrame = rows, limit: float = limits.get(name, 0.0)
        ) -> float:
            return _factor(rows[rows["session"] == day], limit) if (name, day) in touched else 1.0

        found = [(day, one) for day in days for one in [factor(day)]]
        scaled = list(takewhile(lambda item: item[1] != 1.0, found))
        factors |= {(name, day): 1.0 for day in days} | {(name, day): one for day, one in scaled}
    return factors


def _factor(rows: pd.DataFrame, limit: float) -> float:
    """What all prices of a session were multiplied by, or 1 if there is no such factor."""
    before = rows[[f"{name}_old" for name in PRICES]].to_numpy(dtype=np.float64)
    now = rows[[f"{name}_new" for name in PRICES]].to_numpy(dtype=np.float64)
    is_usable = np.isfinite(before).all(axis=1) & np.isfinite(now).all(axis=1) & (before > 0).all(axis=1)
    before, now = before[is_usable], now[is_usable]
    if not len(before):
        return 1.0
    factor = float(np.median(now / before))
    distance = abs(factor - 1.0)
    if distance <= limit or distance * float(np.median(before)) <= 2 * GRAIN:  # a cent or two are no scale
        return 1.0
    scatter = min(LARGEST_SCATTER, distance / 10)
    is_constant = np.abs(now - factor * before) <= scatter * np.abs(now) + GRAIN / 2 * (1.0 + factor)
    return factor if bool(is_constant.all()) else 1.0


def describe(row: Mapping[Hashable, Any]) -> str:
    """A row of :class:`Rewrites` in words, with its numbers."""
    if row["kind"] == "rescaled":
        return f"all prices are {row['factor']:.6g} times the stored ones"
    if row["kind"] == "vanished":
        return f"the source has this bar no longer (close {row['old_close']:.10g})"
    if row["kind"] == "appeared":
        return f"a bar that was not there (close {row['new_close']:.10g})"
    changes = [
        f"{name} {row[f'old_{name}']:.10g} → {row[f'new_{name}']:.10g}"
        for name in VALUES
        if row[f"old_{name}"] != row[f"new_{name}"]
    ]
    return ", ".join(changes)
