"""The whole adapter against the paper gateway, over a real socket."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timezone
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.base import (
    AmbiguousOrderError,
    Broker,
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    ClientIdInUseError,
    OrderRejectedError,
)
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import BrokerOrder, OrderRequest, OrderStatus
from trading_platform.paper_gateway.faults import (
    Broadcast,
    DropConnection,
    DuplicateStatus,
    Fault,
    Mute,
    RejectOrders,
    RollBackOrderIds,
    StatusBeforeExecution,
    SwallowAcknowledgement,
)
from trading_platform.paper_gateway.messages.ids import Incoming, Outgoing
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import MOMENT, BrokerFactory

UTC = timezone.utc
AAPL = Instrument("AAPL", primary_exchange="NASDAQ")
IBM = Instrument("IBM", primary_exchange="NYSE")
BTC = Instrument("BTC", "CRYPTO", calendar="24/7", lot_size=Decimal("0.00001"))
_numbers = itertools.count(1)


def buy(symbol: str = "AAPL", quantity: str = "10", **changes: Any) -> OrderRequest:
    fields = {"client_order_id": f"test.{symbol}.{next(_numbers)}", "symbol": symbol, "side": "BUY", **changes}
    return OrderRequest(quantity=Decimal(quantity), **fields)


def resting(**changes: Any) -> OrderRequest:
    """A limit order far below the market."""
    return buy(order_type="LMT", limit_price=Decimal("10.5"), **changes)


def find(orders: Iterable[BrokerOrder], request: OrderRequest) -> list[BrokerOrder]:
    return [order for order in orders if order.client_order_id == request.client_order_id]


def test_the_adapter_is_a_broker(broker: IBKRBroker) -> None:
    as_protocol: Broker = broker
    assert (as_protocol.account, as_protocol.is_paper) == ("DU1000000", True)


def test_the_server_tells_its_own_time_and_not_this_machines(broker: IBKRBroker) -> None:
    assert broker.server_time() == MOMENT


def test_a_market_order_is_filled_executed_and_held(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    request = buy()
    before = sum(position.quantity for position in broker.positions() if position.symbol == "AAPL")
    order = broker.place_order(AAPL, request)
    assert order.perm_id > 0
    paper_gateway.step_now()
    (execution,) = [item for item in broker.executions() if item.client_order_id == request.client_order_id]
    assert execution.perm_id == order.perm_id
    assert (execution.side, execution.quantity, execution.account) == ("BUY", 10, "DU1000000")
    assert execution.commission is not None
    assert execution.commission > 0
    assert execution.realized_pnl is None, "an opening trade realizes nothing, which is not the same as zero"
    assert execution.ts_utc == MOMENT
    (position,) = [item for item in broker.positions() if item.symbol == "AAPL"]
    assert position.quantity == before + 10
    (completed,) = find(broker.completed_orders(), request)
    assert (completed.status, completed.filled_quantity, completed.order_id) == (OrderStatus.FILLED, 10, 0)
    assert completed.perm_id == order.perm_id


@pytest.mark.parametrize("fault", [DuplicateStatus(), StatusBeforeExecution()])
def test_an_order_is_one_order_however_its_messages_come(
    paper_gateway: PaperGateway, broker: IBKRBroker, fault: Fault
) -> None:
    paper_gateway.faults.add(fault)
    request = buy()
    broker.place_order(AAPL, request)
    paper_gateway.step_now()
    executions = [item for item in broker.executions() if item.client_order_id == request.client_order_id]
    assert sum(item.quantity for item in executions) == 10
    assert len(find(broker.completed_orders(), request)) == 1


def test_crypto_is_traded_in_fractions_without_float_noise(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    request = buy("BTC", "0.00012")
    broker.place_order(BTC, request)
    paper_gateway.step_now()
    (execution,) = [item for item in broker.executions() if item.client_order_id == request.client_order_id]
    assert execution.quantity == Decimal("0.00012")
    assert execution.price == execution.price.quantize(Decimal("0.01"))


def test_a_resting_order_is_open_until_it_is_cancelled(broker: IBKRBroker) -> None:
    request = resting(time_in_force="GTC")
    placed = broker.place_order(AAPL, request)
    (order,) = find(broker.open_orders(), request)
    assert (order.status, order.perm_id, order.order_id) == (OrderStatus.SUBMITTED, placed.perm_id, placed.order_id)
    assert (order.limit_price, order.time_in_force, order.quantity) == (Decimal("10.5"), "GTC", 10)
    broker.cancel_order(request.client_order_id)
    assert find(broker.open_orders(), request) == []
    (completed,) = find(broker.completed_orders(), request)
    assert completed.status is OrderStatus.CANCELLED


def test_an_immediate_order_that_finds_nothing_ends_cancelled(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    request = resting(time_in_force="IOC")
    assert broker.place_order(AAPL, request).status in (OrderStatus.SUBMITTED, OrderStatus.CANCELLED)
    paper_gateway.step_now()
    (completed,) = find(broker.completed_orders(), request)
    assert completed.status is OrderStatus.CANCELLED


def test_an_order_beyond_the_accounts_means_is_rejected(broker: IBKRBroker) -> None:
    request = buy(quantity="1000000")
    with pytest.raises(OrderRejectedError, match="insufficient") as caught:
        broker.place_order(AAPL, request)
    assert caught.value.code == 201
    assert find(broker.open_orders(), request) == []


def test_a_price_off_the_tick_is_rejected(broker: IBKRBroker) -> None:
    with pytest.raises(OrderRejectedError) as caught:
        broker.place_order(AAPL, buy(order_type="LMT", limit_price=Decimal("10.001")))
    assert caught.value.code == 110


@pytest.mark.parametrize(("code", "expected"), [(203, OrderRejectedError), (10999, AmbiguousOrderError)])
def test_codes_decide_between_refused_and_unknown(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, code: int, expected: type[BrokerError]
) -> None:
    paper_gateway.faults.add(RejectOrders(code, "by request"))
    broker = make_broker(port=paper_gateway.port, request_timeout_seconds=0.3)
    with pytest.raises(expected, match="by request"):
        broker.place_order(AAPL, buy())


def test_a_swallowed_acknowledgement_is_ambiguous_and_the_order_is_found_by_its_reference(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    paper_gateway.faults.add(SwallowAcknowledgement())
    broker = make_broker(port=paper_gateway.port, request_timeout_seconds=0.3, read_attempts=4)
    request = resting()
    with pytest.raises(AmbiguousOrderError):
        broker.place_order(AAPL, request)
    assert len(find(broker.open_orders(), request)) == 1
    # the gateway stays silent about this order: that it is gone shows only when open orders are asked for
    broker.cancel_order(request.client_order_id)
    assert find(broker.open_orders(), request) == []


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
def test_a_connection_cut_around_the_order_is_ambiguous_and_reads_reconnect(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, when: Any, count: int
) -> None:
    broker = make_broker(port=paper_gateway.port, read_attempts=5)
    broker.connect()
    paper_gateway.faults.add(SwallowAcknowledgement())
    paper_gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when=when))
    request = resting()
    with pytest.raises(AmbiguousOrderError, match="connection was lost"):
        broker.place_order(AAPL, request)
    assert len(find(broker.open_orders(), request)) == count
    broker.cancel_order(request.client_order_id)


def test_an_order_of_another_client_is_seen_but_cant_be_cancelled_from_here(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    first, second = (make_broker(port=paper_gateway.port, client_id=number) for number in (21, 22))
    request = resting()
    first.place_order(AAPL, request)
    (order,) = find(second.open_orders(), request)
    assert order.client_id == 21
    with pytest.raises(BrokerError, match=r"placed by client id 21.*connect as 21"):
        second.cancel_order(request.client_order_id)
    assert len(find(first.open_orders(), request)) == 1
    first.cancel_order(request.client_order_id)


def test_an_order_of_an_earlier_run_is_cancelled_under_the_client_id_that_placed_it(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    ids = {"port": paper_gateway.port, "client_id": 23, "client_id_span": 3}
    first, second = make_broker(**ids), make_broker(**ids)
    requests = [resting(), resting(quantity="3")]
    first.place_order(AAPL, requests[0])
    second.place_order(AAPL, requests[1])
    third = make_broker(**ids)
    assert [find(third.open_orders(), request)[0].client_id for request in requests] == [23, 24]
    with pytest.raises(BrokerError, match="client id 23, which another run uses now"):
        third.cancel_order(requests[0].client_order_id)
    first.close()
    second.close()
    for request in requests:
        third.cancel_order(request.client_order_id)
        assert find(third.open_orders(), request) == []
    make_broker(port=paper_gateway.port, client_id=23).connect()  # the id is free again
    make_broker(port=paper_gateway.port, client_id=24).connect()


def test_an_order_is_never_placed_under_the_id_of_an_open_one(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    old = resting()
    first = make_broker(port=paper_gateway.port, client_id=41)
    placed = first.place_order(AAPL, old)
    first.close()
    paper_gateway.faults.add(RollBackOrderIds(placed.order_id))
    second = make_broker(port=paper_gateway.port, client_id=41, read_attempts=5)
    second.open_orders()
    new = resting(quantity="3")
    assert second.place_order(AAPL, new).order_id > placed.order_id
    assert [find(second.open_orders(), request)[0].quantity for request in (old, new)] == [10, 3]
    for request in (old, new):
        second.cancel_order(request.client_order_id)


def test_a_second_client_with_the_same_id_is_refused_at_once(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    make_broker(port=paper_gateway.port, client_id=51).connect()
    began = time.monotonic()
    with pytest.raises(ClientIdInUseError, match="51"):
        make_broker(port=paper_gateway.port, client_id=51, connect_timeout_seconds=10).connect()
    assert time.monotonic() - began < 2


def test_the_next_client_id_is_taken_while_one_is_in_use(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    first, second, third = (make_broker(port=paper_gateway.port, client_id=71, client_id_span=2) for _ in range(3))
    request = resting()
    first.connect()
    second.place_order(AAPL, request)
    (order,) = find(first.open_orders(), request)
    assert order.client_id == 72
    second.cancel_order(request.client_order_id)
    with pytest.raises(ClientIdInUseError, match="72"):
        third.connect()


def test_positions_that_cant_be_had_are_an_error_and_never_flat(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    broker = make_broker(port=paper_gateway.port, request_timeout_seconds=0.2)
    paper_gateway.faults.add(Mute(Outgoing.POSITION_END))
    with pytest.raises(BrokerTimeoutError):
        broker.positions()


def test_commissions_that_dont_come_are_none(paper_gateway: PaperGateway, make_broker: BrokerFactory) -> None:
    broker = make_broker(port=paper_gateway.port, commission_wait_seconds=0.1)
    request = buy()
    broker.place_order(AAPL, request)
    paper_gateway.step_now()
    fresh = make_broker(port=paper_gateway.port, client_id=61, commission_wait_seconds=0.1)
    paper_gateway.faults.add(Mute(Outgoing.COMMISSION_REPORT))
    assert {item.commission for item in fresh.executions()} == {None}
    paper_gateway.faults.clear()
    assert None not in {item.commission for item in fresh.executions()}


def test_the_summary_adds_up(broker: IBKRBroker) -> None:
    summary = broker.account_summary()
    assert (summary.account, summary.currency, summary.ts_utc) == ("DU1000000", "USD", MOMENT)
    assert abs(summary.net_liquidation - summary.total_cash - summary.gross_position_value) < 1
    assert summary.buying_power > 0


def test_a_summary_can_be_asked_for_again_and_again(broker: IBKRBroker) -> None:
    assert len({broker.account_summary().account for _ in range(5)}) == 1


def test_reads_survive_a_dropped_connection(paper_gateway: PaperGateway, make_broker: BrokerFactory) -> None:
    broker = make_broker(port=paper_gateway.port, read_attempts=5)
    broker.connect()
    paper_gateway.faults.add(DropConnection())
    assert broker.server_time() == MOMENT
    paper_gateway.faults.add(DropConnection(message_id=Incoming.REQ_POSITIONS, direction="in"))
    broker.positions()


def test_1100_stops_requests_until_1102(paper_gateway: PaperGateway, broker: IBKRBroker) -> None:
    broker.connect()
    paper_gateway.faults.add(Broadcast(1100))
    time.sleep(0.1)
    with pytest.raises(BrokerConnectionError, match="1100"):
        broker.place_order(AAPL, buy())
    paper_gateway.faults.add(Broadcast(1102))
    time.sleep(0.1)
    assert broker.server_time() == MOMENT


def test_many_threads_share_one_connection(broker: IBKRBroker) -> None:
    def ask(number: int) -> object:
        return (broker.positions, broker.open_orders, broker.executions, broker.account_summary)[number % 4]()

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(ask, range(24)))) == 24


def test_a_closed_broker_connects_again_when_it_is_used(broker: IBKRBroker) -> None:
    with broker:
        broker.connect()
    assert broker._connection is None
    assert broker.account == "DU1000000"
    broker.close()
    broker.close()


def test_what_a_contract_is_is_asked_once_per_connection(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    broker = make_broker(port=paper_gateway.port, request_timeout_seconds=0.2)
    known = broker.instrument_details(AAPL)
    paper_gateway.faults.add(Mute(Outgoing.CONTRACT_DETAILS_END))
    assert broker.instrument_details(AAPL) is known
    broker.close()
    with pytest.raises(BrokerTimeoutError):
        broker.instrument_details(AAPL)
