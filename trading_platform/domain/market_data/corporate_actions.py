"""Splits and cash dividends: values, the adjustment of bars for what was known, and finding actions in two series.

Bars are kept as traded. Adjusted bars are computed for an as-of session, so that what is computed at *t* uses the
actions known at *t* and no later one.

Formulas. A split of *r* new shares per old divides the prices before it by *r* and multiplies the volumes. A cash
dividend *D* multiplies the prices before the ex-session by 1 − D / C, where C is the close before it, as traded.
Source: CRSP, *Data Definitions*, "Factor to Adjust Price" and "Adjusted price"; QuantConnect Lean's factor files
(``price_factor × split_factor``) agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

ActionKind = Literal["split", "dividend"]
Floats = npt.NDArray[np.float64]

PRICES = ("open", "high", "low", "close")
LONGEST_SPLIT_TERM = 100
"""Largest number of shares on either side of a ratio that is still taken for a split: 1-for-100 happens."""
SHORTER_SPLIT_TERM = 5
"""Largest number on the smaller side: 3-for-2 and 6-for-5 happen; 10-for-9 is a special dividend of a tenth."""
_SMALLEST_SPLIT = 0.15
"""Logarithm of the ratio below which a change of the factor is a dividend: 6-for-5 is 0.18."""
_SAME_DAY_DIVIDEND = 0.02
"""How far, as a fraction, a dividend that goes ex with the split may move the factor from the simple ratio."""


class CorporateActionError(ValueError):
    """An action contradicts the bars or itself. The message says which."""


@dataclass(frozen=True)
class CorporateAction:
    """One split or cash dividend of one symbol.

    ``ex_session`` is the first session that trades without it. ``value`` is the number of new shares per old for a
    split, the cash per share in the instrument's currency, as traded before the ex-session, for a dividend. It counts
    as known from the ex-session on: an exchange never opens without knowing.

    Raises:
        CorporateActionError: the value is not a positive number.
    """

    symbol: str
    ex_session: date
    kind: ActionKind
    value: float
    source: str

    def __post_init__(self) -> None:
        if not np.isfinite(self.value) or self.value <= 0:
            msg = f"{self.kind} of {self.symbol} on {self.ex_session}: {self.value} is not a positive number"
            raise CorporateActionError(msg)


def known_at(actions: Iterable[CorporateAction], as_of: date) -> list[CorporateAction]:
    """Those that the market has traded with by the session ``as_of``: ex-session on or before it."""
    return [action for action in actions if action.ex_session <= as_of]


def splits_of(actions: Iterable[CorporateAction]) -> dict[str, dict[str, float]]:
    """New shares per old by symbol and ex-session (ISO date), as validation asks for them."""
    splits: dict[str, dict[str, float]] = {}
    for action in actions:
        if action.kind == "split":
            splits.setdefault(action.symbol, {})[action.ex_session.isoformat()] = action.value
    return splits


@dataclass(frozen=True)
class Factors:
    """What to multiply prices as traded by, session for session; volumes are divided by ``split``."""

    split: Floats
    dividend: Floats

    @property
    def price(self) -> Floats:
        """Both together."""
        return self.split * self.dividend


def adjustment_factors(
    sessions: Sequence[str] | npt.NDArray[np.str_],
    closes: Floats,
    actions: Iterable[CorporateAction],
    *,
    as_of: date,
) -> Factors:
    """The factors of one symbol's sessions, for someone who stands at the session ``as_of``.

    Args:
        sessions: ISO dates, ascending, one per close (repeated for intraday bars).
        closes: as traded, one per row, all positive.
        actions: the symbol's; those that go ex after ``as_of`` are left out.

    Returns:
        Arrays of the length of ``sessions``. The last session's factors are 1 unless an action went ex after it.

    Raises:
        CorporateActionError: a dividend is not smaller than the close before it.
    """
    labels = np.asarray(sessions, dtype="datetime64[D]")
    split, dividend = np.ones(len(labels) + 1), np.ones(len(labels) + 1)
    for action in known_at(actions, as_of):
        before = int(np.searchsorted(labels, np.datetime64(action.ex_session), side="left"))
        if before == 0:
            continue  # nothing that is older than the action
        if action.kind == "split":
            split[before] /= action.value
            continue
        close = float(closes[before - 1])
        if action.value >= close:
            msg = (
                f"dividend of {action.symbol} on {action.ex_session}: {action.value} is not smaller than the close "
                f"before it, {close}: is it in another currency, or from before a split?"
            )
            raise CorporateActionError(msg)
        dividend[before] *= 1.0 - action.value / close
    # row i is multiplied by every action that goes ex after it
    return Factors(_product_after(split), _product_after(dividend))


@dataclass(frozen=True)
class RowFactors:
    """What :func:`adjust_bars` multiplies each row's prices and volume by, in the rows' order."""

    price: Floats
    volume: Floats


def row_factors(bars: pd.DataFrame, actions: Iterable[CorporateAction], *, as_of: date) -> RowFactors | None:
    """The factors of bars of many symbols in any order; ``None`` where no action concerns them.

    Args and errors: as :func:`adjust_bars`.
    """
    by_symbol: dict[str, list[CorporateAction]] = {}
    for action in known_at(actions, as_of):
        by_symbol.setdefault(action.symbol, []).append(action)
    if not bars["symbol"].isin(by_symbol).any():
        return None
    price, volume = np.ones(len(bars)), np.ones(len(bars))
    symbols, sessions = bars["symbol"].to_numpy(), bars["session"].to_numpy()
    closes, stamps = bars["close"].to_numpy(dtype=np.float64), bars["ts_utc"].to_numpy()
    for symbol, own in by_symbol.items():
        rows = np.flatnonzero(symbols == symbol)
        rows = rows[np.argsort(stamps[rows], kind="stable")]
        factors = adjustment_factors(sessions[rows].astype(str), closes[rows], own, as_of=as_of)
        price[rows], volume[rows] = factors.price, 1.0 / factors.split
    return RowFactors(price, volume)


def adjust_bars(bars: pd.DataFrame, actions: Iterable[CorporateAction], *, as_of: date) -> pd.DataFrame:
    """Bars as someone at the session ``as_of`` would chart them: prices and volumes comparable across actions.

    Args:
        bars: columns ``symbol, session, ts_utc, open, high, low, close, volume``, as traded, none after ``as_of``;
            any order.
        actions: of any symbols.

    Returns:
        The same rows, columns and order. Without an action that concerns them, the same frame.

    Raises:
        CorporateActionError: see :func:`adjustment_factors`.
    """
    factors = row_factors(bars, actions, as_of=as_of)
    return bars if factors is None else with_factors(bars, factors)


def with_factors(bars: pd.DataFrame, factors: RowFactors) -> pd.DataFrame:
    """The bars multiplied by factors that were made for them."""
    adjusted = {name: bars[name].to_numpy(dtype=np.float64) * factors.price for name in PRICES}
    return bars.assign(**adjusted, volume=bars["volume"].to_numpy(dtype=np.float64) * factors.volume)


def derive_actions(
    symbol: str,
    sessions: Sequence[str],
    as_traded: Floats,
    adjusted: Floats,
    *,
    grain: float,
    source: str,
) -> list[CorporateAction]:
    """The actions that explain how a vendor's adjusted closes differ from those it did not adjust.

    The factor ``adjusted / as_traded`` is constant between actions. Rounding leaves only an interval for it at each
    session; consecutive sessions whose intervals share a point have one factor, and where no point is left an
    action went ex. Of the step between two factors the part that is a simple fraction is a split, the rest a dividend.

    Args:
        sessions: ISO dates, ascending.
        as_traded: closes without, ``adjusted`` closes with the vendor's adjustments; all positive.
        grain: what the adjusted closes are rounded to, in currency units.

    Returns:
        Oldest first. A dividend smaller than rounding shows late or not at all: at a grain of 0.01 and a price of
        100 one of about 0.01 per share.

    Raises:
        CorporateActionError: the arrays differ in length.
    """
    if not len(sessions) == len(as_traded) == len(adjusted):
        msg = f"{symbol}: {len(sessions)} sessions, {len(as_traded)} closes and {len(adjusted)} adjusted closes"
        raise CorporateActionError(msg)
    segments = _segments(as_traded, adjusted, grain / 2)
    found: list[CorporateAction] = []
    for (_, before), (start, after) in pairwise(segments):
        step = before / after
        jump = as_traded[start] / as_traded[start - 1]
        ratio = _split_ratio(step, jump)
        if ratio is not None:
            found.append(CorporateAction(symbol, _day(sessions[start]), "split", float(ratio), source))
            step *= float(ratio)
        amount = float(as_traded[start - 1]) * (1.0 - step)
        smallest = 2.0 * grain * float(as_traded[start - 1] / adjusted[start - 1])
        if ratio is None and amount <= 0:
            msg = (
                f"{symbol} on {sessions[start]}: the adjusted closes step by {step:.6f}, which is neither a dividend "
                "nor a split: the vendor's two series don't belong together"
            )
            raise CorporateActionError(msg)
        if amount > (smallest if ratio is not None else 0):
            found.append(CorporateAction(symbol, _day(sessions[start]), "dividend", float(amount), source))
    return found


def _product_after(steps: Floats) -> Floats:
    """For each row the product of the steps after it; ``steps`` has one more entry than there are rows."""
    return np.cumprod(steps[::-1], dtype=np.float64)[::-1][1:]


def _segments(as_traded: Floats, adjusted: Floats, half_grain: float) -> list[tuple[int, float]]:
    """Start and factor of each run of sessions that one factor explains."""
    lows, highs = (adjusted - half_grain) / as_traded, (adjusted + half_grain) / as_traded
    segments: list[tuple[int, float]] = []
    start, low, high = 0, -np.inf, np.inf
    for row in range(len(adjusted)):
        if max(low, lows[row]) > min(high, highs[row]):
            segments.append((start, (low + high) / 2))
            start, low, high = row, -np.inf, np.inf
        low, high = max(low, lows[row]), min(high, highs[row])
    if len(adjusted):
        segments.append((start, (low + high) / 2))
    return segments


def _split_ratio(step: float, jump: float) -> Fraction | None:
    """New shares per old, if the step of the factor is a split that the price has jumped by; else ``None``."""
    if abs(np.log(step)) < _SMALLEST_SPLIT or abs(np.log(step / jump)) > abs(np.log(step)) / 2:
        return None
    shares = 1.0 / step
    for shorter in range(1, SHORTER_SPLIT_TERM + 1):
        longer = round(max(shares, step) * shorter)
        ratio = Fraction(longer, shorter) if shares > 1 else Fraction(shorter, longer)
        if longer <= LONGEST_SPLIT_TERM and abs(float(ratio) * step - 1.0) < _SAME_DAY_DIVIDEND:
            return ratio
    return None


def _day(label: str) -> date:
    return date.fromisoformat(str(label))
