from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from trading_platform.paper_gateway.model import OrderTicket, PaperOrder
from trading_platform.paper_gateway.time_in_force import expiry_of, trading_minutes
from trading_platform_tests.paper_gateway.venue_kit import AAPL, BTC, UTC, et


def _order(time_in_force: str, submitted_at: datetime, good_till: datetime | None = None) -> PaperOrder:
    ticket = OrderTicket("BUY", Decimal(1), "MKT", time_in_force=time_in_force, good_till=good_till)
    return PaperOrder(1, 1, 1, AAPL, ticket, submitted_at=submitted_at)


@pytest.mark.parametrize(
    ("time_in_force", "submitted_at", "expected"),
    [
        ("DAY", et("10:00"), et("16:00")),
        ("DAY", et("08:00"), et("16:00")),
        ("DAY", et("16:00"), et("16:00", "2013-03-01")),
        ("DAY", et("12:00", "2013-03-02"), et("16:00", "2013-03-04")),
        ("DAY", et("10:00", "2013-11-29"), et("13:00", "2013-11-29")),
        ("GTC", et("10:00"), None),
    ],
    ids=["open", "before the open", "at the close", "weekend", "half day", "good till cancelled"],
)
def test_an_order_expires_with_the_session_it_belongs_to(
    time_in_force: str, submitted_at: datetime, expected: datetime | None
) -> None:
    assert expiry_of(_order(time_in_force, submitted_at)) == expected


def test_a_good_till_date_order_expires_at_its_time() -> None:
    until = et("11:00", "2013-03-05")
    assert expiry_of(_order("GTD", et("10:00"), until)) == until


def test_a_day_in_a_market_that_never_closes_ends_at_midnight_utc() -> None:
    order = _order("DAY", et("10:00"))
    order.contract = BTC
    assert expiry_of(order) == datetime(2013, 3, 1, tzinfo=UTC)


def test_minutes_of_trading_skip_closed_time() -> None:
    minutes = list(trading_minutes(["XNYS"], et("15:58:30"), et("09:31:20", "2013-03-01")))
    following = [et("09:30", "2013-03-01"), et("09:31", "2013-03-01")]
    assert minutes == [et("15:58"), et("15:59"), *following]


def test_minutes_of_two_markets_are_merged_in_order_without_repetition() -> None:
    start, end = et("15:59"), et("16:01")
    minutes = list(trading_minutes(["XNYS", "24/7"], start, end))
    assert minutes == [start + timedelta(minutes=i) for i in range(3)]


def test_a_month_of_the_exchange_is_walked_session_by_session() -> None:
    count = sum(1 for _ in trading_minutes(["XNYS"], et("00:00", "2013-03-01"), et("23:00", "2013-03-31")))
    assert count == 20 * 390
