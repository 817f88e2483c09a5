"""What a sick gateway costs, over real sockets: bars are refused at once, and what money depends on never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerError, BrokerTimeoutError, GatewaySickError
from trading_platform.brokers.ibkr.breaker import BreakerPolicy, CircuitBreaker
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.shared_state import SharedState, gateway_directory
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest
from trading_platform.paper_gateway.faults import Mute
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import HANG_UP, START_API, ScriptedGateway

AAPL = Instrument("AAPL")
PATIENT = BreakerPolicy(failures=3, probe_seconds=600, together_seconds=0.001)
QUICK = BreakerPolicy(failures=3, probe_seconds=3, together_seconds=0.001)


def bars(broker: IBKRBroker, symbol: str = "AAPL") -> object:
    return broker.historical_bars(Instrument(symbol), end=None, duration="1 D", bar_size="1 hour")


def trip(directory: Path, gateway: PaperGateway) -> CircuitBreaker:
    """Open the circuit of a gateway that is well, as it stands when one has just recovered."""
    path = gateway_directory(directory, "127.0.0.1", gateway.port) / "gateway_circuit.json"
    circuit = CircuitBreaker(SharedState(path), "the gateway", PATIENT, longest_seconds=80)
    for number in range(PATIENT.failures):
        circuit.failed(BrokerConnectionError("it was gone"), f"number {number}")
    assert circuit.is_open
    return circuit


def test_a_gateway_that_hangs_up_is_left_alone_by_this_run_and_by_the_next(
    make_broker: BrokerFactory, tmp_path: Path
) -> None:
    with ScriptedGateway(scripts={START_API: lambda _: HANG_UP}) as gateway:
        fields = {"port": gateway.port, "state_dir": tmp_path, "breaker": PATIENT}
        with pytest.raises(GatewaySickError, match=r"failed 3 times in a row.*the next attempt is allowed in 600 s"):
            bars(make_broker(**fields, read_attempts=9))
        assert gateway.connections == 3
        next_run = make_broker(**fields, read_attempts=9)
        for ask in (bars, lambda broker: broker.quote(AAPL), lambda broker: broker.instrument_details(AAPL)):
            with pytest.raises(GatewaySickError):
                ask(next_run)
        assert gateway.connections == 3
        assert "closed the connection during the handshake" in next_run.troubles()[0]


def test_reads_of_the_account_have_one_attempt_at_a_sick_gateway(make_broker: BrokerFactory, tmp_path: Path) -> None:
    with ScriptedGateway(scripts={START_API: lambda _: HANG_UP}) as gateway:
        broker = make_broker(port=gateway.port, state_dir=tmp_path, breaker=PATIENT, read_attempts=4)
        with pytest.raises(BrokerConnectionError):
            broker.positions()
        assert gateway.connections == 4
        with pytest.raises(BrokerConnectionError, match="closed the connection"):
            broker.positions()
        assert gateway.connections == 5


@pytest.mark.parametrize(
    "ask",
    [
        IBKRBroker.open_orders,
        IBKRBroker.completed_orders,
        IBKRBroker.executions,
        IBKRBroker.positions,
        IBKRBroker.account_summary,
        IBKRBroker.server_time,
    ],
)
def test_what_reconciliation_asks_is_never_refused_and_its_answer_opens_the_way_for_bars(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path, ask: Callable[[IBKRBroker], object]
) -> None:
    trip(tmp_path, paper_gateway)
    broker = make_broker(port=paper_gateway.port, state_dir=tmp_path, breaker=PATIENT)
    with pytest.raises(GatewaySickError):
        bars(broker)
    ask(broker)
    assert broker.troubles() == ()
    assert bars(broker) is not None


def test_orders_and_cancels_know_nothing_of_the_breaker(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path
) -> None:
    circuit = trip(tmp_path, paper_gateway)
    broker = make_broker(port=paper_gateway.port, state_dir=tmp_path, breaker=PATIENT)
    first, second = (
        OrderRequest(f"sick.AAPL.{number}", "AAPL", "BUY", Decimal(10), "LMT", "DAY", Decimal("10.5"))
        for number in range(2)
    )
    for request in (first, second):
        assert broker.place_order(AAPL, request).quantity > Decimal(0)
    broker.cancel_order(first.client_order_id)
    broker.cancel_all_orders()
    assert circuit.is_open  # nobody has asked it for anything but that
    deadline = time.monotonic() + 10
    while broker.open_orders() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert broker.open_orders() == []


def test_without_a_disk_to_keep_its_state_on_there_is_no_breaker_and_the_account_is_still_read(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path
) -> None:
    (tmp_path / "no directory").write_text("")
    broker = make_broker(port=paper_gateway.port, state_dir=tmp_path / "no directory", breaker=PATIENT)
    assert broker.positions() is not None
    broker.cancel_all_orders()
    assert broker.troubles() == ()
    with pytest.raises(BrokerError, match="can't be paced, so none is sent"):
        bars(broker)
    with ScriptedGateway(scripts={START_API: lambda _: HANG_UP}) as gateway:
        lost = make_broker(port=gateway.port, state_dir=tmp_path / "no directory", breaker=PATIENT)
        with pytest.raises(BrokerConnectionError, match="closed the connection"):
            lost.positions()


def test_history_can_be_sick_while_all_else_is_well(
    paper_gateway: PaperGateway, make_broker: BrokerFactory, tmp_path: Path
) -> None:
    broker = make_broker(
        port=paper_gateway.port, state_dir=tmp_path, breaker=QUICK, request_timeout_seconds=0.3, read_attempts=1
    )
    mute = Mute(Outgoing.HISTORICAL_DATA)
    paper_gateway.faults.add(mute)
    for symbol in ("AAPL", "MSFT", "GOOG"):
        with pytest.raises(BrokerTimeoutError):
            bars(broker, symbol)
    with pytest.raises(GatewaySickError, match="historical data of the gateway"):
        bars(broker, "FB")
    assert broker.quote(AAPL).last is not None
    assert broker.positions() is not None
    paper_gateway.faults.remove(mute)
    with pytest.raises(GatewaySickError):
        bars(broker)  # being well elsewhere is no reason to ask it again
    time.sleep(QUICK.probe_seconds)
    assert bars(broker) is not None
    assert broker.troubles() == ()
