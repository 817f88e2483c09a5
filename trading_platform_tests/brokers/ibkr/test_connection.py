"""Connecting, over real sockets: to nothing, to what is no gateway, to the wrong account."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from trading_platform.brokers.base import (
    AccountMismatchError,
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    ClientIdInUseError,
    NoDataError,
    NotAGatewayError,
    PacingError,
    ReadOnlyError,
    UnknownInstrumentError,
)
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest
from trading_platform_tests.brokers.ibkr.conftest import BrokerFactory
from trading_platform_tests.brokers.ibkr.scripted_gateway import HANG_UP, Script, ScriptedGateway, error

EXECUTIONS = "7"
BARS = "20"
AAPL = Instrument("AAPL", primary_exchange="NASDAQ")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections (the kernel does) and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def http_port() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_port_where_nothing_listens_is_named_with_what_to_do(make_broker: BrokerFactory, free_port: int) -> None:
    with pytest.raises(
        BrokerConnectionError, match=rf"nothing answers at 127\.0\.0\.1:{free_port}.*start TWS"
    ) as caught:
        make_broker(port=free_port).connect()
    assert not isinstance(caught.value, NotAGatewayError)


def test_a_host_that_does_not_exist_is_a_connection_error(make_broker: BrokerFactory) -> None:
    with pytest.raises(BrokerConnectionError):
        make_broker(host="no-such-host.invalid", port=4002).connect()


def test_a_socket_that_says_nothing_is_not_a_gateway(make_broker: BrokerFactory, silent_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(NotAGatewayError, match=r"said nothing within 0\.4 s"):
        make_broker(port=silent_port, connect_timeout_seconds=0.4).connect()
    assert time.monotonic() - began < 2


def test_a_web_server_is_not_a_gateway(make_broker: BrokerFactory, http_port: int) -> None:
    with pytest.raises(NotAGatewayError, match="is no TWS or IB Gateway"):
        make_broker(port=http_port).connect()


@pytest.mark.parametrize("greeting", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b""])
def test_a_server_of_another_protocol_is_found_out_at_once(make_broker: BrokerFactory, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                if greeting:
                    connection.recv(1000)
                    connection.recv(1000)

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(NotAGatewayError):
            make_broker(port=listener.getsockname()[1], connect_timeout_seconds=5).connect()
        assert time.monotonic() - began < 2


def test_a_gateway_that_is_too_old_is_named_as_such(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(version=100) as gateway, pytest.raises(BrokerConnectionError, match="too old"):
        make_broker(port=gateway.port).connect()


def test_a_gateway_that_is_not_logged_in_is_a_connection_error(make_broker: BrokerFactory) -> None:
    scripts: dict[str, Script] = {"71": lambda _: None}
    with (
        ScriptedGateway(scripts=scripts) as gateway,
        pytest.raises(BrokerConnectionError, match="not logged in yet") as caught,
    ):
        make_broker(port=gateway.port, connect_timeout_seconds=0.4).connect()
    assert not isinstance(caught.value, NotAGatewayError)


def test_a_client_id_in_use_is_reported_at_once(make_broker: BrokerFactory) -> None:
    script = {"71": lambda _: [error(-1, 326, "client id is already in use"), HANG_UP]}
    with ScriptedGateway(scripts=script) as gateway:
        began = time.monotonic()
        with pytest.raises(ClientIdInUseError, match="client id 31 is in use"):
            make_broker(port=gateway.port, client_id=31, connect_timeout_seconds=10).connect()
    assert time.monotonic() - began < 2


def test_a_live_account_is_refused_in_paper_mode_before_anything_but_the_handshake(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="U7654321") as gateway:
        with pytest.raises(AccountMismatchError, match="mode is paper, but U7654321 is a live account"):
            make_broker(port=gateway.port).open_orders()
        time.sleep(0.1)
        assert gateway.numbers() == ["71"]


def test_a_configured_account_that_is_not_offered_is_named_with_those_that_are(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="DU1,DU2") as gateway:
        with pytest.raises(AccountMismatchError, match=r"account DU3 is configured.* DU1, DU2"):
            make_broker(port=gateway.port, account="DU3").connect()
        time.sleep(0.1)
        assert gateway.numbers() == ["71"]


def test_several_accounts_and_none_configured_is_refused(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="DU1,DU2") as gateway, pytest.raises(AccountMismatchError, match="several accounts"):
        make_broker(port=gateway.port).connect()


def test_one_of_several_accounts_can_be_configured(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="U1,DU2,") as gateway:
        broker = make_broker(port=gateway.port, account="DU2")
        broker.connect()
        assert broker.account == "DU2"
        assert broker.is_paper


@pytest.mark.parametrize(
    ("mode", "account", "says"),
    [("paper", "U1", "U1 is a live account"), ("live", "DU1", "DU1 is a paper account"), ("live", None, "no account")],
)
def test_a_configuration_that_contradicts_itself_is_refused_without_a_socket(
    make_broker: BrokerFactory, mode: str, account: str | None, says: str
) -> None:
    with ScriptedGateway() as gateway:
        with pytest.raises(AccountMismatchError, match=says):
            make_broker(port=gateway.port, mode=mode, account=account)
        assert gateway.connections == 0


@pytest.mark.parametrize("said", [None, "", "yes", "I trade real money in U2", "i trade real money in U1"])
def test_live_without_the_typed_sentence_for_this_account_is_refused_without_a_socket(
    make_broker: BrokerFactory, said: str | None
) -> None:
    with ScriptedGateway(accounts="U1") as gateway:
        with pytest.raises(AccountMismatchError, match="to exactly: I trade real money in U1"):
            make_broker(port=gateway.port, mode="live", account="U1", live_confirmation=said)
        assert gateway.connections == 0


def test_a_confirmed_live_configuration_that_reaches_a_paper_account_stops_after_the_accounts_were_named(
    make_broker: BrokerFactory,
) -> None:
    with ScriptedGateway(accounts="DU1") as gateway:
        confirmed = {"mode": "live", "account": "U1", "live_confirmation": "I trade real money in U1"}
        with pytest.raises(AccountMismatchError):
            make_broker(port=gateway.port, **confirmed).cancel_all_orders()
        time.sleep(0.1)
        assert gateway.numbers() == ["71"]


def test_a_paper_configuration_that_reaches_a_live_account_cancels_nothing_there(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="U1") as gateway:
        with pytest.raises(AccountMismatchError, match="U1 is a live account"):
            make_broker(port=gateway.port).cancel_all_orders()
        time.sleep(0.1)
        assert gateway.numbers() == ["71"]


def test_a_live_account_is_accepted_when_mode_account_and_confirmation_say_so(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(accounts="U1") as gateway:
        broker = make_broker(port=gateway.port, mode="live", account="U1", live_confirmation="I trade real money in U1")
        broker.connect()
        assert not broker.is_paper


def test_nothing_is_sent_at_connect_but_start_api(make_broker: BrokerFactory) -> None:
    with ScriptedGateway() as gateway:
        make_broker(port=gateway.port).connect()
        time.sleep(0.1)
        assert gateway.numbers() == ["71"]


def test_a_read_only_connection_sends_no_order_and_no_cancellation(make_broker: BrokerFactory) -> None:

    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port, read_only=True)
        with pytest.raises(ReadOnlyError, match="was not sent"):
            broker.place_order(AAPL, OrderRequest("a", "AAPL", "BUY", Decimal(1)))
        with pytest.raises(ReadOnlyError, match="was not cancelled"):
            broker.cancel_order("a")
        with pytest.raises(ReadOnlyError, match="were not cancelled"):
            broker.cancel_all_orders()
        assert gateway.connections == 0


def test_a_request_without_an_answer_times_out_with_a_typed_error(make_broker: BrokerFactory) -> None:
    scripts: dict[str, Script] = {"61": lambda _: None}
    with ScriptedGateway(scripts=scripts) as gateway, pytest.raises(BrokerTimeoutError, match="positions: no answer"):
        make_broker(port=gateway.port, request_timeout_seconds=0.2).positions()


def test_a_connection_lost_during_a_request_is_a_connection_error(make_broker: BrokerFactory) -> None:
    scripts: dict[str, Script] = {"61": lambda _: HANG_UP}
    with ScriptedGateway(scripts=scripts) as gateway, pytest.raises(BrokerConnectionError, match="before the answer"):
        make_broker(port=gateway.port).positions()


def test_reads_reconnect_and_repeat_themselves(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"61": lambda _: (62, 1) if gateway.connections > 2 else HANG_UP}) as gateway:
        assert make_broker(port=gateway.port, read_attempts=3).positions() == []
        assert gateway.connections == 3


def test_pacing_is_waited_out(make_broker: BrokerFactory) -> None:
    def bars(fields: list[str]) -> tuple[object, ...]:
        if gateway.count(BARS) < 3:
            return error(fields[1], 162, "Historical data request pacing violation")
        return (17, fields[1], "", "", 1, 1_700_000_000, 1, 2, 0.5, 1.5, 100, 1.2, 7)

    with ScriptedGateway(scripts={BARS: bars}) as gateway:
        broker = make_broker(port=gateway.port, read_attempts=2)
        with pytest.raises(PacingError):
            broker.historical_bars(AAPL, end=None, duration="1 D", bar_size="5 mins")
        frame = broker.historical_bars(AAPL, end=None, duration="1 D", bar_size="5 mins")
        assert frame["close"].tolist() == [1.5]
        assert gateway.connections == 1


def test_bars_without_a_single_bar_are_no_data(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={BARS: lambda fields: (17, fields[1], "", "", 0)}) as gateway:
        broker = make_broker(port=gateway.port)
        with pytest.raises(NoDataError, match="no bar at all"):
            broker.historical_bars(AAPL, end=None, duration="1 D", bar_size="5 mins")


def test_a_late_answer_to_a_request_without_id_is_never_taken_for_the_next_ones(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"61": lambda _: (62, 1) if gateway.connections > 1 else None}) as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=0.2)
        with pytest.raises(BrokerTimeoutError):
            broker.positions()
        assert broker.positions() == []
        assert gateway.connections == 2


def test_a_socket_that_went_silent_is_replaced(make_broker: BrokerFactory) -> None:
    scripts: dict[str, Script] = {
        "9": lambda fields: error(fields[2], 200) if gateway.connections > 1 else None,
        "49": lambda _: None,
    }
    with ScriptedGateway(scripts=scripts) as gateway:
        with pytest.raises(BrokerError, match="200"):
            make_broker(port=gateway.port, request_timeout_seconds=0.2, read_attempts=2).instrument_details(AAPL)
        assert gateway.connections == 2


def test_a_slow_answer_does_not_cost_the_connection_when_the_gateway_still_answers(make_broker: BrokerFactory) -> None:

    with ScriptedGateway() as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=0.2)
        with pytest.raises(BrokerTimeoutError):
            broker.instrument_details(AAPL)
        broker.server_time()
        assert gateway.connections == 1


def test_while_the_gateway_has_lost_ibkr_nothing_is_asked_and_afterwards_executions_are(
    make_broker: BrokerFactory,
) -> None:
    with ScriptedGateway(scripts={EXECUTIONS: lambda fields: (55, 1, fields[2])}) as gateway:
        broker = make_broker(port=gateway.port)
        broker.server_time()
        for restored in (1101, 1102):
            gateway.send(error(-1, 1100))
            _wait_until(lambda: _refuses(broker.server_time))
            with pytest.raises(BrokerConnectionError, match="lost its connection to IBKR"):
                broker.open_orders()
            before = gateway.count(EXECUTIONS)
            gateway.send(error(-1, restored))
            _wait_until(lambda: gateway.count(EXECUTIONS) > before)  # noqa: B023 - called in this turn only
            broker.server_time()
        assert gateway.connections == 1


def test_a_gateway_in_read_only_mode_says_so_instead_of_timing_out(make_broker: BrokerFactory) -> None:
    refusal = error(
        -1, 321, "Error validating request.-'bX' : cause - The API interface is currently in Read-Only mode."
    )
    scripts: dict[str, Script] = {"16": lambda _: refusal}
    with ScriptedGateway(scripts=scripts) as gateway, pytest.raises(ReadOnlyError, match="Read-Only API"):
        make_broker(port=gateway.port, request_timeout_seconds=5).open_orders()


def test_never_more_than_45_messages_leave_within_a_second(make_broker: BrokerFactory) -> None:
    with ScriptedGateway(scripts={"9": lambda fields: error(fields[2], 200)}) as gateway:
        broker = make_broker(port=gateway.port, request_timeout_seconds=10)

        def ask(_: int) -> None:
            with pytest.raises(UnknownInstrumentError):
                broker.instrument_details(AAPL)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(70)))
        times = gateway.arrivals
        # arrivals are read by another thread: leave it a little room
        assert max(sum(start <= moment < start + 0.9 for moment in times) for start in times) <= 50
        assert times[-1] - times[0] > 0.9


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except BrokerConnectionError:
        return True
    return False


def _wait_until(is_true: Callable[[], bool], seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
