"""Placing and cancelling against a scripted gateway: every way in which an answer can come, or not come."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.base import (
    AmbiguousOrderError,
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    OrderRejectedError,
    ReadOnlyError,
)
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.loop import shared_loop
from trading_platform.brokers.ibkr.order_message import to_order
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import (
    CANCEL_ORDER,
    HANG_UP,
    PLACE_ORDER,
    Script,
    ScriptedGateway,
    error,
    order_status,
)

AAPL = Instrument("AAPL", primary_exchange="NASDAQ")
PLACED_FIELDS = {"action": 16, "quantity": 17, "type": 18, "limit": 19, "stop": 20, "tif": 21, "account": 23, "ref": 26}


def buy(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {"client_order_id": "s.AAPL.1.r0", "symbol": "AAPL", "side": "BUY"}
    return OrderRequest(**{**fields, "quantity": Decimal(10), **changes})


def on_place(*answers: Any) -> dict[str, Script]:
    """A script that answers an order with these messages, given as functions of the order id, or as they are."""
    return {PLACE_ORDER: lambda fields: [item(fields[1]) if callable(item) else item for item in answers]}


@pytest.mark.parametrize("status", ["PreSubmitted", "Submitted", "Filled"])
def test_a_status_with_a_perm_id_acknowledges(make_broker: BrokerFactory, status: str) -> None:
    script = on_place(lambda order_id: order_status(order_id, status, filled=10 if status == "Filled" else 0))
    with ScriptedGateway(scripts=script) as gateway:
        order = make_broker(port=gateway.port).place_order(AAPL, buy())
    assert (order.perm_id, order.order_id, order.client_id, order.account) == (77, 100, 10, "DU1")
    assert order.raw_status == status
    assert order.status is (OrderStatus.FILLED if status == "Filled" else OrderStatus.SUBMITTED)
    assert order.filled_quantity == (10 if status == "Filled" else 0)
    assert order.average_fill_price == (Decimal("12.5") if status == "Filled" else None)


def test_the_order_message_says_everything_explicitly(make_broker: BrokerFactory) -> None:
    script = on_place(lambda order_id: order_status(order_id, "Submitted"))
    request = buy(
        order_type="STP LMT",
        time_in_force="GTC",
        limit_price=Decimal("10.25"),
        stop_price=Decimal("10.1"),
        quantity=Decimal("0.00012345"),
    )
    with ScriptedGateway(scripts=script) as gateway:
        make_broker(port=gateway.port).place_order(AAPL, request)
        sent = next(fields for fields in gateway.received if fields[0] == PLACE_ORDER)
    assert {name: sent[place] for name, place in PLACED_FIELDS.items()} == {
        "action": "BUY",
        "quantity": "0.00012345",
        "type": "STP LMT",
        "limit": "10.25",
        "stop": "10.1",
        "tif": "GTC",
        "account": "DU1",
        "ref": "s.AAPL.1.r0",
    }
    assert sent[27] == "1", "transmit"


@pytest.mark.parametrize("code", [201, 203, 321, 110, 387, 434, 200, 10289])
def test_a_rejection_code_is_a_rejection(make_broker: BrokerFactory, code: int) -> None:
    with ScriptedGateway(scripts=on_place(lambda order_id: error(order_id, code, "no such luck"))) as gateway:
        with pytest.raises(OrderRejectedError, match=f"{code}: no such luck") as caught:
            make_broker(port=gateway.port).place_order(AAPL, buy())
        assert caught.value.code == code
        assert gateway.count(PLACE_ORDER) == 1


@pytest.mark.parametrize("status", ["Inactive", "Cancelled"])
def test_a_rejections_reason_may_follow_its_status(make_broker: BrokerFactory, status: str) -> None:
    script = on_place(lambda order_id: order_status(order_id, status), lambda order_id: error(order_id, 201, "margin"))
    with ScriptedGateway(scripts=script) as gateway, pytest.raises(OrderRejectedError, match="margin"):
        make_broker(port=gateway.port).place_order(AAPL, buy())


@pytest.mark.parametrize("code", [10148, 105, 999, 322])
def test_an_unlisted_code_is_ambiguous_and_never_sent_again(make_broker: BrokerFactory, code: int) -> None:
    with ScriptedGateway(scripts=on_place(lambda order_id: error(order_id, code))) as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=0.3, read_attempts=4)
        with pytest.raises(AmbiguousOrderError, match=f"{code}.*Don't send it again"):
            broker.place_order(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 1


def test_an_acknowledgement_after_an_unlisted_code_is_believed(make_broker: BrokerFactory) -> None:
    script = on_place(lambda order_id: error(order_id, 105), lambda order_id: order_status(order_id, "Submitted"))
    with ScriptedGateway(scripts=script) as gateway:
        assert make_broker(port=gateway.port).place_order(AAPL, buy()).status is OrderStatus.SUBMITTED


@pytest.mark.parametrize("code", [399, 2109, 10349, 404])
def test_a_warning_is_no_rejection_and_is_kept_as_the_orders_message(make_broker: BrokerFactory, code: int) -> None:
    script = on_place(
        lambda order_id: error(order_id, code, "mind the gap"), lambda order_id: order_status(order_id, "PreSubmitted")
    )
    with ScriptedGateway(scripts=script) as gateway:
        order = make_broker(port=gateway.port).place_order(AAPL, buy())
    assert order.status is OrderStatus.SUBMITTED
    assert "mind the gap" in order.message


def test_silence_is_ambiguous(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=0.2, read_attempts=4)
        with pytest.raises(AmbiguousOrderError, match=r"not acknowledged within 0\.2 s"):
            broker.place_order(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 1


@pytest.mark.parametrize("status", ["PendingSubmit", "Inactive"])
def test_a_status_that_decides_nothing_is_ambiguous(make_broker: BrokerFactory, status: str) -> None:
    script = on_place(lambda order_id: order_status(order_id, status))
    with ScriptedGateway(scripts=script) as gateway, pytest.raises(AmbiguousOrderError, match=status):
        make_broker(port=gateway.port, request_timeout_seconds=0.3).place_order(AAPL, buy())


def test_a_connection_lost_after_sending_is_ambiguous(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts=on_place(HANG_UP)) as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=5, read_attempts=4)
        began = time.monotonic()
        with pytest.raises(AmbiguousOrderError, match="connection was lost"):
            broker.place_order(AAPL, buy())
        assert time.monotonic() - began < 2
        assert (gateway.count(PLACE_ORDER), gateway.connections) == (1, 1)


def test_a_close_from_another_thread_makes_a_waiting_order_ambiguous(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=5)
        broker.connect()
        threading.Timer(0.3, broker.close).start()
        with pytest.raises(AmbiguousOrderError, match="connection was lost"):
            broker.place_order(AAPL, buy())


def test_the_brokers_own_cancellation_is_an_answer(make_broker: BrokerFactory) -> None:
    script = on_place(
        lambda order_id: order_status(order_id, "Cancelled"), lambda order_id: error(order_id, 202, "IOC")
    )
    with ScriptedGateway(scripts=script) as gateway:
        order = make_broker(port=gateway.port).place_order(AAPL, buy(time_in_force="IOC"))
    assert order.status is OrderStatus.CANCELLED


def test_a_fill_outweighs_an_error(make_broker: BrokerFactory) -> None:
    script = on_place(
        lambda order_id: order_status(order_id, "Inactive", filled=4), lambda order_id: error(order_id, 201)
    )
    with ScriptedGateway(scripts=script) as gateway:
        order = make_broker(port=gateway.port).place_order(AAPL, buy())
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert order.filled_quantity == 4


def test_the_words_of_another_clients_order_with_the_same_id_are_not_ours(make_broker: BrokerFactory) -> None:
    script = on_place(lambda order_id: order_status(order_id, "Filled", filled=10, client_id=11))
    with ScriptedGateway(scripts=script) as gateway, pytest.raises(AmbiguousOrderError):
        make_broker(port=gateway.port, request_timeout_seconds=0.3).place_order(AAPL, buy())


def test_nothing_is_sent_when_the_open_orders_cant_be_read_first(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"16": lambda _: None}) as gateway:
        with pytest.raises(BrokerConnectionError, match="was not sent"):
            make_broker(port=gateway.port, request_timeout_seconds=0.2).place_order(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 0


def test_nothing_is_sent_while_the_gateway_has_lost_ibkr(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"16": lambda _: [error(-1, 1100), (53, 1)]}) as gateway:
        broker = make_broker(port=gateway.port)
        with pytest.raises(BrokerConnectionError, match="1100"):
            broker.place_order(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 0


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (buy(quantity=Decimal(0)), "not positive"),
        (buy(order_type="LMT"), "needs a limit_price"),
        (buy(order_type="STP"), "needs a stop_price"),
        (buy(client_order_id=""), "give it one"),
    ],
)
def test_a_senseless_request_is_refused_before_anything_is_sent(
    make_broker: BrokerFactory, request_: OrderRequest, says: str
) -> None:
    with ScriptedGateway() as gateway:
        with pytest.raises(ValueError, match=says):
            make_broker(port=gateway.port).place_order(AAPL, request_)
        assert gateway.count(PLACE_ORDER) == 0


def test_cancelling_what_is_not_open_needs_nothing(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        make_broker(port=gateway.port).cancel_order("long gone")
        assert gateway.count(CANCEL_ORDER) == 0


def test_a_blocking_call_on_the_brokers_own_loop_is_refused_instead_of_hanging(make_broker: BrokerFactory) -> None:
    broker = make_broker(port=1)

    async def blocking() -> None:
        broker.server_time()

    with pytest.raises(RuntimeError, match="another thread"):
        shared_loop().run(blocking())


def test_a_what_if_tells_the_margin_and_leaves_no_order_behind(broker: IBKRBroker) -> None:
    answer = broker.what_if(AAPL, buy(quantity=Decimal(100)))
    assert answer.client_order_id == "s.AAPL.1.r0"
    assert answer.refusal == ""
    assert answer.init_margin_before == 0
    assert answer.init_margin_after is not None
    assert float(answer.init_margin_after) == pytest.approx(100 * 442 / 2, rel=0.02)
    assert answer.equity_with_loan_after is not None
    assert answer.commission == 1
    assert broker.open_orders() == broker.completed_orders() == broker.executions() == []
    assert broker.positions() == []


def test_an_order_after_its_what_if_is_placed_once(broker: IBKRBroker) -> None:
    request = buy(client_order_id="s.AAPL.2.r0")
    broker.what_if(AAPL, request)
    broker.place_order(AAPL, request)
    # it may fill between the two questions, and be in both answers
    known = {(order.client_order_id, order.perm_id) for order in (*broker.open_orders(), *broker.completed_orders())}
    assert [name for name, _ in known] == ["s.AAPL.2.r0"]


def test_a_what_if_that_the_broker_would_refuse_says_so(broker: IBKRBroker) -> None:
    with pytest.raises(OrderRejectedError, match="insufficient") as caught:
        broker.what_if(AAPL, buy(quantity=Decimal(10**7)))
    assert caught.value.code == 201


def test_a_what_if_is_sent_once_and_marked_as_a_question(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts=on_place()) as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=0.3, read_attempts=4)
        with pytest.raises(BrokerTimeoutError, match=r"what-if of order s\.AAPL\.1\.r0"):
            broker.what_if(AAPL, buy())
        (asked,) = [fields for fields in gateway.received if fields[0] == PLACE_ORDER]
    with ScriptedGateway(scripts=on_place(lambda order_id: order_status(order_id, "Submitted"))) as gateway:
        make_broker(port=gateway.port).place_order(AAPL, buy())
        (placed,) = [fields for fields in gateway.received if fields[0] == PLACE_ORDER]
    assert [(a, p) for a, p in zip(asked, placed, strict=True) if a != p] == [("1", "0")]


def test_a_what_if_without_its_mark_is_not_sent(make_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the translation: an unmarked question would be an order."""
    monkeypatch.setattr("trading_platform.brokers.ibkr.what_if._to_question", to_order)
    with ScriptedGateway(scripts=on_place(lambda order_id: order_status(order_id, "Submitted"))) as gateway:
        with pytest.raises(BrokerError, match="not marked as a question"):
            make_broker(port=gateway.port).what_if(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 0


@pytest.mark.parametrize(("code", "kind"), [(321, ReadOnlyError), (504, BrokerConnectionError), (105, BrokerError)])
def test_a_what_if_that_fails_is_no_refusal_of_the_order(
    make_broker: BrokerFactory, code: int, kind: type[Exception]
) -> None:
    with ScriptedGateway(scripts=on_place(lambda order_id: error(order_id, code, "read-only mode"))) as gateway:
        with pytest.raises(kind) as caught:
            make_broker(port=gateway.port).what_if(AAPL, buy())
        assert not isinstance(caught.value, OrderRejectedError)


def test_a_read_only_connection_asks_no_what_if(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        with pytest.raises(ReadOnlyError, match="nothing was asked about order"):
            make_broker(port=gateway.port, read_only=True).what_if(AAPL, buy())
        assert gateway.count(PLACE_ORDER) == 0
