from __future__ import annotations

from decimal import Decimal

from trading_platform.domain.portfolio.margin import MarginAccount


def account(cash: str, stock: str = "0", gross: str | None = None, crypto: str = "0") -> MarginAccount:
    return MarginAccount(Decimal(cash), Decimal(stock), Decimal(gross or stock), Decimal(crypto))


def test_stocks_need_half_their_value_at_first_and_a_quarter_later() -> None:
    one = account("50000", "50000")
    assert one.net_liquidation == 100_000
    assert one.available_funds == 75_000
    assert one.buying_power == (100_000 - 12_500) * 4


def test_a_short_position_needs_margin_on_its_unsigned_value() -> None:
    one = account("150000", "-50000", "50000")
    assert one.net_liquidation == 100_000
    assert one.gross_position_value == 50_000
    assert one.initial_margin == 25_000


def test_crypto_currencies_count_for_equity_and_carry_nothing() -> None:
    one = account("50000", crypto="50000")
    assert one.net_liquidation == 100_000
    assert one.equity_with_loan == one.available_funds == 50_000


def test_buying_power_is_never_negative() -> None:
    assert account("-90000", "100000").buying_power == 0
