"""The fill model, order kind by order kind. That it is the gateway's is shown by ``replay/test_same_decisions``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trading_platform.domain.backtest.exchange import Exchange, UnsupportedOrderError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, OrderRequest, OrderStatus, Side
from trading_platform_tests.domain.backtest.market import CLOSE, OPEN, HandMadeMarket, minute

CASH = Decimal(1_000_000)


def exchange(market: HandMadeMarket, security_type: Any = "STK", cash: Decimal = CASH) -> Exchange:
    return Exchange(market, {"AAPL": Instrument("AAPL", security_type=security_type)}, cash, OPEN)


def order(side: Side, quantity: str, kind: Any = "MKT", *, name: str = "one", **prices: Any) -> OrderIntent:
    request = OrderRequest(name, "AAPL", side, Decimal(quantity), order_type=kind, **prices)
    return OrderIntent(request, "momentum", "D1", "2012-01-03", OPEN, OPEN, Decimal(100), 1.0, 1.0, "because")


def fills(made: Exchange) -> list[tuple[str, str, Any]]:
    return [(str(fill.quantity), str(fill.price), fill.ts_utc) for fill in made.fills]


def test_a_market_order_fills_at_the_touch_and_pays_the_commission() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {0: ("99", "101", 5000)}))
    made.place(order("BUY", "100"))
    assert fills(made) == [("100", "100.05", OPEN)]
    assert made.cash == CASH - Decimal("10005") - Decimal(1)
    assert made.positions == {"AAPL": Decimal(100)}
    made.place(order("SELL", "100", name="two"))
    assert made.positions == {}
    assert made.cash == CASH - 100 * Decimal("0.10") - 2


def test_a_tenth_of_the_minutes_volume_is_had_and_the_rest_meets_the_next_minutes() -> None:
    made = exchange(
        HandMadeMarket({0: "100", 2: "102"}, {0: ("99", "101", 400), 1: ("99", "101", 500), 2: ("99", "103", 900)})
    )
    made.place(order("BUY", "150"))
    assert [order.remaining_quantity for order in made.working()] == [Decimal(110)]
    made.play(minute(5))
    assert fills(made) == [("40", "100.05", minute(0)), ("50", "100.05", minute(1)), ("60", "102.05", minute(2))]
    assert made.orders["one"].status is OrderStatus.FILLED
    assert sum(fill.commission or 0 for fill in made.fills) == Decimal(1)


def test_a_market_order_gets_one_lot_where_nothing_trades() -> None:
    made = exchange(HandMadeMarket({0: "100"}))
    made.place(order("BUY", "3"))
    made.play(minute(30))
    assert fills(made) == [("1", "100.05", OPEN)]


def test_a_resting_limit_fills_at_its_limit_when_a_minutes_range_reaches_it() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {3: ("98.90", "100", 1000)}))
    made.place(order("BUY", "10", "LMT", limit_price=Decimal(99)))
    assert made.fills == []
    made.play(minute(4))
    assert fills(made) == [("10", "99", minute(4) - (minute(1) - minute(0)) / 60)]


def test_a_limit_through_the_touch_fills_at_the_touch() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {0: ("99", "101", 1000)}))
    made.place(order("SELL", "10", "LMT", limit_price=Decimal(90)))
    assert fills(made) == [("10", "99.95", OPEN)]


def test_a_stop_trades_beyond_its_stop_and_before_a_limit_in_the_same_minute() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {0: ("100", "100", 1000), 2: ("95", "105", 1000)}))
    made.place(order("BUY", "10"))
    made.place(order("SELL", "10", "LMT", name="target", limit_price=Decimal(104)))
    made.place(order("SELL", "10", "STP", name="stop", stop_price=Decimal(96)))
    made.play(minute(3))
    assert [(fill.client_order_id, str(fill.price)) for fill in made.fills[1:]] == [
        ("stop", "95.95"),
        ("target", "104"),
    ]


def test_immediate_or_cancel_and_day_orders_end_where_they_should() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {0: ("99", "101", 100)}))
    made.place(order("BUY", "50", "LMT", name="ioc", limit_price=Decimal(101), time_in_force="IOC"))
    made.place(order("BUY", "50", "LMT", name="day", limit_price=Decimal(50)))
    made.place(order("BUY", "50", "LMT", name="gtc", limit_price=Decimal(50), time_in_force="GTC"))
    made.play(CLOSE)
    states = {name: (one.status, str(one.filled)) for name, one in made.orders.items()}
    assert states["ioc"] == (OrderStatus.CANCELLED, "10")
    assert states["day"] == (OrderStatus.EXPIRED, "0")
    assert states["gtc"] == (OrderStatus.SUBMITTED, "0")


def test_crypto_is_bought_with_the_cash_there_is() -> None:
    made = exchange(
        HandMadeMarket({0: "100"}, {0: ("99", "101", 10**6), 1: ("99", "101", 10**6)}, lot="0.01"),
        "CRYPTO",
        Decimal(1_000),
    )
    made.place(order("BUY", "50"))
    made.play(minute(1))
    assert made.positions["AAPL"] < 10
    assert 0 <= made.cash < 3  # the least commission stays unspent
    assert made.orders["one"].status is OrderStatus.CANCELLED


def test_holdings_are_written_as_a_broker_tells_them() -> None:
    made = exchange(HandMadeMarket({0: "100"}))
    made.positions = {"AAPL": Decimal("0.23840"), "IBM": Decimal("100"), "MSFT": Decimal("5.000")}
    assert {symbol: str(held) for symbol, held in made.holdings().items()} == {
        "AAPL": "0.2384",
        "IBM": "100",
        "MSFT": "5",
    }


def test_the_summary_is_in_cents_and_values_what_is_held_at_the_last_price() -> None:
    made = exchange(HandMadeMarket({0: "100", 1: "110.005"}, {0: ("99", "101", 5000)}))
    made.place(order("BUY", "100"))
    made.play(minute(1))
    summary = made.summary("D1")
    assert summary.net_liquidation == Decimal("1000994.50")
    assert summary.gross_position_value == Decimal("11000.50")
    assert summary.available_funds == Decimal("995494.25")


def test_what_the_model_does_not_know_is_refused_in_words() -> None:
    made = exchange(HandMadeMarket({0: "100"}))
    with pytest.raises(UnsupportedOrderError, match="replay` does"):
        made.place(order("BUY", "1", "TRAIL"))
