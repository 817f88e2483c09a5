"""Brackets through the adapter and over a real socket: everything of them is live, or nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.base import AmbiguousOrderError, BrokerConnectionError, OrderRejectedError, ReadOnlyError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.paper_gateway.faults import DropConnection, RejectOrders
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory

AAPL = Instrument("AAPL", primary_exchange="NASDAQ")
_numbers = itertools.count(1)


def bracket(**entry: Any) -> list[OrderRequest]:
    """Buy far below the market, take profit far above, stop far below that."""
    name = f"tsla.AAPL.20130227T1500Z.r{next(_numbers)}"
    buy = OrderRequest(name, "AAPL", "BUY", Decimal(10), "LMT", limit_price=Decimal("10.00"))
    sell = OrderRequest(
        f"{name}t", "AAPL", "SELL", Decimal(10), "LMT", "GTC", Decimal("900.00"), parent_id=name, oca_group=name
    )
    stop = replace(sell, client_order_id=f"{name}s", order_type="STP", limit_price=None, stop_price=Decimal("5.00"))
    return [replace(buy, **entry), sell, stop]


def live(broker: IBKRBroker, legs: list[OrderRequest]) -> list[str]:
    wanted = set(names(legs))
    listed = [order for order in broker.open_orders() if order.client_order_id in wanted]
    return sorted(order.client_order_id for order in listed if not order.status.is_terminal)


def names(legs: list[OrderRequest]) -> list[str]:
    return sorted(leg.client_order_id for leg in legs)


def test_entry_and_exits_are_acknowledged_and_open_together(broker: IBKRBroker) -> None:
    legs = bracket()
    orders = broker.place_bracket(AAPL, legs)
    assert [order.client_order_id for order in orders] == [leg.client_order_id for leg in legs]
    assert [order.status for order in orders] == [OrderStatus.SUBMITTED] * 3
    assert len({order.perm_id for order in orders} - {0}) == 3
    assert live(broker, legs) == names(legs)


def test_when_the_entry_fills_the_exits_are_left(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    legs = bracket(order_type="MKT", limit_price=None)
    entry, *exits = broker.place_bracket(AAPL, legs)
    paper_gateway.step_now()
    assert entry.status in (OrderStatus.SUBMITTED, OrderStatus.FILLED)
    assert live(broker, legs) == names(legs[1:])
    broker.cancel_order(exits[0].client_order_id)
    broker.cancel_order(exits[1].client_order_id)


def test_cancelling_the_entry_takes_the_exits_with_it(broker: IBKRBroker) -> None:
    legs = bracket()
    broker.place_bracket(AAPL, legs)
    broker.cancel_order(legs[0].client_order_id)
    assert live(broker, legs) == []


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_a_leg_that_is_refused_keeps_the_whole_bracket_from_going_live(broker: IBKRBroker, leg: int) -> None:
    legs = bracket()
    price = Decimal("10.001")
    legs[leg] = replace(legs[leg], **({"stop_price": price} if leg == 2 else {"limit_price": price}))
    with pytest.raises(OrderRejectedError, match="its bracket was refused by IBKR") as caught:
        broker.place_bracket(AAPL, legs)
    assert caught.value.code == 110
    assert live(broker, legs) == []
    assert broker.place_bracket(AAPL, bracket())[0].status is OrderStatus.SUBMITTED


def test_a_group_that_the_broker_refuses_as_a_whole_is_rejected(
    paper_gateway: PaperGateway, broker: IBKRBroker
) -> None:
    paper_gateway.faults.add(RejectOrders(201, "Order rejected - reason:not today", symbol="AAPL"))
    legs = bracket()
    with pytest.raises(OrderRejectedError):
        broker.place_bracket(AAPL, legs)
    assert live(broker, legs) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("message", [1, 2, 3])
def test_a_connection_that_breaks_at_any_message_leaves_all_of_it_or_nothing(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, message: int, when: Any
) -> None:
    broker = make_broker(port=paper_gateway.port)
    legs = bracket()
    broker.open_orders()
    fault = DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when=when, nth=message)
    paper_gateway.faults.add(fault)
    with pytest.raises((BrokerConnectionError, AmbiguousOrderError)) as caught:
        broker.place_bracket(AAPL, legs)
    was_released = message == 3
    assert isinstance(caught.value, AmbiguousOrderError) == was_released
    assert live(broker, legs) == (names(legs) if was_released and when == "after" else [])


def test_what_is_no_bracket_is_not_sent(broker: IBKRBroker) -> None:
    legs = bracket()
    for wrong in (legs[:1], [legs[1], legs[0]], [legs[0], replace(legs[1], parent_id="another")]):
        with pytest.raises(ValueError, match="is no bracket"):
            broker.place_bracket(AAPL, wrong)
    with pytest.raises(ValueError, match="place it with its entry"):
        broker.place_order(AAPL, legs[1])


def test_a_read_only_connection_sends_none(paper_gateway: PaperGateway, make_broker: BrokerFactory) -> None:
    with pytest.raises(ReadOnlyError):
        make_broker(port=paper_gateway.port, read_only=True).place_bracket(AAPL, bracket())
