"""The market scanner as a real client sees it. See ``client_kit`` for the choice of client."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from trading_platform.paper_gateway.market.scanner import ScanFilter, scan
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.paper_gateway.client_kit import Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory


def subscription(code: str = "MOST_ACTIVE", location: str = "STK.US.MAJOR", **more: Any) -> Any:
    return ib.ScannerSubscription(**{"instrument": "STK", "locationCode": location, "scanCode": code} | more)


def scanned(desk: Desk, *, tags: dict[str, str] | None = None, **fields: Any) -> list[str]:
    options = [ib.TagValue(tag, value) for tag, value in (tags or {}).items()]
    rows = desk.ask(lambda client: client.reqScannerDataAsync(subscription(**fields), [], options))
    assert [row.rank for row in rows] == list(range(len(rows)))
    return [row.contractDetails.contract.symbol for row in rows]


def expected(gateway: PaperGateway, code: str, *, rows: int = 50, **filters: float) -> list[str]:
    hub = gateway.hub
    found = gateway.call(
        lambda: scan(hub.market, hub.contracts.contracts, code, "STK.US.MAJOR", ScanFilter(**filters), rows, hub.now())
    )
    return [contract.symbol for contract in found]


def active(gateway: PaperGateway) -> int:
    return sum(kind == "scanner" for session in gateway.hub.sessions.values() for kind, _ in session.streams)


@pytest.mark.parametrize("code", ["TOP_PERC_GAIN", "TOP_PERC_LOSE", "MOST_ACTIVE", "HOT_BY_VOLUME", "TOP_VOLUME_RATE"])
def test_a_scan_is_the_whole_ranked_list_and_ends_by_itself(desk: Desk, gateway: PaperGateway, code: str) -> None:
    assert scanned(desk, code=code) == expected(gateway, code) != []
    desk.until(lambda: active(gateway) == 0)


def test_a_row_names_the_contract_so_that_it_can_be_asked_about(desk: Desk) -> None:
    (row,) = desk.ask(lambda client: client.reqScannerDataAsync(subscription(numberOfRows=1)))
    contract = row.contractDetails.contract
    assert (contract.secType, contract.exchange, contract.currency) == ("STK", "SMART", "USD")
    assert row.contractDetails.marketName == contract.tradingClass
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Contract(conId=contract.conId)))
    assert details.contract.symbol == contract.symbol


def test_the_filters_of_the_fields_and_those_by_tag_mean_the_same(desk: Desk, gateway: PaperGateway) -> None:
    wanted = expected(gateway, "MOST_ACTIVE", above_price=100.0, below_price=300.0, above_volume=2_000_000)
    assert 0 < len(wanted) < len(expected(gateway, "MOST_ACTIVE"))
    assert scanned(desk, abovePrice=100.0, belowPrice=300.0, aboveVolume=2_000_000) == wanted
    tags = {"priceAbove": "100", "priceBelow": "300", "volumeAbove": "2000000"}
    assert scanned(desk, tags=tags) == wanted
    assert scanned(desk, abovePrice=100.0, belowPrice=300.0, aboveVolume=2_000_000, marketCapAbove=1e15) == wanted


def test_a_change_in_percent_is_filtered_by_tag(desk: Desk, gateway: PaperGateway) -> None:
    tags = {"changePercAbove": "0.5"}
    assert scanned(desk, code="TOP_PERC_GAIN", tags=tags) == expected(gateway, "TOP_PERC_GAIN", min_change=0.5)


def test_as_many_rows_come_as_asked_for(desk: Desk, gateway: PaperGateway) -> None:
    assert scanned(desk, numberOfRows=4) == expected(gateway, "MOST_ACTIVE", rows=4)
    assert scanned(desk, numberOfRows=500) == expected(gateway, "MOST_ACTIVE")


def test_nothing_found_is_an_empty_list_with_a_notice(desk: Desk) -> None:
    assert scanned(desk, abovePrice=1e6) == []
    notice = next(error for error in desk.errors if error.code == 165)
    assert notice.text == "Historical Market Data Service query message:no items retrieved"


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"code": "NO_SUCH_SCAN"}, 162, "Scanner type with code NO_SUCH_SCAN is disabled"),
        ({"location": "STK.EU"}, 162, "Market Scanner is not configured for one of the chosen locations"),
        ({"instrument": "BOND"}, 162, "Market Scanner is not configured for one of the chosen locations"),
        ({"tags": {"noSuchFilter": "1"}}, 321, "Unknown scanner filter 'noSuchFilter'"),
        ({"tags": {"priceAbove": "much"}}, 321, "needs a number"),
        ({"stockTypeFilter": "REIT"}, 321, "must be ALL"),
    ],
)
def test_a_scan_that_cant_be_made_is_refused_in_ibkrs_words(
    desk: Desk, gateway: PaperGateway, fields: dict[str, Any], code: int, text: str
) -> None:
    tags = fields.pop("tags", {})
    options = [ib.TagValue(tag, value) for tag, value in tags.items()]
    found = desk.do(lambda client: client.reqScannerSubscription(subscription(**fields), [], options))
    desk.settle()
    assert list(found) == []
    error = next(error for error in desk.errors if error.request_id == found.reqId)
    assert error.code == code
    assert text in error.text
    assert active(gateway) == 0


def test_a_subscription_is_told_the_whole_new_list_until_it_is_cancelled(desk: Desk, gateway: PaperGateway) -> None:
    found = desk.do(lambda client: client.reqScannerSubscription(subscription("TOP_VOLUME_RATE")))
    desk.settle()
    seen = {tuple(row.contractDetails.contract.symbol for row in found)}
    for _ in range(3):
        desk.advance(minutes=1)
        names = tuple(row.contractDetails.contract.symbol for row in found)
        assert list(names) == expected(gateway, "TOP_VOLUME_RATE")
        seen.add(names)
    assert len(seen) > 1
    request_id = found.reqId
    desk.do(lambda client: client.cancelScannerSubscription(found))
    desk.settle()
    assert desk.errors[-1].text.endswith(f"API scanner subscription cancelled: {request_id}")
    before = list(found)
    desk.advance(minutes=1)
    assert list(found) == before


def test_ten_subscriptions_are_active_at_most_and_one_that_ends_makes_room(
    gateway: PaperGateway, desk: Desk, make_desk: DeskFactory
) -> None:
    other = make_desk(gateway, client_id=8)
    lists = [
        one.do(lambda client: client.reqScannerSubscription(subscription())) for one in (desk, other) for _ in range(5)
    ]
    desk.settle()
    other.settle()
    assert active(gateway) == 10
    one_more = desk.do(lambda client: client.reqScannerSubscription(subscription()))
    desk.settle()
    assert desk.codes(one_more.reqId) == [322]
    assert "Only 10 simultaneous API scanner subscriptions are allowed" in desk.errors[-1].text
    desk.do(lambda client: client.cancelScannerSubscription(lists[0]))
    assert scanned(desk) != []


def test_a_connection_that_ends_takes_its_subscriptions_with_it(
    gateway: PaperGateway, desk: Desk, make_desk: DeskFactory
) -> None:
    other = make_desk(gateway, client_id=8)
    other.do(lambda client: client.reqScannerSubscription(subscription()))
    other.settle()
    assert active(gateway) == 1
    other.disconnect()
    assert active(gateway) == 0
    assert scanned(desk) != []


def test_cancelling_what_is_not_there_is_an_error(desk: Desk) -> None:
    desk.do(lambda client: client.client.cancelScannerSubscription(4711))
    desk.settle()
    assert desk.codes(4711) == [365]


def test_a_request_id_is_good_for_one_subscription(desk: Desk) -> None:
    found = desk.do(lambda client: client.reqScannerSubscription(subscription()))
    desk.do(lambda client: client.client.reqScannerSubscription(found.reqId, subscription(), [], []))
    desk.settle()
    assert desk.codes(found.reqId) == [322]


def test_the_parameters_name_every_scan_and_every_location(desk: Desk) -> None:
    root = Xml.fromstring(desk.ask(lambda client: client.reqScannerParametersAsync()))
    assert root.tag == "ScanParameterResponse"
    codes = [element.text for element in root.iter("scanCode")]
    assert codes == ["TOP_PERC_GAIN", "TOP_PERC_LOSE", "MOST_ACTIVE", "HOT_BY_VOLUME", "TOP_VOLUME_RATE"]
    places = [element.text for element in root.iter("locationCode")]
    assert places == ["STK.US", "STK.US.MAJOR", "STK.NASDAQ", "STK.NYSE"]
    for code in codes:
        for place in places:
            assert isinstance(scanned(desk, code=code, location=place), list)
