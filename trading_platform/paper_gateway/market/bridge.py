"""Minutes made from one bar: a seeded path that honours its open, high, low, close and volume exactly.

The path is a Brownian bridge pinned at the open, the close and the two extremes, folded back into
[low, high]; the variance and the volume are larger at both ends of the session (a U).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FEWEST_PINNED = 3
"""A bar of one or two minutes has no room for pinned extremes between its ends."""


@dataclass(frozen=True)
class DayBar:
    """Prices and volume of one session, or of one coarse bar within it."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False)
class MinuteBars:
    """The minutes of one session: arrays as long as the session. Prices are NaN where ``has_bar`` is False."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    has_bar: npt.NDArray[np.bool_]


def generator(seed: int, *names: object) -> np.random.Generator:
    """Random numbers that depend on ``seed`` and ``names`` alone, the same in every process."""
    text = "|".join(str(part) for part in (seed, *names))
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")))


def round_to_tick(prices: Floats, tick: float) -> Floats:
    """The nearest multiples of ``tick``, at least one tick."""
    rounded: Floats = np.round(np.maximum(np.rint(prices / tick), 1.0) * tick, 10)
    return rounded


def bridge(bar: DayBar, minutes: int, rng: np.random.Generator, tick: float, unit: float) -> MinuteBars:
    """Split ``bar`` into ``minutes`` ≥ 1 minutes.

    The first minute's open is the bar's open, the last one's close its close, the highest high its high, the
    lowest low its low. Volumes are multiples of ``unit`` (the smallest trade) and sum to the bar's volume; a
    volume that is no multiple leaves its rest in the last minute. Prices are on ``tick`` except where the
    bar's own are not. The bar must satisfy low ≤ open, close ≤ high.
    """
    nodes = _path(bar, minutes, rng)
    nodes = np.clip(round_to_tick(nodes, tick), bar.low, bar.high)
    nodes[0], nodes[-1] = bar.open, bar.close
    opens, closes = nodes[:-1].copy(), nodes[1:].copy()
    wicks = np.abs(rng.standard_normal((2, minutes))) * (bar.high - bar.low) * 0.4 / np.sqrt(minutes)
    highs = np.clip(round_to_tick(np.maximum(opens, closes) + wicks[0], tick), np.maximum(opens, closes), bar.high)
    lows = np.clip(round_to_tick(np.minimum(opens, closes) - wicks[1], tick), bar.low, np.minimum(opens, closes))
    highs[np.argmax(highs)] = bar.high
    lows[np.argmin(lows)] = bar.low
    return MinuteBars(opens, highs, lows, closes, _volumes(bar.volume, minutes, rng, unit), np.ones(minutes, np.bool_))


def _middle(minutes: int) -> Floats:
    """Middles of the minutes, from −1 at the open to 1 at the close."""
    return (2.0 * np.arange(minutes) + 1.0) / minutes - 1.0


def _path(bar: DayBar, minutes: int, rng: np.random.Generator) -> Floats:
    """Prices at the ``minutes`` + 1 edges of the minutes, within [low, high]."""
    spread = bar.high - bar.low
    deviation = 0.7 + 0.8 * _middle(minutes) ** 2
    variance = np.concatenate(([0.0], np.cumsum(deviation**2)))
    steps = rng.standard_normal(minutes) * deviation
    walk = np.concatenate(([0.0], np.cumsum(steps))) * (0.6 * spread / np.sqrt(variance[-1]))
    at, prices = _anchors(bar, minutes, rng)
    pinned = walk + np.interp(variance, variance[at], prices - walk[at])
    if spread <= 0:
        return np.full(minutes + 1, bar.low)
    folded = np.mod(pinned - bar.low, 2 * spread)
    path: Floats = bar.low + np.where(folded > spread, 2 * spread - folded, folded)
    path[at] = prices
    return path


def _anchors(bar: DayBar, minutes: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """Edges at which the path is pinned, and its prices there: the ends, and the extremes between them.

    The extremes of a Brownian path come early or late by the arcsine law, which is Beta(½, ½).
    """
    ends = {0: bar.open, minutes: bar.close}
    if minutes >= _FEWEST_PINNED:
        places = 1 + (rng.beta(0.5, 0.5, 2) * (minutes - 1)).astype(np.int64)
        high_at, low_at = (min(int(place), minutes - 1) for place in places)
        if high_at == low_at:
            low_at = low_at - 1 if low_at > 1 else low_at + 1
        if bar.high > max(bar.open, bar.close):
            ends[high_at] = bar.high
        if bar.low < min(bar.open, bar.close):
            ends[low_at] = bar.low
    at = sorted(ends)
    return np.array(at, dtype=np.int64), np.array([ends[place] for place in at])


def _volumes(total: float, minutes: int, rng: np.random.Generator, unit: float) -> Floats:
    """Volumes of the minutes: a noisy U whose sum is ``total``."""
    weights = (0.5 + 2.0 * np.abs(_middle(minutes)) ** 3) * np.exp(0.35 * rng.standard_normal(minutes))
    share = np.cumsum(weights)
    units = np.floor(total / unit + 1e-6)
    edges = np.rint(share / share[-1] * units)
    volumes: Floats = np.round(np.diff(edges, prepend=0.0) * unit, 8)
    rest = total - units * unit
    if rest > unit * 1e-3:
        volumes[-1] = round(volumes[-1] + rest, 8)
    return volumes
