"""What a real client can do with orders. See ``client_kit`` for the choice of client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trading_platform_tests.paper_gateway.client_kit import Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory, GatewayFactory

FAR_BELOW = 200.0


def open_orders(desk: Desk) -> list[Any]:
    return [trade.order for trade in desk.ask(lambda client: client.reqAllOpenOrdersAsync())]


def executions(desk: Desk, **wanted: Any) -> list[Any]:
    return list(desk.ask(lambda client: client.reqExecutionsAsync(ib.ExecutionFilter(**wanted))))


def test_a_market_order_is_filled_with_its_commission(desk: Desk) -> None:
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 100, orderRef="momentum.AAPL.r0"))
    (fill,) = trade.fills
    assert trade.orderStatus.status == "Filled"
    assert (trade.orderStatus.filled, trade.orderStatus.remaining) == (100, 0)
    assert fill.execution.side == "BOT"
    assert (fill.execution.shares, fill.execution.price) == (100, 442.46)
    assert fill.execution.orderRef == "momentum.AAPL.r0"
    assert fill.execution.permId == trade.order.permId > 0
    assert fill.execution.time == desk.clock.now()
    assert (fill.commissionReport.commission, fill.commissionReport.currency) == (1.0, "USD")
    assert fill.commissionReport.execId == fill.execution.execId
    assert fill.commissionReport.realizedPNL == 0


def test_a_closing_fill_realizes_its_profit(desk: Desk) -> None:
    contract = desk.stock()
    desk.place(contract, ib.MarketOrder("BUY", 100))
    sale = desk.place(contract, ib.MarketOrder("SELL", 100))
    assert sale.fills[0].execution.side == "SLD"
    assert sale.fills[0].commissionReport.realizedPNL < 0


def test_a_limit_order_rests_is_modified_and_is_cancelled(desk: Desk) -> None:
    contract = desk.stock()
    trade = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW))
    perm_id = trade.order.permId
    assert trade.orderStatus.status == "Submitted"
    trade.order.lmtPrice = FAR_BELOW + 1
    trade.order.totalQuantity = 12
    desk.place(contract, trade.order)
    assert [entry.message for entry in trade.log][-2:] == ["Modify", ""]
    (seen,) = open_orders(desk)
    assert (seen.lmtPrice, seen.totalQuantity, seen.permId) == (FAR_BELOW + 1, 12, perm_id)
    desk.cancel(trade)
    assert trade.orderStatus.status == "Cancelled"
    assert desk.codes() == [202]
    assert open_orders(desk) == []


def test_a_modified_limit_that_crosses_the_market_fills(desk: Desk) -> None:
    contract = desk.stock()
    trade = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW))
    trade.order.lmtPrice = 500.0
    desk.place(contract, trade.order)
    assert trade.orderStatus.status == "Filled"


def test_a_stop_waits_until_the_market_gets_there(desk: Desk) -> None:
    contract = desk.stock()
    trade = desk.place(contract, ib.StopOrder("SELL", 10, 442.20))
    assert trade.orderStatus.status == "PreSubmitted"
    for _ in range(14):
        desk.advance(minutes=1)
    assert trade.orderStatus.status == "Filled"
    assert trade.fills[0].execution.price <= 442.20


def test_a_stop_limit_keeps_both_prices(desk: Desk) -> None:
    desk.place(desk.stock(), ib.StopLimitOrder("SELL", 10, 399.0, 400.0))
    (order,) = open_orders(desk)
    assert (order.orderType, order.lmtPrice, order.auxPrice) == ("STP LMT", 399.0, 400.0)


def test_an_immediate_or_cancel_order_does_not_rest(desk: Desk) -> None:
    trade = desk.place(desk.stock(), ib.LimitOrder("BUY", 10, FAR_BELOW, tif="IOC"))
    assert trade.orderStatus.status == "Cancelled"


def test_a_day_order_expires_with_the_session_and_a_gtc_order_does_not(desk: Desk) -> None:
    contract = desk.stock()
    day = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW, tif="DAY"))
    gtc = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW, tif="GTC"))
    desk.advance(minutes=16)
    assert (day.orderStatus.status, gtc.orderStatus.status) == ("Cancelled", "Submitted")


def test_a_large_order_is_filled_in_parts(make_gateway: GatewayFactory, make_desk: DeskFactory) -> None:
    desk = make_desk(make_gateway(pacing_enabled=False, cash=Decimal(100_000_000)))
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 20_000))
    assert 0 < trade.orderStatus.filled < 20_000
    assert trade.orderStatus.status == "Submitted"
    for _ in range(10):
        desk.advance(minutes=1)
    assert trade.orderStatus.status == "Filled"
    assert sum(fill.execution.shares for fill in trade.fills) == 20_000
    assert [fill.execution.cumQty for fill in trade.fills] == sorted({fill.execution.cumQty for fill in trade.fills})


def test_the_children_of_a_bracket_wake_when_the_parent_fills(desk: Desk) -> None:
    contract = desk.stock()
    bracket = desk.do(lambda client: client.bracketOrder("BUY", 50, 450.0, 500.0, 400.0))
    for order in bracket:
        order.tif = "GTC"
    trades = [desk.do(lambda client, order=order: client.placeOrder(contract, order)) for order in bracket]
    desk.settle()
    assert [trade.orderStatus.status for trade in trades] == ["Filled", "Submitted", "PreSubmitted"]
    assert [order.parentId for order in open_orders(desk)] == [trades[0].order.orderId] * 2
    desk.cancel(trades[1])
    assert trades[1].orderStatus.status == "Cancelled"


def test_nothing_of_a_bracket_lives_before_its_last_order_is_transmitted(desk: Desk) -> None:
    contract = desk.stock()
    parent = desk.place(contract, ib.LimitOrder("BUY", 50, FAR_BELOW, transmit=False))
    assert open_orders(desk) == []
    child = desk.place(contract, ib.StopOrder("SELL", 50, 100.0, parentId=parent.order.orderId, transmit=True))
    assert (parent.orderStatus.status, child.orderStatus.status) == ("Submitted", "PreSubmitted")
    desk.cancel(parent)
    assert child.orderStatus.status == "Cancelled"


def test_one_order_of_an_oca_group_cancels_the_other(desk: Desk) -> None:
    contract = desk.stock()
    resting, filled = ib.LimitOrder("BUY", 10, FAR_BELOW), ib.LimitOrder("BUY", 10, 450.0)
    for order in (resting, filled):
        order.ocaGroup, order.ocaType = "either", 1
    first = desk.place(contract, resting)
    second = desk.place(contract, filled)
    assert (first.orderStatus.status, second.orderStatus.status) == ("Cancelled", "Filled")


def test_a_what_if_order_tells_margins_and_leaves_no_trace(desk: Desk) -> None:
    contract = desk.stock()
    state = desk.ask(lambda client: client.whatIfOrderAsync(contract, ib.MarketOrder("BUY", 100, tif="DAY")))
    assert float(state.initMarginChange) == pytest.approx(100 * 442 / 2, rel=0.01)
    assert float(state.initMarginAfter) == float(state.initMarginBefore) + float(state.initMarginChange)
    assert state.commission == 1.0
    assert state.commissionCurrency == "USD"
    assert open_orders(desk) == []
    assert executions(desk) == []


def test_a_client_sees_its_own_orders_and_on_request_everybodys(desk: Desk, make_desk: DeskFactory) -> None:
    other = make_desk(desk.gateway, client_id=8)
    contract = desk.stock()
    mine = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW, orderRef="mine"))
    other.place(contract, ib.LimitOrder("BUY", 20, FAR_BELOW, orderRef="theirs"))
    own = desk.ask(lambda client: client.reqOpenOrdersAsync())
    assert [trade.order.orderRef for trade in own] == ["mine"]
    assert sorted(order.orderRef for order in open_orders(desk)) == ["mine", "theirs"]
    other.cancel(mine)
    assert mine.orderStatus.status == "Submitted"
    assert 10147 in other.codes()
    other.do(lambda client: client.reqGlobalCancel())
    other.settle()
    desk.settle()
    assert mine.orderStatus.status == "Cancelled"
    assert open_orders(desk) == []


def test_completed_orders_carry_their_outcome_and_no_order_id(desk: Desk) -> None:
    contract = desk.stock()
    filled = desk.place(contract, ib.MarketOrder("BUY", 10, orderRef="filled"))
    cancelled = desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW, orderRef="cancelled"))
    desk.cancel(cancelled)
    done = desk.ask(lambda client: client.reqCompletedOrdersAsync(False))
    assert [(trade.order.orderRef, trade.orderStatus.status) for trade in done] == [
        ("filled", "Filled"),
        ("cancelled", "Cancelled"),
    ]
    assert [trade.order.permId for trade in done] == [filled.order.permId, cancelled.order.permId]
    assert [trade.order.orderId for trade in done] == [0, 0]
    assert [trade.order.filledQuantity for trade in done] == [10, 0]
    desk.advance(hours=12)
    assert desk.ask(lambda client: client.reqCompletedOrdersAsync(False)) == []


def test_executions_are_filtered_and_come_with_commissions(desk: Desk, make_desk: DeskFactory) -> None:
    other = make_desk(desk.gateway, client_id=8)
    apple, ibm = desk.stock("AAPL"), desk.stock("IBM")
    desk.place(apple, ib.MarketOrder("BUY", 10))
    desk.advance(minutes=1)
    other.place(ibm, ib.MarketOrder("BUY", 20))
    other.place(apple, ib.MarketOrder("SELL", 5))

    def shares(**wanted: Any) -> list[float]:
        return [fill.execution.shares for fill in executions(desk, **wanted)]

    assert shares() == [10, 20, 5]
    assert shares(symbol="AAPL") == [10, 5]
    assert shares(clientId=8) == [20, 5]
    assert shares(side="SELL") == [5]
    assert shares(time="20130228-20:45:30") == [20, 5]
    assert shares(acctCode="DU1000000", secType="STK", exchange="NYSE") == [20]
    assert shares(acctCode="DU7") == []
    fills = desk.do(lambda client: client.fills())
    assert [fill.commissionReport.commission for fill in fills] == [1.0, 1.0, 1.0]
    desk.advance(hours=12)
    assert shares() == []


def test_after_a_reconnect_everything_is_there_and_can_be_modified(desk: Desk) -> None:
    contract = desk.stock()
    desk.place(contract, ib.MarketOrder("BUY", 10, orderRef="before"))
    desk.place(contract, ib.LimitOrder("BUY", 10, FAR_BELOW, orderRef="resting"))
    desk.disconnect()
    desk.connect()
    (trade,) = desk.do(lambda client: client.openTrades())
    assert trade.order.orderRef == "resting"
    assert [fill.execution.orderRef for fill in desk.do(lambda client: client.fills())] == ["before"]
    # an order that came from the gateway carries TWS's own fill-ins, e.g. "None" for no delta-neutral order
    trade.order.lmtPrice = FAR_BELOW + 5
    desk.place(trade.contract, trade.order)
    (order,) = open_orders(desk)
    assert order.lmtPrice == FAR_BELOW + 5
    assert desk.codes() == []


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"action": "BUY", "totalQuantity": 1_000_000, "orderType": "MKT"}, 201),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "REL", "auxPrice": 1.0}, 387),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "TRAIL"}, 321),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "MOC", "tif": "GTC"}, 10052),
        ({"action": "HOLD", "totalQuantity": 10, "orderType": "MKT"}, 321),
        ({"action": "BUY", "totalQuantity": 0, "orderType": "MKT"}, 434),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "MKT", "account": "DU7"}, 321),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "LMT", "lmtPrice": 100.001}, 110),
        ({"action": "BUY", "totalQuantity": 10, "orderType": "MKT", "tif": "FOK"}, 10052),
    ],
)
def test_a_refused_order_has_its_code_and_is_not_live(desk: Desk, order: dict[str, Any], code: int) -> None:
    trade = desk.place(desk.stock(), ib.Order(**order))
    assert desk.codes(trade.order.orderId) == [code]
    assert open_orders(desk) == []


def test_an_order_for_an_unknown_contract_is_refused(desk: Desk) -> None:
    trade = desk.place(ib.Stock("NOSUCH", "SMART", "USD"), ib.MarketOrder("BUY", 1))
    assert desk.codes(trade.order.orderId) == [200]


def test_an_order_can_be_neither_cancelled_when_it_is_filled_nor_when_it_is_unknown(desk: Desk) -> None:
    trade = desk.place(desk.stock(), ib.MarketOrder("BUY", 1))
    desk.cancel(trade)
    desk.do(lambda client: client.client.cancelOrder(4711, ""))
    desk.settle()
    assert desk.codes(trade.order.orderId) == [10148]
    assert desk.codes(4711) == [10147]


def test_an_order_id_is_used_once(desk: Desk) -> None:
    contract = desk.stock()
    filled = desk.place(contract, ib.MarketOrder("BUY", 1))
    cancelled = desk.place(contract, ib.LimitOrder("BUY", 1, FAR_BELOW))
    desk.cancel(cancelled)
    for trade in (filled, cancelled):
        again = ib.MarketOrder("BUY", 1, tif="DAY")
        desk.do(lambda client, used=trade.order.orderId, order=again: client.client.placeOrder(used, contract, order))
    desk.settle()
    assert desk.codes(filled.order.orderId) == [104]
    assert desk.codes(cancelled.order.orderId) == [202, 103]
    assert len(executions(desk)) == 1


def test_twenty_orders_per_contract_and_side_may_be_active(
    make_gateway: GatewayFactory, make_desk: DeskFactory
) -> None:
    desk = make_desk(make_gateway())
    contract = desk.stock()
    orders = [ib.LimitOrder("BUY", 1, FAR_BELOW, tif="DAY") for _ in range(21)]
    trades = [desk.do(lambda client, order=order: client.placeOrder(contract, order)) for order in orders]
    desk.settle()
    assert [trade.orderStatus.status for trade in trades] == ["Submitted"] * 20 + ["Cancelled"]
    assert desk.codes() == [201]
    other_side = desk.place(contract, ib.LimitOrder("SELL", 1, 900.0))
    assert other_side.orderStatus.status == "Submitted"


def test_a_crypto_currency_is_bought_in_fractions(desk: Desk) -> None:
    (btc,) = desk.ask(lambda client: client.qualifyContractsAsync(ib.Crypto("BTC", "PAXOS", "USD")))
    trade = desk.place(btc, ib.LimitOrder("BUY", 0.25, 1_000_000.0, tif="IOC"))
    assert trade.orderStatus.status == "Filled"
    position = next(held for held in desk.do(lambda client: client.positions()) if held.contract.symbol == "BTC")
    assert Decimal(str(position.position)) == Decimal("0.25")
