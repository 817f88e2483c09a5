"""What is at risk in the market: long, short, gross and net, by symbol and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


class MissingMarkError(ValueError):
    """A holding has no price to value it at; it must not count as zero."""


@dataclass(frozen=True)
class Exposure:
    """Market values in USD at one moment. ``by_symbol`` is signed; ``short_usd`` is ≤ 0."""

    by_symbol: Mapping[str, Decimal]
    equity: Decimal

    @property
    def long_usd(self) -> Decimal:
        """Sum of the long holdings' values."""
        return sum((value for value in self.by_symbol.values() if value > 0), Decimal(0))

    @property
    def short_usd(self) -> Decimal:
        """Sum of the short holdings' values, negative."""
        return sum((value for value in self.by_symbol.values() if value < 0), Decimal(0))

    @property
    def gross_usd(self) -> Decimal:
        """Long plus unsigned short."""
        return self.long_usd - self.short_usd

    @property
    def net_usd(self) -> Decimal:
        """Long minus unsigned short."""
        return self.long_usd + self.short_usd

    @property
    def leverage(self) -> Decimal | None:
        """Gross exposure over equity; ``None`` without equity."""
        return self.gross_usd / self.equity if self.equity > 0 else None


def exposure_of(positions: Mapping[str, Decimal], marks: Mapping[str, Decimal], equity: Decimal) -> Exposure:
    """Value holdings at ``marks``, the largest first.

    Args:
        positions: signed quantities by symbol; zeros are left out.
        marks: prices in USD by symbol.
        equity: net liquidation value of the account, USD.

    Raises:
        MissingMarkError: a holding has no finite, positive mark.
    """
    values: dict[str, Decimal] = {}
    for symbol, quantity in positions.items():
        if not quantity:
            continue
        mark = marks.get(symbol)
        if mark is None or not mark.is_finite() or mark <= 0:
            msg = f"no price to value {quantity:f} {symbol} at: materialize its bars, or ask for a quote"
            raise MissingMarkError(msg)
        values[symbol] = quantity * mark
    ordered = sorted(values.items(), key=lambda item: (-abs(item[1]), item[0]))
    return Exposure(dict(ordered), equity)
