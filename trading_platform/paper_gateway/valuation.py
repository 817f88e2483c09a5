"""What the paper account is worth and what it may still buy: margin rules and the account values TWS reports.

The rules are Regulation T's, simplified: stocks, long or short, need 50 % of their value initially and 25 % as
maintenance; crypto-currencies can't be borrowed against and need their full price in cash. Buying power is four
times the excess over maintenance (the day-trading rule), and that is the limit orders are held to. Nothing is
liquidated and no interest is charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading_platform.paper_gateway.account import ZERO, Position

INITIAL_MARGIN = Decimal("0.50")
MAINTENANCE_MARGIN = Decimal("0.25")
CURRENCY = "USD"


@dataclass(frozen=True)
class Valuation:
    """The account's money at one set of prices, all in USD."""

    cash: Decimal
    stock_value: Decimal
    stock_gross: Decimal
    crypto_value: Decimal
    unrealized: Decimal

    @property
    def net_liquidation(self) -> Decimal:
        """Cash plus everything at its price."""
        return self.cash + self.stock_value + self.crypto_value

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
        return max(self.excess_liquidity, ZERO) / MAINTENANCE_MARGIN

    def values(self, realized: Decimal) -> dict[str, tuple[str, str]]:
        """TWS's account values: tag → (value, currency). ``realized`` is the session's realized P&L."""
        money = {
            "NetLiquidation": self.net_liquidation,
            "TotalCashValue": self.cash,
            "SettledCash": self.cash,
            "CashBalance": self.cash,
            "TotalCashBalance": self.cash,
            "AccruedCash": ZERO,
            "GrossPositionValue": self.stock_gross + abs(self.crypto_value),
            "StockMarketValue": self.stock_value,
            "Cryptocurrency": self.crypto_value,
            "EquityWithLoanValue": self.equity_with_loan,
            "BuyingPower": self.buying_power,
            "AvailableFunds": self.available_funds,
            "FullAvailableFunds": self.available_funds,
            "ExcessLiquidity": self.excess_liquidity,
            "FullExcessLiquidity": self.excess_liquidity,
            "InitMarginReq": self.initial_margin,
            "FullInitMarginReq": self.initial_margin,
            "MaintMarginReq": self.maintenance_margin,
            "FullMaintMarginReq": self.maintenance_margin,
            "UnrealizedPnL": self.unrealized,
            "RealizedPnL": realized,
        }
        leverage = (self.stock_gross + abs(self.crypto_value)) / self.net_liquidation if self.net_liquidation else ZERO
        return {
            "AccountType": ("INDIVIDUAL", ""),
            "AccountReady": ("true", ""),
            "Currency": (CURRENCY, CURRENCY),
            "ExchangeRate": ("1.00", CURRENCY),
            "Leverage": (f"{leverage:.2f}", ""),
            **{tag: (f"{amount:.2f}", CURRENCY) for tag, amount in money.items()},
        }


def value_account(cash: Decimal, positions: Iterable[Position], prices: Mapping[int, Decimal]) -> Valuation:
    """Value cash and positions at ``prices`` (contract id → price); a position without one stands at its cost."""
    stock_value = stock_gross = crypto_value = unrealized = ZERO
    for position in positions:
        value = position.quantity * prices.get(position.contract.con_id, position.average_cost)
        unrealized += value - position.cost
        if position.contract.security_type == "CRYPTO":
            crypto_value += value
        else:
            stock_value += value
            stock_gross += abs(value)
    return Valuation(cash, stock_value, stock_gross, crypto_value, unrealized)
