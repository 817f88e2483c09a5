"""The market scanner: contracts ranked by what they have done in the newest session, as far as it has got.

Pure functions of the market and the time. Scan codes mean what IBKR documents; what they are computed from are the
paper market's own prices. Nothing here knows a contract's market capitalization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_platform.paper_gateway.market.bar_sizes import midnight
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.sessions import MINUTE, session_index
from trading_platform.paper_gateway.model import Bar, Contract

MOST_ROWS = 50
"""IBKR's largest number of rows of one scan."""

_MAJOR = ("NASDAQ", "NYSE", "AMEX", "ARCA", "BATS")
LOCATIONS: Mapping[str, tuple[str, ...] | None] = {
    "STK.US": None,
    "STK.US.MAJOR": _MAJOR,
    "STK.NASDAQ": ("NASDAQ",),
    "STK.NYSE": ("NYSE",),
}
"""Primary exchanges by location code; ``None``: every US stock, also those whose exchange is not known."""

_AVERAGE_DAYS = 30
_DAYS_LOOKED_AT = timedelta(days=100)
"""Holds about twice the span of the average: what is older would weigh less than a fiftieth."""


@dataclass(frozen=True)
class ScanFilter:
    """What a contract must be to be ranked; ``None`` is "not said". Bounds belong to what they let pass.

    ``min_change`` and ``max_change`` are percent against the previous close.
    """

    above_price: float | None = None
    below_price: float | None = None
    above_volume: float | None = None
    min_change: float | None = None
    max_change: float | None = None

    def admits(self, state: SessionState) -> bool:
        """Whether a contract in this state passes every filter."""
        return (
            _is_at_least(state.last, self.above_price)
            and _is_at_most(state.last, self.below_price)
            and _is_at_least(state.bar.volume, self.above_volume)
            and _is_at_least(state.change_pct, self.min_change)
            and _is_at_most(state.change_pct, self.max_change)
        )


@dataclass(frozen=True)
class SessionState:
    """One contract at ``now``: its last price, the previous session's close, and its newest session's bar so far."""

    contract: Contract
    now: datetime
    last: float
    previous_close: float
    bar: Bar

    @property
    def change_pct(self) -> float:
        """The last price against the previous session's close, in percent."""
        return (self.last / self.previous_close - 1) * 100


Measure = Callable[[Market, SessionState], "float | None"]


def _gain(_market: Market, state: SessionState) -> float | None:
    return state.change_pct if state.change_pct > 0 else None


def _loss(_market: Market, state: SessionState) -> float | None:
    return -state.change_pct if state.change_pct < 0 else None


def _volume(_market: Market, state: SessionState) -> float | None:
    return state.bar.volume or None


def _volume_rate(market: Market, state: SessionState) -> float | None:
    """What traded in the newest whole minute of the session."""
    index = session_index(state.contract.calendar)
    position = index.opened_by(state.now)
    minute = min(state.now.replace(second=0, microsecond=0), index.close_of(position)) - MINUTE
    bar = market.minute_bar(state.contract, minute) if minute >= index.open_of(position) else None
    return bar.volume or None if bar is not None else None


def _hot_by_volume(market: Market, state: SessionState) -> float | None:
    """Today's volume against the 30-day exponential moving average of daily volumes, today's not included."""
    before = market.bars(state.contract, "1 day", state.bar.ts_utc - _DAYS_LOOKED_AT, state.bar.ts_utc, state.now)
    if not before:
        return None
    weight, average = 2 / (_AVERAGE_DAYS + 1), before[0].volume
    for bar in before[1:]:
        average += weight * (bar.volume - average)
    return state.bar.volume / average if average > 0 and state.bar.volume > 0 else None


SCAN_CODES: Mapping[str, tuple[str, Measure]] = {
    "TOP_PERC_GAIN": ("Top % Gainers", _gain),
    "TOP_PERC_LOSE": ("Top % Losers", _loss),
    "MOST_ACTIVE": ("Most Active", _volume),
    "HOT_BY_VOLUME": ("Hot Contracts by Volume", _hot_by_volume),
    "TOP_VOLUME_RATE": ("Top Volume Rate", _volume_rate),
}
"""Display name and measure by scan code: the contract with the largest measure is first, one without is left out."""


def scan(
    market: Market,
    contracts: Iterable[Contract],
    scan_code: str,
    location: str,
    filters: ScanFilter,
    rows: int,
    now: datetime,
) -> list[Contract]:
    """The best ``rows`` stocks of ``location`` by ``scan_code`` at ``now`` (tz-aware), best first, ties by symbol.

    When the market is closed its newest session counts, which is then over. A stock that does not trade in that
    session, or whose first one it is, is not ranked.

    Raises:
        KeyError: no such scan code or location.
    """
    _, measure = SCAN_CODES[scan_code]
    exchanges = LOCATIONS[location]
    ranked: list[tuple[float, str, Contract]] = []
    for contract in contracts:
        is_us_stock = contract.security_type == "STK" and contract.currency == "USD"
        if not is_us_stock or not (exchanges is None or contract.primary_exchange in exchanges):
            continue
        state = _state_of(market, contract, now)
        value = measure(market, state) if state is not None and filters.admits(state) else None
        if value is not None:
            ranked.append((-value, contract.symbol, contract))
    return [contract for _, _, contract in sorted(ranked, key=lambda row: row[:2])[:rows]]


def _state_of(market: Market, contract: Contract, now: datetime) -> SessionState | None:
    index = session_index(contract.calendar)
    position = index.opened_by(now)
    first = market.first_bar_at(contract)
    if position < 0 or first is None or first >= index.open_of(position):
        return None
    start = midnight(index, position)
    bars = market.bars(contract, "1 day", start, start + timedelta(days=1), now)
    book = market.top_of_book(contract, now) if bars else None
    if book is None:
        return None
    return SessionState(contract, now, float(book.last), float(book.previous_close), bars[0])


def _is_at_least(value: float, bound: float | None) -> bool:
    return bound is None or value >= bound


def _is_at_most(value: float, bound: float | None) -> bool:
    return bound is None or value <= bound
