"""Each fault on demand, seen from a real client."""

from __future__ import annotations

import time
from typing import Any

import pytest

from trading_platform.paper_gateway.faults import (
    Broadcast,
    Delay,
    DropConnection,
    DuplicateStatus,
    Faults,
    HalfClose,
    Mute,
    RefuseHistory,
    RejectOrders,
    RewriteHistory,
    RollBackOrderIds,
    StatusBeforeExecution,
    SwallowAcknowledgement,
)
from trading_platform.paper_gateway.messages.ids import Incoming, Outgoing
from trading_platform_tests.paper_gateway.client_kit import Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory

FAR_BELOW = 200.0


def is_connected(desk: Desk) -> bool:
    return bool(desk.do(lambda client: client.isConnected()))


def send(desk: Desk, order: Any) -> Any:
    """Place an order without waiting for the gateway."""
    contract = desk.stock()
    order.tif = "DAY"
    return desk.do(lambda client: client.placeOrder(contract, order))


def test_one_client_is_dropped_now_and_the_other_is_not(desk: Desk, make_desk: DeskFactory) -> None:
    other = make_desk(desk.gateway, client_id=8)
    desk.gateway.faults.add(DropConnection(client_id=8))
    other.until(lambda: not is_connected(other))
    desk.settle()
    desk.gateway.faults.add(DropConnection())
    desk.until(lambda: not is_connected(desk))


def test_a_connection_lost_before_the_order_took_effect_leaves_no_order(desk: Desk) -> None:
    contract = desk.stock()
    desk.gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when="before"))
    desk.do(lambda client: client.placeOrder(contract, ib.MarketOrder("BUY", 1, tif="DAY")))
    desk.until(lambda: not is_connected(desk))
    desk.connect()
    assert desk.do(lambda client: client.fills()) == []


def test_a_connection_lost_after_the_order_took_effect_leaves_its_fill(desk: Desk) -> None:
    contract = desk.stock()
    desk.gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when="after"))
    trade = desk.do(lambda client: client.placeOrder(contract, ib.MarketOrder("BUY", 1, tif="DAY", orderRef="lost")))
    desk.until(lambda: not is_connected(desk))
    assert trade.fills == []
    desk.connect()
    assert [fill.execution.orderRef for fill in desk.do(lambda client: client.fills())] == ["lost"]


def test_a_connection_is_cut_around_the_nth_message_of_a_type(desk: Desk) -> None:
    first, second = ib.LimitOrder("BUY", 1, FAR_BELOW), ib.LimitOrder("BUY", 1, FAR_BELOW)
    fault = DropConnection(client_id=7, message_id=Outgoing.ORDER_STATUS, when="after", nth=2)
    desk.gateway.faults.add(fault)
    acknowledged = desk.place(desk.stock(), first)
    last_words = send(desk, second)
    desk.until(lambda: not is_connected(desk))
    assert acknowledged.orderStatus.status == last_words.orderStatus.status == "Submitted"
    assert desk.gateway.faults.active == ()


def test_a_half_closed_connection_ends_for_the_client(desk: Desk) -> None:
    desk.gateway.faults.add(HalfClose(client_id=7))
    desk.until(lambda: not is_connected(desk))


def test_a_muted_message_does_not_arrive(desk: Desk) -> None:
    desk.gateway.faults.add(Mute(Outgoing.EXECUTION_DETAILS, client_id=7, count=1))
    contract = desk.stock()
    silent = desk.place(contract, ib.MarketOrder("BUY", 1))
    heard = desk.place(contract, ib.MarketOrder("BUY", 1))
    assert silent.orderStatus.status == "Filled"
    assert (len(silent.fills), len(heard.fills)) == (0, 1)


def test_a_delayed_message_arrives_later_and_in_order(desk: Desk) -> None:
    contract = desk.stock()
    delay = Delay(0.2, message_id=Outgoing.COMMISSION_REPORT)
    desk.gateway.faults.add(delay)
    started = time.monotonic()
    trades = [desk.place(contract, ib.MarketOrder("BUY", 1)) for _ in range(2)]
    assert [trade.fills[0].commissionReport.execId for trade in trades] == ["", ""]
    desk.until(lambda: all(trade.fills[0].commissionReport.execId for trade in trades))
    assert time.monotonic() - started >= 0.2
    desk.gateway.faults.remove(delay)
    assert desk.place(contract, ib.MarketOrder("BUY", 1)).fills[0].commissionReport.execId


def test_delayed_messages_of_every_type_keep_their_order(desk: Desk) -> None:
    desk.gateway.faults.add(Delay(0.05))
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 1))
    assert trade.orderStatus.status == "Filled"
    assert trade.fills[0].commissionReport.execId


def test_the_next_orders_of_a_symbol_are_rejected(desk: Desk) -> None:
    desk.gateway.faults.add(RejectOrders(201, "Order rejected - reason:no luck today", symbol="IBM", count=1))
    apple, ibm = desk.stock("AAPL"), desk.stock("IBM")
    filled = desk.place(apple, ib.MarketOrder("BUY", 1))
    rejected = desk.place(ibm, ib.MarketOrder("BUY", 1))
    filled_too = desk.place(ibm, ib.MarketOrder("BUY", 1))
    assert [trade.orderStatus.status for trade in (filled, rejected, filled_too)] == ["Filled", "Cancelled", "Filled"]
    assert desk.errors[-1].text == "Order rejected - reason:no luck today"


def test_an_order_whose_acknowledgement_is_swallowed_lives_in_silence(desk: Desk) -> None:
    desk.gateway.faults.add(SwallowAcknowledgement(symbol="AAPL"))
    trade = desk.place(desk.stock(), ib.LimitOrder("BUY", 1, FAR_BELOW, orderRef="silent"))
    desk.advance(minutes=1)
    assert trade.orderStatus.status == "PendingSubmit"
    assert trade.order.permId == 0
    (found,) = desk.ask(lambda client: client.reqAllOpenOrdersAsync())
    assert found.order.orderRef == "silent"
    next_one = desk.place(desk.stock(), ib.LimitOrder("BUY", 1, FAR_BELOW))
    assert next_one.orderStatus.status == "Submitted"


def test_every_status_can_come_twice(desk: Desk) -> None:
    desk.gateway.faults.add(DuplicateStatus())
    seen: list[str] = []

    def listen(client: Any) -> None:
        plain = client.wrapper.orderStatus

        def heard(*fields: Any) -> None:
            seen.append(fields[1])
            plain(*fields)

        client.wrapper.orderStatus = heard

    desk.do(listen)
    desk.place(desk.stock(), ib.LimitOrder("BUY", 1, FAR_BELOW))
    assert seen == ["Submitted", "Submitted"]


def test_a_fill_can_be_told_before_its_execution(desk: Desk) -> None:
    seen: list[str] = []

    def listen(client: Any) -> None:
        client.orderStatusEvent += lambda trade: seen.append(trade.orderStatus.status)
        client.execDetailsEvent += lambda trade, fill: seen.append("execution")

    desk.do(listen)
    desk.gateway.faults.add(StatusBeforeExecution())
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 1))
    assert seen[-2:] == ["Filled", "execution"]
    assert trade.fills[0].commissionReport.commission == 1.0


def test_order_ids_can_be_rolled_back(desk: Desk) -> None:
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 1))
    desk.disconnect()
    desk.gateway.faults.add(RollBackOrderIds(1))
    desk.connect()
    assert desk.do(lambda client: client.client.getReqId()) <= trade.order.orderId + 1


@pytest.mark.parametrize(("code", "words"), [(1100, "lost"), (1101, "data lost"), (1102, "data maintained")])
def test_a_notice_goes_to_every_client(desk: Desk, make_desk: DeskFactory, code: int, words: str) -> None:
    other = make_desk(desk.gateway, client_id=8)
    desk.gateway.faults.add(Broadcast(code))
    for client in (desk, other):
        client.settle()
        assert client.errors[-1].code == code
        assert words in client.errors[-1].text


def test_faults_are_cleared_all_at_once(desk: Desk) -> None:
    desk.gateway.faults.add(Mute(Outgoing.CURRENT_TIME), Delay(60.0))
    desk.gateway.faults.clear()
    desk.settle()
    assert desk.gateway.faults.active == ()


def test_an_event_without_a_running_gateway_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no gateway is running"):
        Faults().add(DropConnection())


def minutes_of(desk: Desk, what: str = "TRADES") -> dict[Any, Any]:
    """The session's minute bars of IBM by their start."""
    contract = desk.stock("IBM")
    bars = desk.ask(lambda client: client.reqHistoricalDataAsync(contract, "", "1 D", "1 min", what, True, 2))
    return {bar.date: bar for bar in bars}


def test_a_rewritten_past_comes_with_other_values_until_the_fault_is_removed(desk: Desk) -> None:
    before = minutes_of(desk)
    starts = sorted(before)
    desk.gateway.faults.add(
        RewriteHistory("IBM", price_factor=0.5, volume_factor=2, end=starts[10]),
        RewriteHistory("IBM", start=starts[-1], is_removed=True),
        RewriteHistory("MSFT", price_factor=9),
    )
    after = minutes_of(desk)
    assert sorted(after) == starts[:-1]
    assert after[starts[9]].close == round(before[starts[9]].close / 2, 6)
    assert after[starts[9]].volume == 2 * before[starts[9]].volume
    assert after[starts[10]] == before[starts[10]]
    assert minutes_of(desk, "ADJUSTED_LAST")[starts[9]].close == before[starts[9]].close
    desk.gateway.faults.clear()
    assert minutes_of(desk) == before


def test_history_of_one_symbol_is_refused_as_often_as_told(desk: Desk) -> None:
    desk.gateway.faults.add(RefuseHistory("IBM", count=1))
    assert minutes_of(desk) == {}
    assert (162, "query was cancelled") in {(error.code, error.text[-19:]) for error in desk.errors}
    assert len(minutes_of(desk)) > 300
