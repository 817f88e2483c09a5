"""What IBKR's gateway does now and then, end to end: the gateway's faults, the real client, the real ledger."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.kill_switch import causes_to_halt
from trading_platform.paper_gateway.faults import (
    DropConnection,
    DuplicateStatus,
    Mute,
    RollBackOrderIds,
    StatusBeforeExecution,
    SwallowAcknowledgement,
)
from trading_platform.paper_gateway.messages.ids import Incoming, Outgoing
from trading_platform.paper_gateway.model import OrderTicket
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.ledger import LeaseHeldError, Ledger
from trading_platform_tests.execution.end_to_end import (
    INSTRUMENTS,
    NAMES,
    TICK,
    broker,
    clock,
    connect,
    gateway,
    limit,
    reconciled,
    record_orders,
    references,
    status_of,
    submit,
    wait,
)
from trading_platform_tests.storage.ledger.builders import ACCOUNT, STRATEGY, make_intent, make_tick
from trading_platform_tests.storage.ledger.fixtures import ledger, ledger_url, migrated_url

__all__ = ["broker", "clock", "gateway", "ledger", "ledger_url", "migrated_url"]

AAPL = NAMES[0]
LATER = TICK + timedelta(minutes=5)
SECOND = make_intent("AAPL", tick=make_tick(LATER)).client_order_id
forked = multiprocessing.get_context("fork")


def say_error(gateway: PaperGateway, code: int) -> None:
    """Let the gateway report ``code`` for its newest order to whoever placed it."""

    def say() -> None:
        order = gateway.hub.venue.open_orders()[-1]
        gateway.hub.sessions[order.client_id].error(order.order_id, code, "nobody knows why")

    gateway.call(say)


def place_beside(gateway: PaperGateway, reference: str, client_id: int = 99) -> None:
    """Put one more resting order into the gateway's books under ``reference``, as another client or TWS would."""

    def place() -> None:
        hub = gateway.hub
        contract = next(iter(hub.contracts.find(symbol="AAPL", security_type="STK")))
        ticket = OrderTicket("BUY", Decimal(10), "LMT", Decimal(1), account=ACCOUNT, order_ref=reference)
        hub.publish(hub.venue.place(client_id, hub.next_order_id(client_id), contract, ticket))

    gateway.call(place)


@pytest.mark.parametrize("code", [10148, 105, 321])
def test_a_phantom_cancel_of_a_live_order_changes_nothing(ledger, gateway, broker, clock, code):
    record_orders(ledger, **limit("1"))
    submit(ledger, broker, clock)
    say_error(gateway, code)
    assert reconciled(ledger, broker, clock).problems == ()
    assert status_of(ledger, AAPL) is OrderStatus.SUBMITTED
    assert submit(ledger, broker, clock).new_orders == 0
    assert references(gateway) == [AAPL]


@pytest.mark.parametrize("code", [10148, 105])
def test_a_phantom_cancel_in_place_of_the_acknowledgement_is_found_out(ledger, gateway, broker, clock, code):
    record_orders(ledger, **limit("1"))
    gateway.faults.add(SwallowAcknowledgement())
    is_placed = threading.Event()

    def cancel_phantom() -> None:
        while not gateway.call(gateway.hub.venue.open_orders):
            is_placed.wait(0.01)
        say_error(gateway, code)

    phantom = threading.Thread(target=cancel_phantom)
    phantom.start()
    report = submit(ledger, broker, clock)
    phantom.join()
    assert [outcome.outcome for outcome in report.outcomes] == ["unknown"]
    assert submit(ledger, broker, clock).new_orders == 0
    assert status_of(ledger, AAPL) is OrderStatus.SUBMITTED
    assert references(gateway) == [AAPL]


def test_order_ids_that_were_rolled_back_touch_no_older_order(ledger, gateway, clock):
    record_orders(ledger, **limit("1"))
    with connect(gateway) as broker:
        submit(ledger, broker, clock)
    gateway.faults.add(RollBackOrderIds(1))
    clock.advance(LATER - TICK)
    record_orders(ledger, LATER, **limit("2"))
    with connect(gateway) as broker:
        assert submit(ledger, broker, clock, LATER).new_orders == 1
        live = {order.client_order_id: order.limit_price for order in broker.open_orders()}
        assert live == {AAPL: Decimal(1), SECOND: Decimal(2)}
        assert reconciled(ledger, broker, clock).problems == ()
    assert len({order.perm_id for order in ledger.orders(ACCOUNT)}) == 2


def test_a_reference_that_the_broker_has_already_is_adopted_and_not_sent(ledger, gateway, broker, clock):
    record_orders(ledger, **limit("1"))
    place_beside(gateway, AAPL)
    report = submit(ledger, broker, clock)
    assert report.new_orders == 0
    assert status_of(ledger, AAPL) is OrderStatus.SUBMITTED
    assert references(gateway) == [AAPL]


def test_one_reference_with_two_perm_ids_is_named_halts_and_is_not_sent_a_third_time(ledger, gateway, broker, clock):
    record_orders(ledger, **limit("1"))
    submit(ledger, broker, clock)
    place_beside(gateway, AAPL)
    report = reconciled(ledger, broker, clock)
    assert len(report.duplicates[AAPL]) == 2
    assert any("at the broker 2 times" in cause for cause in causes_to_halt(ledger, report))
    assert submit(ledger, broker, clock).new_orders == 0
    assert references(gateway) == [AAPL, AAPL]


def test_filled_before_its_execution_counts_as_held_until_the_execution_comes(ledger, gateway, broker, clock):
    record_orders(ledger)
    gateway.faults.add(StatusBeforeExecution(), Mute(Outgoing.EXECUTION_DETAILS))
    report = submit(ledger, broker, clock)
    await_fills(ledger, broker, report, clock=clock, run_id="run", wait_seconds=0)
    assert status_of(ledger, AAPL) is OrderStatus.FILLED
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {}
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}, "or the next tick buys it again"
    gateway.faults.clear()
    assert reconciled(ledger, broker, clock).problems == ()
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {}


def test_status_messages_that_come_twice_leave_one_event_each(ledger, gateway, broker, clock):
    record_orders(ledger, TICK, *INSTRUMENTS)
    gateway.faults.add(DuplicateStatus())
    report = submit(ledger, broker, clock)
    assert wait(ledger, broker, report, clock) == [OrderStatus.FILLED] * 2
    for _ in range(2):
        assert reconciled(ledger, broker, clock).problems == ()
    events = Counter((event.client_order_id, event.to_status) for event in ledger.order_events(ACCOUNT))
    assert set(events.values()) == {1}
    assert len(ledger.fills(ACCOUNT)) == len(gateway.call(gateway.hub.venue.executions))
    assert ledger.positions_from_fills(ACCOUNT) == {"AAPL": Decimal(10), "IBM": Decimal(10)}


def test_another_clients_orders_are_listed_and_left_alone(ledger, gateway, broker, clock):
    record_orders(ledger, **limit("1"))
    submit(ledger, broker, clock)
    with connect(gateway, 77) as other:
        other.place_order(Instrument("IBM"), OrderRequest("by.hand", "IBM", "BUY", Decimal(3)))
        other.place_order(
            Instrument("IBM"), OrderRequest("rests", "IBM", "BUY", Decimal(3), "LMT", limit_price=Decimal(1))
        )
    report = reconciled(ledger, broker, clock)
    assert report.problems == ()
    assert [order.client_order_id for order in report.foreign_orders] == ["rests"]
    assert [execution.client_order_id for execution in report.foreign_executions] == ["by.hand"]
    assert ledger.positions_from_fills(ACCOUNT) == {"IBM": Decimal(3)}
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {}
    assert {order.client_order_id for order in broker.open_orders()} == {AAPL, "rests"}


def test_two_runs_of_one_tick_at_once_place_every_order_once(ledger, ledger_url, gateway, clock):
    """Two clients, two connections to the ledger, one tick: the lease and one transaction per order decide."""
    record_orders(ledger, TICK, *INSTRUMENTS)
    barrier = threading.Barrier(2)

    def run(client_id: int) -> int:
        own = Ledger(ledger_url)
        try:
            with connect(gateway, client_id) as broker:
                broker.connect()
                barrier.wait()
                return submit(own, broker, clock, lease_wait_seconds=20).new_orders
        except LeaseHeldError:
            return 0
        finally:
            own.close()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(run, (10, 11))) == 2
    assert sorted(references(gateway)) == sorted(NAMES)
    with connect(gateway) as broker:
        assert reconciled(ledger, broker, clock).problems == ()
    assert {order.status for order in ledger.orders(ACCOUNT)} == {OrderStatus.FILLED}


def send_and_die(url: str, gateway_port: int, moment: ManualClock) -> None:
    """A run that sends one order over a connection that is lost, and ends."""
    from trading_platform.brokers.ibkr.config import IBKRConfig

    own = Ledger(url)
    submit(own, IBKRBroker(IBKRConfig(port=gateway_port, request_timeout_seconds=3.0)), moment)
    own.close()


@pytest.mark.parametrize("has_arrived", [False, True], ids=["lost on the way", "arrived"])
def test_an_unknown_order_is_closed_when_it_never_arrived_and_adopted_when_it_did(
    ledger, ledger_url, gateway, clock, has_arrived
):
    record_orders(ledger, **limit("1"))
    when = "after" if has_arrived else "before"
    gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when=when))
    process = forked.Process(target=send_and_die, args=(ledger_url, gateway.port, clock))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert status_of(ledger, AAPL) is OrderStatus.UNKNOWN
    with connect(gateway) as broker:
        report = reconciled(ledger, broker, clock)
        assert report.problems == ()
        assert report.resolved == (AAPL,)
        assert report.closed == (() if has_arrived else (AAPL,))
        assert submit(ledger, broker, clock).new_orders == 0, "a closed order is never sent again"
    assert status_of(ledger, AAPL) is (OrderStatus.SUBMITTED if has_arrived else OrderStatus.EXPIRED)
    assert references(gateway) == ([AAPL] if has_arrived else [])
