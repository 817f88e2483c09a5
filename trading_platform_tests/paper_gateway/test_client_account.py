"""What a real client learns of the account. See ``client_kit`` for the choice of client."""

from __future__ import annotations

import math
from typing import Any

from trading_platform_tests.paper_gateway.client_kit import Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory

ACCOUNT = "DU1000000"


def buy(desk: Desk, quantity: int, symbol: str = "AAPL") -> Any:
    return desk.place(desk.stock(symbol), ib.MarketOrder("BUY", quantity))


def test_positions_follow_the_fills(desk: Desk) -> None:
    buy(desk, 100)
    (held,) = desk.do(lambda client: client.positions())
    assert (held.account, held.contract.symbol, held.position) == (ACCOUNT, "AAPL", 100)
    assert held.avgCost == 442.47  # 442.46 and a hundredth of the commission
    desk.place(desk.stock(), ib.MarketOrder("SELL", 100))
    assert desk.do(lambda client: client.positions()) == []


def test_every_client_hears_of_a_position(desk: Desk, make_desk: DeskFactory) -> None:
    watcher = make_desk(desk.gateway, client_id=8)
    buy(desk, 10)
    watcher.settle()
    assert [held.position for held in watcher.do(lambda client: client.positions())] == [10]
    assert [held.position for held in watcher.ask(lambda client: client.reqPositionsAsync())] == [10]


def test_the_portfolio_is_valued_at_the_last_price(desk: Desk) -> None:
    buy(desk, 100)
    (item,) = desk.do(lambda client: client.portfolio())
    assert item.marketPrice == 442.41
    assert item.marketValue == 44_241.0
    assert item.unrealizedPNL == -6.0
    desk.place(desk.stock(), ib.MarketOrder("SELL", 100))
    assert desk.do(lambda client: client.portfolio()) == []


def test_account_values_are_told_at_the_start_and_after_each_fill(desk: Desk) -> None:
    def value(tag: str) -> float:
        found = desk.do(lambda client: [v for v in client.accountValues() if v.tag == tag and v.currency == "USD"])
        return float(found[0].value)

    assert value("NetLiquidation") == value("TotalCashValue") == 1_000_000
    buy(desk, 100)
    assert value("TotalCashValue") == 1_000_000 - 44_246 - 1
    assert value("NetLiquidation") == 1_000_000 - 6
    assert value("GrossPositionValue") == 44_241


def test_the_account_summary_has_the_tags_asked_for(desk: Desk) -> None:
    values = desk.ask(lambda client: client.accountSummaryAsync())
    by_tag = {value.tag: value for value in values}
    assert {"NetLiquidation", "BuyingPower", "AvailableFunds", "GrossPositionValue"} <= set(by_tag)
    assert "AccountReady" not in by_tag
    assert by_tag["BuyingPower"].value == "4000000.00"
    assert by_tag["BuyingPower"].account == ACCOUNT


def test_a_third_account_summary_is_refused(desk: Desk) -> None:
    for request_id in (901, 902, 903):
        desk.do(lambda client, used=request_id: client.client.reqAccountSummary(used, "All", "NetLiquidation"))
    desk.do(lambda client: client.client.reqAccountSummary(904, "NoSuchGroup", "NetLiquidation"))
    desk.settle()
    assert [desk.codes(request_id) for request_id in (901, 902, 903, 904)] == [[], [], [322], [321]]
    desk.do(lambda client: client.client.cancelAccountSummary(901))
    desk.do(lambda client: client.client.reqAccountSummary(905, "All", "NetLiquidation"))
    desk.settle()
    assert desk.codes(905) == []


def test_account_updates_by_model_come_under_their_request(desk: Desk) -> None:
    desk.ask(lambda client: client.reqAccountUpdatesMultiAsync(ACCOUNT))
    assert desk.codes() == []


def test_profit_and_loss_follows_fills_and_the_market(desk: Desk) -> None:
    contract = desk.stock()
    pnl = desk.do(lambda client: client.reqPnL(ACCOUNT))
    single = desk.do(lambda client: client.reqPnLSingle(ACCOUNT, "", contract.conId))
    desk.settle()
    assert (pnl.dailyPnL, pnl.unrealizedPnL, pnl.realizedPnL) == (0, 0, 0)
    buy(desk, 100)
    desk.advance(minutes=1)
    assert single.position == 100
    assert pnl.unrealizedPnL == single.unrealizedPnL != 0
    before = pnl.unrealizedPnL
    desk.advance(minutes=5)
    assert pnl.unrealizedPnL != before
    desk.place(contract, ib.MarketOrder("SELL", 100))
    desk.advance(seconds=1)
    assert pnl.unrealizedPnL == 0
    assert pnl.realizedPnL == single.realizedPnL == pnl.dailyPnL != 0
    desk.do(lambda client: client.cancelPnL(ACCOUNT))
    desk.do(lambda client: client.cancelPnLSingle(ACCOUNT, "", contract.conId))
    desk.settle()
    assert desk.codes() == []


def test_another_account_is_refused(desk: Desk) -> None:
    desk.do(lambda client: client.client.reqPnL(901, "DU7", ""))
    desk.do(lambda client: client.client.reqPnL(902, "", ""))
    desk.do(lambda client: client.client.reqAccountUpdatesMulti(903, "DU7", "", False))
    desk.do(lambda client: client.client.reqPositionsMulti(904, "DU7", ""))
    desk.settle()
    assert [desk.codes(request_id) for request_id in (901, 902, 903, 904)] == [[321]] * 4


def test_nothing_more_is_told_after_the_subscriptions_end(desk: Desk) -> None:
    pnl = desk.do(lambda client: client.reqPnL(ACCOUNT))
    desk.settle()
    desk.do(lambda client: client.cancelPnL(ACCOUNT))
    desk.do(lambda client: client.client.cancelPositions())
    desk.do(lambda client: client.client.reqAccountUpdates(False, ACCOUNT))
    buy(desk, 10)
    desk.advance(minutes=1)
    assert pnl.dailyPnL == 0 or math.isnan(pnl.dailyPnL)
    assert desk.do(lambda client: client.positions()) == []
    assert desk.do(lambda client: client.portfolio()) == []
