"""Made-up daily bars for contracts without data: a geometric Brownian path with a slow pull home.

The pull (half of a deviation is gone after some 170 sessions) keeps a path of thirty years near the listing's
price. The path is anchored at absolute dates, so it depends on seed and symbol alone.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from math import log

import numpy as np

from trading_platform.paper_gateway.market.bridge import DayBar, Floats, generator, round_to_tick
from trading_platform.paper_gateway.market.listings import Listing
from trading_platform.paper_gateway.market.sessions import SessionIndex

FIRST_DAY = date(2000, 1, 1)
_PULL = 1 / 250


class SyntheticSource:
    """Daily bars of a contract that has no data, from 2000 to the end of the calendar."""

    def __init__(self, listing: Listing, index: SessionIndex, seed: int) -> None:
        self.first_position = index.up_to(FIRST_DAY) + (0 if index.position(FIRST_DAY) is not None else 1)
        self.origin = f"synthetic path, seed {seed}: no real data"
        self._listing = listing
        self._count = len(index.days) - self.first_position
        self._seed = seed

    @cached_property
    def _bars(self) -> Floats:
        """Open, high, low, close and volume, made when they are first asked for."""
        return _daily_path(self._listing, self._count, self._seed)

    def day(self, position: int) -> DayBar | None:
        """The bar of the session at ``position``."""
        row = position - self.first_position
        if not 0 <= row < self._count:
            return None
        return DayBar(*self._bars[:, row].tolist())

    def adjustment(self, position: int) -> float:
        """Made-up shares are never split and pay nothing."""
        del position
        return 1.0

    def latest(self, position: int) -> int | None:
        """The newest position up to ``position`` that has a bar."""
        return position if position >= self.first_position else None

    def minutes(self, position: int) -> None:
        """There are never real minutes."""


def _daily_path(listing: Listing, count: int, seed: int) -> Floats:
    """Open, high, low, close and volume of ``count`` sessions: an array (5, ``count``)."""
    rng = generator(seed, listing.symbol, "daily path")
    sigma, tick = listing.volatility, float(listing.min_tick)
    shocks = rng.standard_normal(count) * sigma
    level, levels = 0.0, []
    for shock in shocks.tolist():
        level += shock - _PULL * level
        levels.append(level)
    closes = np.array(levels)
    previous = np.concatenate(([0.0], closes[:-1]))
    has_gap = listing.security_type == "STK"
    gaps = 0.3 * (closes - previous) + 0.3 * sigma * rng.standard_normal(count) if has_gap else np.zeros(count)
    opens = previous + gaps
    wicks = np.abs(rng.standard_normal((2, count))) * 0.5 * sigma
    highs, lows = np.maximum(opens, closes) + wicks[0], np.minimum(opens, closes) - wicks[1]
    prices = round_to_tick(np.exp(np.stack([opens, highs, lows, closes]) + log(listing.price)), tick)
    activity = np.exp(0.3 * rng.standard_normal(count) + 0.5 * np.minimum(np.abs(shocks) / sigma, 4.0) - 0.4)
    unit = float(listing.min_size)
    volumes = np.round(np.rint(listing.volume * activity / unit) * unit, 8)
    return np.concatenate([prices, volumes[np.newaxis]])
