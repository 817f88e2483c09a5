"""What the paper account is worth, in the account values that TWS reports.

The margin rules are those of ``domain.portfolio.margin``; orders are held to the buying power. Nothing is liquidated
and no interest is charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading_platform.domain.portfolio.margin import MarginAccount
from trading_platform.paper_gateway.account import ZERO, Position

CURRENCY = "USD"


@dataclass(frozen=True)
class Valuation(MarginAccount):
    """The account's money at one set of prices, all in USD, with the profit that is not realized."""

    unrealized: Decimal

    def values(self, realized: Decimal) -> dict[str, tuple[str, str]]:
        """TWS's account values: tag → (value, currency). ``realized`` is the session's realized P&L."""
        money = {
            "NetLiquidation": self.net_liquidation,
            "TotalCashValue": self.cash,
            "SettledCash": self.cash,
            "CashBalance": self.cash,
            "TotalCashBalance": self.cash,
            "AccruedCash": ZERO,
            "GrossPositionValue": self.gross_position_value,
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
        leverage = self.gross_position_value / self.net_liquidation if self.net_liquidation else ZERO
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
