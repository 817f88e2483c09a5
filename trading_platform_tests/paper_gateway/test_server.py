"""Connections, limits, restarts and the end of the gateway, seen from sockets, clients and processes."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.market import DatasetError
from trading_platform.paper_gateway.messages.ids import SERVER_VERSION
from trading_platform.paper_gateway.server import GatewayConfig, GatewayError, PaperGateway
from trading_platform.paper_gateway.store import StoreError
from trading_platform.paper_gateway.wire import Field, encode_frame
from trading_platform_tests.paper_gateway.client_kit import CLIENT, Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory, GatewayFactory

FAR_BELOW = 200.0
GREETING = b"API\0" + struct.pack(">I", 9) + b"v157..178"
START_API = encode_frame([71, 2, 5, ""])


class Wire:
    """A raw connection, for what no client library would send."""

    def __init__(self, gateway: PaperGateway) -> None:
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)

    def send(self, data: bytes) -> Wire:
        self.socket.sendall(data)
        return self

    def receive(self) -> list[str]:
        """The fields of the next message."""
        (length,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(length).decode().split("\0")[:-1]

    def until(self, message_id: str) -> list[str]:
        """The next message of that type."""
        while (fields := self.receive())[0] != message_id:
            pass
        return fields

    def is_closed(self) -> bool:
        """Whether the gateway ends the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the gateway closed the connection"
            data += more
        return data


def test_a_client_is_greeted_with_version_account_order_id_and_time(desk: Desk) -> None:
    assert ib.__name__ == CLIENT
    assert desk.do(lambda client: client.client.serverVersion()) == SERVER_VERSION == 176
    assert desk.do(lambda client: client.managedAccounts()) == ["DU1000000"]
    assert desk.ask(lambda client: client.reqCurrentTimeAsync()) == desk.clock.now()
    assert {2104, 2106, 2158} <= {error.code for error in desk.errors}


def test_a_client_id_in_use_is_refused_and_the_first_client_is_not_disturbed(
    desk: Desk, make_desk: DeskFactory
) -> None:
    rival = Desk(desk.gateway, desk.clock, client_id=7)
    with pytest.raises((asyncio.TimeoutError, ConnectionError)):
        rival.connect(timeout=0.5)
    assert rival.codes() == [326]
    desk.settle()
    desk.disconnect()
    make_desk(desk.gateway, client_id=7).settle()


def test_only_so_many_clients_may_be_connected(make_gateway: GatewayFactory, make_desk: DeskFactory) -> None:
    gateway = make_gateway(max_clients=2)
    first, _ = make_desk(gateway, 1), make_desk(gateway, 2)
    third = Desk(gateway, first.clock, client_id=3)
    with pytest.raises((asyncio.TimeoutError, ConnectionError)):
        third.connect(timeout=0.5)
    assert third.codes() == [322]
    first.disconnect()
    make_desk(gateway, 3).settle()


@pytest.mark.parametrize(
    "hello",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"API\0" + struct.pack(">I", 9) + b"v100..150",
        b"API\0" + struct.pack(">I", 5) + b"hello",
        b"API\0" + struct.pack(">I", 1 << 31),
    ],
)
def test_a_stranger_is_turned_away_without_a_word(gateway: PaperGateway, hello: bytes) -> None:
    # a bad length is a protocol error of a peer that greeted as an API client, and it is told so
    wire = Wire(gateway).send(hello)
    if hello.startswith(b"API\0") and hello.endswith(b"\x80\0\0\0"):
        assert wire.receive()[3] == "507"
    assert wire.is_closed()


def test_the_first_message_must_be_start_api(gateway: PaperGateway) -> None:
    wire = Wire(gateway).send(GREETING)
    assert wire.receive()[0] == str(SERVER_VERSION)
    wire.send(encode_frame([49, 1]))
    assert wire.receive()[:4] == ["4", "2", "-1", "504"]
    assert wire.is_closed()


def test_nonsense_after_the_greeting_is_answered_and_harms_nobody(desk: Desk) -> None:
    wire = Wire(desk.gateway).send(GREETING + START_API)
    wire.until("9")
    wire.send(encode_frame([4711, "x"]))
    wire.send(encode_frame(["not a number"]))
    wire.send(encode_frame([20, "seven"]))
    wire.send(encode_frame([62, 1, 12]))
    codes = [wire.until("4")[3] for _ in range(7)][3:]
    assert codes == ["505", "505", "320", "321"]
    wire.send(struct.pack(">I", 0))
    assert wire.until("4")[3] == "507"
    assert wire.is_closed()
    desk.settle()


@pytest.mark.parametrize("message", [[10, 5, 77], [50, 3, 77], [52, 2, 77], [88, 77], [96, 77], [78, 77]])
def test_requests_the_paper_market_does_not_serve_are_refused_by_their_id(
    gateway: PaperGateway, message: list[int]
) -> None:
    wire = Wire(gateway).send(GREETING + START_API)
    wire.until("9")
    wire.send(encode_frame(message))
    while (fields := wire.until("4"))[2] == "-1":
        pass
    assert fields[2:4] == ["77", "322"]


def test_more_than_fifty_messages_a_second_are_an_offence_and_three_offences_the_end(
    make_gateway: GatewayFactory,
) -> None:
    gateway = make_gateway(pacing_enabled=True)
    wire = Wire(gateway).send(GREETING + START_API)
    wire.until("9")
    wire.send(encode_frame([49, 1]) * 160)
    codes: list[str] = []
    while not wire_ended(wire, codes):
        pass
    assert codes.count("100") == 3


def wire_ended(wire: Wire, codes: list[str]) -> bool:
    try:
        fields = wire.receive()
    except (AssertionError, ConnectionError):
        return True
    codes += [fields[3]] if fields[0] == "4" else []
    return False


def test_a_client_that_paces_itself_is_never_refused(make_gateway: GatewayFactory, make_desk: DeskFactory) -> None:
    desk = make_desk(make_gateway(pacing_enabled=True))

    async def burst(client: Any) -> None:
        for _ in range(100):
            client.client.send(49, 1)
        await asyncio.sleep(2.3)

    desk.ask(burst)
    assert desk.codes() == []


def test_a_taken_port_is_named(gateway: PaperGateway, clock: ManualClock) -> None:
    with pytest.raises(GatewayError, match=f"{gateway.port}.*another port"):
        PaperGateway(GatewayConfig(port=gateway.port), clock.now).start_in_thread()


def test_a_data_directory_that_is_none_is_named(clock: ManualClock, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="absent"):
        PaperGateway(GatewayConfig(port=0, data_dir=tmp_path / "absent"), clock.now).start_in_thread()


def test_a_state_file_has_one_gateway(make_gateway: GatewayFactory, tmp_path: Path) -> None:
    make_gateway(state_path=tmp_path / "account.sqlite")
    with pytest.raises(StoreError, match="another gateway"):
        make_gateway(state_path=tmp_path / "account.sqlite")


def test_orders_fills_and_positions_survive_a_restart(
    make_gateway: GatewayFactory, make_desk: DeskFactory, tmp_path: Path
) -> None:
    config: dict[str, Any] = {"state_path": tmp_path / "account.sqlite", "pacing_enabled": False}
    gateway = make_gateway(**config)
    desk = make_desk(gateway)
    contract = desk.stock()
    filled = desk.place(contract, ib.MarketOrder("BUY", 10, orderRef="filled"))
    resting = desk.place(contract, ib.LimitOrder("BUY", 1, FAR_BELOW, orderRef="resting"))
    gateway.stop_in_thread()

    again = make_desk(make_gateway(**config))
    (trade,) = again.do(lambda client: client.openTrades())
    assert (trade.order.orderRef, trade.order.permId) == ("resting", resting.order.permId)
    (fill,) = again.do(lambda client: client.fills())
    assert fill.execution.execId == filled.fills[0].execution.execId
    assert [held.position for held in again.do(lambda client: client.positions())] == [10]
    trade = again.place(again.stock(), ib.MarketOrder("BUY", 1))
    assert trade.order.orderId > resting.order.orderId
    assert trade.orderStatus.status == "Filled"


def test_a_gateway_can_be_started_again_after_it_stopped(clock: ManualClock) -> None:
    gateway = PaperGateway(GatewayConfig(port=0), clock.now)
    for _ in range(2):
        gateway.start_in_thread()
        with pytest.raises(GatewayError, match="already"):
            gateway.start_in_thread()
        gateway.step_now()
        gateway.stop_in_thread()
        gateway.stop_in_thread()
    with pytest.raises(GatewayError, match="not started"):
        gateway.step_now()


def test_the_gateway_follows_its_clock_by_itself(desk: Desk) -> None:
    trade = desk.place(desk.stock(), ib.StopOrder("SELL", 10, 442.20))
    assert trade.orderStatus.status == "PreSubmitted"
    desk.clock.advance(timedelta(minutes=14))
    desk.until(lambda: trade.orderStatus.status == "Filled")


def test_a_gateway_whose_matching_fails_drops_its_clients_and_says_why(
    clock: ManualClock, make_desk: DeskFactory
) -> None:
    is_broken = threading.Event()

    def now() -> datetime:
        if is_broken.is_set():
            msg = "the clock is gone"
            raise OSError(msg)
        return clock.now()

    gateway = PaperGateway(GatewayConfig(port=0), now).start_in_thread()
    desk = make_desk(gateway)
    is_broken.set()
    desk.until(lambda: not desk.do(lambda client: client.isConnected()))
    with pytest.raises(GatewayError, match="the clock is gone"):
        gateway.stop_in_thread()


def test_a_subscription_that_fails_ends_alone(desk: Desk) -> None:
    contract = desk.stock()
    desk.do(lambda client: client.reqMktData(contract))
    desk.do(lambda client: client.reqPnL("DU1000000"))
    desk.settle()
    streams = desk.gateway.hub.sessions[7].streams
    ((key, broken),) = [(key, stream) for key, stream in streams.items() if key[0] == "quotes"]
    desk.gateway.call(lambda: setattr(broken, "contract", None))
    desk.advance(minutes=1)
    assert desk.codes(key[1]) == [322]
    assert key not in streams
    assert "pnl" in [kind for kind, _ in streams]


PROGRAM = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from trading_platform.paper_gateway.server import GatewayConfig, PaperGateway

moment = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
config = GatewayConfig(port=0, state_path=Path(sys.argv[1]), pacing_enabled=False)
PaperGateway(config, lambda: moment).serve_forever(lambda port: print(port, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_serving_gateway_cleanly_and_its_orders_are_kept(
    number: signal.Signals, clock: ManualClock, tmp_path: Path, make_gateway: GatewayFactory, make_desk: DeskFactory
) -> None:
    state = tmp_path / "account.sqlite"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(state)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.sendall(GREETING + encode_frame([71, 2, 7, ""]))
            peer.sendall(market_order(order_id=1))
            while b"Filled" not in peer.recv(65536):
                pass
            process.send_signal(number)
            assert process.stdout.read() == "stopped\n"
        assert process.wait(10) == 0
    desk = make_desk(make_gateway(state_path=state))
    assert [held.position for held in desk.do(lambda client: client.positions())] == [3]


def market_order(order_id: int) -> bytes:
    """A placeOrder message without any client library: what is left out reads as empty."""
    contract: list[Field] = [265598, "AAPL", "STK", "", 0, "", "", "SMART", "", "USD", "", ""]
    order: list[Field] = ["BUY", 3, "MKT", "", "", "DAY", "", "", "", 0, "raw", 1, 0, 0, 0, 0, 0, 0, 0]
    return encode_frame([3, order_id, *contract, "", "", *order])
