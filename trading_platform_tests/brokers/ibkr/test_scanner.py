"""Scans of the paper gateway over a real socket, and answers that no sane gateway gives."""

from __future__ import annotations

import pytest

from trading_platform.brokers.base import BrokerTimeoutError, PacingError, ScanRefusedError
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.domain.market_data.scans import Scan, ScanRow
from trading_platform.paper_gateway.faults import DropConnection, Mute
from trading_platform.paper_gateway.market.scanner import ScanFilter, scan
from trading_platform.paper_gateway.messages.ids import Incoming, Outgoing
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import HANG_UP, Message, ScriptedGateway, error

MOST_ACTIVE = Scan("MOST_ACTIVE")
ROW = (8314, "IBM", "STK", "", 0, "", "SMART", "USD", "IBM", "IBM", "IBM", "", "", "", "")


def answer(fields: list[str], *ranks: int) -> Message:
    return (20, 3, fields[1], len(ranks), *(field for rank in ranks for field in (rank, *ROW)))


def cancelled(gateway: ScriptedGateway) -> list[str]:
    return [fields[2] for fields in gateway.received if fields[0] == "23"]


def active(gateway: PaperGateway) -> int:
    return gateway.call(
        lambda: sum(kind == "scanner" for session in gateway.hub.sessions.values() for kind, _ in session.streams)
    )


def test_a_scan_gives_the_markets_ranking_with_contract_ids(broker: IBKRBroker, paper_gateway: PaperGateway) -> None:
    wanted = Scan("TOP_PERC_LOSE", "STK.NYSE", above_price=20, below_price=500, above_volume=1000, limit=4)
    hub = paper_gateway.hub
    filters = ScanFilter(above_price=20, below_price=500, above_volume=1000)
    expected = paper_gateway.call(
        lambda: scan(hub.market, hub.contracts.contracts, "TOP_PERC_LOSE", "STK.NYSE", filters, 4, hub.now())
    )
    assert broker.scan(wanted) == tuple(
        ScanRow(rank, one.con_id, one.symbol, "STK", "SMART", "USD") for rank, one in enumerate(expected, start=1)
    )
    assert expected


def test_no_subscription_is_left_behind(broker: IBKRBroker, paper_gateway: PaperGateway) -> None:
    for _ in range(12):  # more than IBKR allows at a time
        assert broker.scan(MOST_ACTIVE)
    broker.server_time()
    assert active(paper_gateway) == 0


def test_nothing_that_fits_is_an_empty_answer_and_no_error(broker: IBKRBroker) -> None:
    assert broker.scan(Scan("MOST_ACTIVE", above_price=1e6)) == ()


@pytest.mark.parametrize("wanted", [Scan("NO_SUCH_SCAN"), Scan("MOST_ACTIVE", "STK.EU")])
def test_a_scan_that_the_broker_does_not_serve_is_refused_with_its_words(
    broker: IBKRBroker, paper_gateway: PaperGateway, wanted: Scan
) -> None:
    with pytest.raises(ScanRefusedError, match=r"scan .*: IBKR answered 162, .*Check scan code and location"):
        broker.scan(wanted)
    broker.server_time()
    assert active(paper_gateway) == 0


def test_a_list_that_does_not_come_is_a_timeout_and_its_subscription_is_cancelled(
    paper_gateway: PaperGateway, make_broker: BrokerFactory
) -> None:
    paper_gateway.faults.add(Mute(Outgoing.SCANNER_DATA))
    broker = make_broker(port=paper_gateway.port, request_timeout_seconds=0.3)
    with pytest.raises(BrokerTimeoutError, match="scan MOST_ACTIVE"):
        broker.scan(MOST_ACTIVE)
    broker.server_time()
    assert active(paper_gateway) == 0


def test_a_scan_is_repeated_like_every_read(paper_gateway: PaperGateway, make_broker: BrokerFactory) -> None:
    paper_gateway.faults.add(DropConnection(Incoming.REQ_SCANNER_SUBSCRIPTION))
    assert make_broker(port=paper_gateway.port, read_attempts=3).scan(MOST_ACTIVE)


def test_too_many_scans_at_a_time_are_a_matter_of_waiting(make_broker: BrokerFactory) -> None:
    text = "Error processing request.-'bX' : cause - Only 10 simultaneous API scanner subscriptions are allowed."
    with ScriptedGateway(scripts={"22": lambda fields: error(fields[1], 322, text)}) as gateway:
        broker = make_broker(port=gateway.port, read_attempts=3)
        with pytest.raises(PacingError, match="322"):
            broker.scan(MOST_ACTIVE)
        broker.server_time()
        asked = [fields[1] for fields in gateway.received if fields[0] == "22"]
        assert len(asked) == 3
        assert cancelled(gateway) == asked


def test_notices_before_the_list_decide_nothing(make_broker: BrokerFactory) -> None:
    def script(fields: list[str]) -> list[Message]:
        return [error(fields[1], 492, "subscribe for precise results"), answer(fields, 0)]

    with ScriptedGateway(scripts={"22": script}) as gateway:
        (row,) = make_broker(port=gateway.port).scan(MOST_ACTIVE)
    assert (row.rank, row.con_id, row.symbol) == (1, 8314, "IBM")


def test_a_second_list_before_the_cancellation_changes_nothing(make_broker: BrokerFactory) -> None:
    def script(fields: list[str]) -> list[Message]:
        return [answer(fields, 0, 1), answer(fields, 0)]

    with ScriptedGateway(scripts={"22": script}) as gateway:
        broker = make_broker(port=gateway.port)
        assert [row.rank for row in broker.scan(MOST_ACTIVE)] == [1, 2]
        broker.server_time()
        assert len(cancelled(gateway)) == 1


def test_more_rows_than_asked_for_are_cut(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"22": lambda fields: answer(fields, 0, 1, 2)}) as gateway:
        assert len(make_broker(port=gateway.port).scan(Scan("MOST_ACTIVE", limit=2))) == 2


def test_what_was_not_asked_for_is_not_sent(make_broker: BrokerFactory) -> None:
    """No price, no volume, no market capitalization: empty fields, which TWS reads as "not said"."""
    with ScriptedGateway(scripts={"22": lambda fields: answer(fields, 0)}) as gateway:
        make_broker(port=gateway.port).scan(Scan("HOT_BY_VOLUME", "STK.US", limit=7))
        (asked,) = (fields for fields in gateway.received if fields[0] == "22")
    assert asked[2:6] == ["7", "STK", "STK.US", "HOT_BY_VOLUME"]
    assert set(asked[6:]) <= {"", "0"}


def test_a_lost_connection_asks_nobody_to_cancel(make_broker: BrokerFactory) -> None:
    hang_ups = [HANG_UP]

    def script(fields: list[str]) -> Message:
        return hang_ups.pop() if hang_ups else answer(fields, 0)

    with ScriptedGateway(scripts={"22": script}) as gateway:
        assert make_broker(port=gateway.port, read_attempts=2).scan(MOST_ACTIVE)
        assert gateway.connections == 2
