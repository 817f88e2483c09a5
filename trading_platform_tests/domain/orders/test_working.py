from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading_platform.domain.orders.model import BrokerOrder, OrderStatus
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform_tests.domain.orders.builders import ACCOUNT, intent

ORDER = BrokerOrder(
    client_order_id="tsla.TSLA.20130228T2045Z.r0",
    perm_id=1,
    order_id=1,
    client_id=1,
    account=ACCOUNT,
    symbol="TSLA",
    side="SELL",
    quantity=Decimal(10),
    order_type="LMT",
    time_in_force="DAY",
    limit_price=Decimal(99),
    stop_price=None,
    status=OrderStatus.PARTIALLY_FILLED,
    raw_status="Submitted",
    filled_quantity=Decimal(4),
    average_fill_price=Decimal(99),
)


def test_the_broker_s_order_counts_with_what_is_not_filled_yet() -> None:
    order = WorkingOrder.from_broker(ORDER)
    assert (order.strategy, order.signed_quantity, order.limit_price) == ("tsla", Decimal(-6), Decimal(99))


def test_an_order_placed_by_hand_belongs_to_no_strategy() -> None:
    assert not WorkingOrder.from_broker(replace(ORDER, client_order_id="")).strategy


def test_an_order_filled_beyond_its_quantity_has_nothing_left() -> None:
    assert WorkingOrder.from_broker(replace(ORDER, filled_quantity=Decimal(11))).remaining_quantity == 0


def test_an_intent_known_from_the_ledger_only_counts_too() -> None:
    assert WorkingOrder.from_intent(intent(), Decimal(3)).signed_quantity == 7
