"""Cash from fills alone, and what of the broker's cash they do not explain: deposits, withdrawals, dividends, fees.

From a baseline on, the first reading with the fills known by then, every fill moves cash by its notional and its
commission. Whatever else moved it came from outside or is no trade. One currency is assumed, the account's base:
conversions of others are cash that fills do not explain.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.orders.model import Execution
from trading_platform.domain.portfolio.accounting import Holding, apply_fill

LAG = timedelta(minutes=3)
"""How long the broker's cash may lag behind its executions. IBKR refreshes account values every three minutes."""
CENT = Decimal("0.01")
"""Brokers round cash to cents, so two readings can differ from the exact sum by one."""


@dataclass(frozen=True)
class CashReading:
    """The account's cash as the broker stated it at one instant."""

    ts_utc: datetime
    cash: Decimal


@dataclass(frozen=True)
class ExplainedReading:
    """A reading beside what fills come to. ``flow`` arrived since the reading before, and no fill explains it."""

    ts_utc: datetime
    cash: Decimal
    from_fills: Decimal
    flow: Decimal

    @property
    def unexplained(self) -> Decimal:
        """All flows since the baseline, and rounding to cents."""
        return self.cash - self.from_fills


def cash_flow_of(fill: Execution) -> Decimal:
    """What a fill did to cash: negative for a purchase; a commission that is not known yet counts as zero."""
    return apply_fill(Holding(fill.symbol), fill)[0].cash_flow


def explain_cash(
    readings: Sequence[CashReading], fills: Iterable[Execution], *, lag: timedelta = LAG
) -> list[ExplainedReading]:
    """Set each reading beside the cash that the baseline and the fills since come to.

    Which fills a reading includes is not certain to the second: the broker's clock has whole seconds, and its cash
    can be older than its executions. A reading is explained if the fills up to *some* moment within ``lag`` before
    it, or in its own second, explain it to the cent. Only if none does, money came or went.

    Args:
        readings: oldest first.
        fills: effective fills, each once, in any order.
        lag: see above.
    """
    ordered = sorted(fills, key=lambda fill: (fill.ts_utc, fill.execution_id))
    stamps = [fill.ts_utc for fill in ordered]
    sums = [Decimal(0)]
    for fill in ordered:
        sums.append(sums[-1] + cash_flow_of(fill))
    choices = [[(reading.cash - sums[cut], cut) for cut in _cuts(stamps, reading.ts_utc, lag)] for reading in readings]
    explained: list[ExplainedReading] = []
    levels = _levels(choices)
    for i, reading in enumerate(readings):
        cut = next(cut for level, cut in choices[i] if abs(level - levels[i]) <= CENT)
        flow = levels[i] - levels[i - 1] if i else Decimal(0)
        explained.append(ExplainedReading(reading.ts_utc, reading.cash, levels[0] + sums[cut], flow))
    return explained


def _cuts(stamps: Sequence[datetime], at: datetime, lag: timedelta) -> list[int]:
    """Numbers of fills that a reading at ``at`` may include, the likeliest first."""
    nominal = bisect_right(stamps, at)
    lowest = bisect_left(stamps, at - lag)
    highest = bisect_right(stamps, at + timedelta(seconds=1))
    return sorted(range(lowest, highest + 1), key=lambda cut: abs(cut - nominal))


def _levels(choices: Sequence[Sequence[tuple[Decimal, int]]]) -> list[Decimal]:
    """Cash without any fill, at each reading: one value for as many readings in a row as it explains."""
    levels: list[Decimal] = []
    possible: list[Decimal] = []
    run = 0
    for offered in ([level for level, _ in choice] for choice in choices):
        # of two that differ by a cent the older is kept: cents that add up must not be followed unnoticed
        agreeing = [known for known in possible if any(abs(level - known) <= CENT for level in offered)]
        if not agreeing and run:
            levels += [possible[0]] * run
            run = 0
        possible = agreeing or offered
        run += 1
    return levels + possible[:1] * run
