"""Whether two accounts of the same positions agree. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class PositionDifference:
    """A symbol whose quantity from fills differs from the broker's. Both are signed."""

    symbol: str
    from_fills: Decimal
    at_broker: Decimal

    def __str__(self) -> str:
        return f"{self.symbol}: {self.from_fills} by the ledger's fills, {self.at_broker} at the broker"


def position_differences(
    from_fills: Mapping[str, Decimal], at_broker: Mapping[str, Decimal]
) -> tuple[PositionDifference, ...]:
    """Symbols on which the two disagree, sorted. A symbol that is missing counts as flat."""
    zero = Decimal(0)
    return tuple(
        PositionDifference(symbol, from_fills.get(symbol, zero), at_broker.get(symbol, zero))
        for symbol in sorted({*from_fills, *at_broker})
        if from_fills.get(symbol, zero) != at_broker.get(symbol, zero)
    )
