"""What an order costs: IBKR's published rates, charged per order and spread over its fills.

Source: IBKR commissions page, "Stocks and ETFs, United States, fixed" and "Cryptocurrencies".
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from trading_platform.domain.instruments import SecurityType

STOCK_PER_SHARE = Decimal("0.005")
STOCK_MINIMUM = Decimal("1.00")
CRYPTO_RATE = Decimal("0.0018")
CRYPTO_MINIMUM = Decimal("1.75")
MAXIMUM_RATE = Decimal("0.01")
_MICRO = Decimal("0.000001")


def order_commission(security_type: SecurityType, quantity: Decimal, notional: Decimal) -> Decimal:
    """Commission in USD of an order of which ``quantity`` units were executed for ``notional`` USD in all.

    Stocks: 0.005 a share, at least 1.00. Crypto-currencies: 0.18 % of the notional, at least 1.75. Neither is
    ever more than 1 % of the notional, which also caps the minimum (IBKR commissions page).
    """
    if quantity <= 0:
        return Decimal(0)
    if security_type == "CRYPTO":
        charged = max(notional * CRYPTO_RATE, CRYPTO_MINIMUM)
    else:
        charged = max(quantity * STOCK_PER_SHARE, STOCK_MINIMUM)
    return min(charged, notional * MAXIMUM_RATE).quantize(_MICRO, ROUND_HALF_UP)


def fill_commission(
    security_type: SecurityType,
    quantity_before: Decimal,
    notional_before: Decimal,
    quantity: Decimal,
    price: Decimal,
) -> Decimal:
    """Commission of one more fill, such that an order's fills add up to exactly its ``order_commission``.

    The minimum is charged once per order, however many fills it takes. ``*_before`` is what the order had
    executed before this fill.
    """
    before = order_commission(security_type, quantity_before, notional_before)
    after = order_commission(security_type, quantity_before + quantity, notional_before + quantity * price)
    return after - before
