from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.backtest.account import AccountHistory
from trading_platform.domain.portfolio.accounting import book_from_fills
from trading_platform.domain.portfolio.trades import closed_trades
from trading_platform_tests.domain.backtest.market import OPEN, HandMadeMarket, minute
from trading_platform_tests.domain.backtest.test_exchange import exchange, order

trades = st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 60)), min_size=1, max_size=25)


@settings(deadline=None)
@given(trades)
def test_trades_and_positions_grow_to_what_all_fills_together_say(wanted) -> None:
    prices = {number: str(100 + number % 7) for number in range(60)}
    made = exchange(HandMadeMarket(prices, dict.fromkeys(range(60), ("90", "110", 200))))
    history = AccountHistory("D1", made, timedelta(days=365))
    for number, (side, quantity) in enumerate(wanted):
        made.play(minute(number))
        made.place(order(side, str(quantity), name=f"order {number}"))
        assert history.closed_trades("momentum") == closed_trades(made.fills)
        assert history.positions("momentum") == book_from_fills(made.fills).positions == made.positions
    assert history.positions("another") == {}


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.integers(1, 40))
def test_marks_are_the_first_reading_of_the_session_and_the_highest_of_the_window(steps, window) -> None:
    prices, price = {}, 1_000
    for number, step in enumerate(steps):
        price += step
        prices[number] = str(max(price, 1))
    made = exchange(HandMadeMarket(prices, {0: ("1", "3000", 5000)}))
    made.place(order("BUY", "100"))
    history = AccountHistory("D1", made, timedelta(minutes=window))
    for number in range(len(steps)):
        made.play(minute(number))
        reading = history.read()
        assert history.read() is reading
        marks = history.marks(minute(number // 2), minute(number))
        inside = [r.equity_usd for r in history.readings if r.ts_utc >= minute(number) - timedelta(minutes=window)]
        start = history.readings[number // 2].equity_usd
        assert marks is not None
        assert (marks.session_start_usd, marks.peak_usd) == (start, max([start, *inside]))


def test_orders_sent_are_remembered_as_long_as_a_limit_looks_back() -> None:
    made = exchange(HandMadeMarket({0: "100"}, {0: ("99", "101", 5000)}))
    history = AccountHistory("D1", made, timedelta(days=365))
    assert history.marks(OPEN, OPEN) is None
    for number in range(3):
        history.note_sent(order("BUY", str(number + 1), name=str(number)), minute(number))
    assert [sent.quantity for sent in history.sent_since(minute(1))] == [Decimal(2), Decimal(3)]
