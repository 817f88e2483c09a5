"""What an order closed is one trade, however many fills it took."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from trading_platform.domain.orders.model import Execution, Side
from trading_platform.domain.portfolio.trades import closed_trades
from trading_platform_tests.domain.orders.builders import ACCOUNT, NOW


def fill(number: int, order: str, side: Side, quantity: int, price: int, symbol: str = "TSLA") -> Execution:
    at = NOW + timedelta(seconds=number)
    return Execution(
        f"e{number}", order, number, ACCOUNT, symbol, side, Decimal(quantity), Decimal(price), Decimal(1), None, at
    )


def test_partial_fills_of_one_order_are_one_trade_and_openings_are_none() -> None:
    fills = [
        fill(1, "a", "BUY", 10, 100),
        fill(2, "b", "SELL", 4, 90),
        fill(3, "b", "SELL", 2, 120),
        fill(4, "c", "SELL", 4, 101),
        fill(5, "d", "BUY", 1, 100, "IWM"),
    ]
    found = closed_trades(reversed(fills))
    assert [(trade.client_order_id, trade.pnl_usd) for trade in found] == [("b", Decimal(0)), ("c", Decimal(4))]
    assert found[0].ts_utc == NOW + timedelta(seconds=3)


def test_orders_placed_by_hand_count_fill_by_fill() -> None:
    fills = [fill(1, "", "BUY", 2, 100), fill(2, "", "SELL", 1, 90), fill(3, "", "SELL", 1, 80)]
    assert [trade.pnl_usd for trade in closed_trades(fills)] == [Decimal(-10), Decimal(-20)]


def test_without_fills_there_is_no_trade() -> None:
    assert closed_trades([]) == ()
