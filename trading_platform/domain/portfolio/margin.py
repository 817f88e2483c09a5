"""What an account is worth and what it may still buy, by the rules of a margin account.

Regulation T, simplified: stocks, long or short, need 50 % of their value initially and 25 % as maintenance;
crypto-currencies can't be borrowed against and need their full price in cash. Buying power is four times the excess
over maintenance (the day-trading rule).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

INITIAL_MARGIN = Decimal("0.50")
MAINTENANCE_MARGIN = Decimal("0.25")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class MarginAccount:
    """Cash and market values at one set of prices, USD. ``stock_gross`` is the sum of unsigned values."""

    cash: Decimal
    stock_value: Decimal
    stock_gross: Decimal
    crypto_value: Decimal

    @property
    def net_liquidation(self) -> Decimal:
        """Cash plus everything at its price."""
        return self.cash + self.stock_value + self.crypto_value

    @property
    def gross_position_value(self) -> Decimal:
        """Unsigned value of everything held."""
        return self.stock_gross + abs(self.crypto_value)

    @property
    def equity_with_loan(self) -> Decimal:
        """What can carry margin: cash and stocks; crypto-currencies don't count."""
        return self.cash + self.stock_value

    @property
    def initial_margin(self) -> Decimal:
        """Regulation T's initial requirement of the stocks held."""
        return self.stock_gross * INITIAL_MARGIN

    @property
    def maintenance_margin(self) -> Decimal:
        """The maintenance requirement of the stocks held."""
        return self.stock_gross * MAINTENANCE_MARGIN

    @property
    def available_funds(self) -> Decimal:
        """Equity above the initial requirement."""
        return self.equity_with_loan - self.initial_margin

    @property
    def excess_liquidity(self) -> Decimal:
        """Equity above the maintenance requirement."""
        return self.equity_with_loan - self.maintenance_margin

    @property
    def buying_power(self) -> Decimal:
        """The value of stocks that may still be bought or sold short."""
        return max(self.excess_liquidity, _ZERO) / MAINTENANCE_MARGIN
