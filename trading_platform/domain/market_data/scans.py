"""Scans of the market: what is asked for, and one row of the ranked answer. Value types, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

MOST_SCAN_ROWS = 50
"""The largest number of rows of one scan at IBKR."""


@dataclass(frozen=True)
class Scan:
    """What to rank the market by.

    Attributes:
        scan_code: the broker's name of the ranking, such as ``TOP_PERC_GAIN`` or ``HOT_BY_VOLUME``.
        location: the broker's name of the market, such as ``STK.US.MAJOR``.
        above_price: lowest last price, in the instrument's currency.
        below_price: highest last price.
        above_volume: smallest volume of the session so far, in shares.
        limit: largest number of rows.

    Raises:
        ValueError: the limit is not between 1 and ``MOST_SCAN_ROWS``.
    """

    scan_code: str
    location: str = "STK.US.MAJOR"
    above_price: float | None = None
    below_price: float | None = None
    above_volume: int | None = None
    limit: int = MOST_SCAN_ROWS

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST_SCAN_ROWS:
            msg = f"a scan has 1 to {MOST_SCAN_ROWS} rows, not {self.limit}"
            raise ValueError(msg)

    def __str__(self) -> str:
        bounds = (("price ≥", self.above_price), ("price ≤", self.below_price), ("volume ≥", self.above_volume))
        said = "".join(f", {name} {bound:g}" for name, bound in bounds if bound is not None)
        return f"{self.scan_code} at {self.location}{said}, best {self.limit}"


@dataclass(frozen=True)
class ScanRow:
    """One contract of a scan's answer. ``rank`` 1 is the best; ``symbol`` is the platform's name for it.

    The broker's scanner names no primary exchange: ``exchange`` is where it routes, usually ``SMART``.
    """

    rank: int
    con_id: int
    symbol: str
    security_type: str
    exchange: str
    currency: str
