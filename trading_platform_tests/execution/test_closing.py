"""Orders that the broker does not list: closed where it is proved that they are over, and only there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.clock import ManualClock
from trading_platform.domain.orders.model import OrderIntent, OrderStatus
from trading_platform.execution.closing import IN_FLIGHT_SECONDS, broker_day, in_flight_seconds
from trading_platform.execution.holder import holder_name
from trading_platform.execution.reconcile import ReconcileReport, reconcile
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    TICK,
    approve,
    make_broker_order,
    make_intent,
    make_tick,
    record,
)

AAPL = make_intent().client_order_id
OLD_ENOUGH = NOW + timedelta(seconds=IN_FLIGHT_SECONDS)
NEXT_DAY = NOW + timedelta(days=1)
forked = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def dead() -> str:
    """The name of a process that has ended."""
    receiver, sender = forked.Pipe()
    process = forked.Process(target=lambda: sender.send(holder_name(RUN)))
    process.start()
    name: str = receiver.recv()
    process.join()
    return name


def run(ledger: Ledger, broker: RecordingBroker, now=OLD_ENOUGH, **options: Any) -> ReconcileReport:
    return reconcile(
        ledger, broker, account=ACCOUNT, clock=ManualClock(now), run_id="r", **({"settle_seconds": 0.01} | options)
    )


def status(ledger: Ledger) -> OrderStatus:
    return ledger.orders(ACCOUNT, client_order_ids=[AAPL])[0].status


def send(ledger: Ledger, holder: str, intent: OrderIntent | None = None, *, to: OrderStatus | None = None) -> None:
    """Record one order, hand it to ``holder`` at NOW, and move it on to ``to``."""
    intent = intent or make_intent()
    ledger.record_tick(make_tick(), [(intent, approve(intent))])
    with ledger.submission_lease(ACCOUNT, holder=holder, now=lambda: NOW, wait_seconds=1) as lease:
        ledger.begin_submission(
            ACCOUNT,
            intent.client_order_id,
            decision=approve(intent),
            token=lease.token,
            holder=holder,
            at=NOW,
            run_id=RUN,
        )
        lease.is_in_doubt = True
    if to is OrderStatus.UNKNOWN:
        ledger.move(ACCOUNT, intent.client_order_id, to, at=NOW, run_id=RUN, message="no answer")
    elif to is not None:
        filled = "4" if to is OrderStatus.PARTIALLY_FILLED else "0"
        ledger.record_broker_order(ACCOUNT, make_broker_order(intent, to, filled=filled), at=NOW, run_id=RUN)


def test_an_order_that_never_arrived_is_closed_when_its_sender_is_dead(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)
    report = run(ledger, broker)
    assert (report.closed, report.resolved, report.problems) == ((AAPL,), (AAPL,), ())
    assert status(ledger) is OrderStatus.EXPIRED
    assert "proved unsent" in ledger.order_events(ACCOUNT)[-1].message
    assert ledger.open_quantity(ACCOUNT) == {}
    assert run(ledger, broker).closed == ()


def test_all_lists_are_asked_twice_and_the_gateway_in_between(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)
    run(ledger, broker)
    for question in ("open_orders", "completed_orders", "executions"):
        assert broker.requests.count(question) >= 2


def test_with_nothing_to_prove_there_is_one_look(ledger, broker):
    run(ledger, broker)
    assert broker.requests.count("open_orders") == 1


def living(_: str) -> str:
    return holder_name(RUN)


def elsewhere(dead: str) -> str:
    return dead.replace('"host": "', '"host": "another-')


@pytest.mark.parametrize("holder", [living, elsewhere])
def test_a_sender_that_is_not_proved_dead_keeps_its_order_in_doubt(ledger, broker, dead, holder: Callable[[str], str]):
    send(ledger, holder(dead), to=OrderStatus.UNKNOWN)
    assert run(ledger, broker).unresolved == (AAPL,)
    assert status(ledger) is OrderStatus.UNKNOWN


def test_bytes_of_a_dead_sender_may_still_be_on_their_way(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)
    assert run(ledger, broker, OLD_ENOUGH - timedelta(seconds=1)).unresolved == (AAPL,)
    assert run(ledger, broker).closed == (AAPL,)


def test_an_order_that_arrives_between_the_two_looks_is_adopted(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)
    broker.server_time = lambda: broker.place_by_hand(make_intent().request)
    report = run(ledger, broker)
    assert (report.closed, report.resolved, report.problems) == ((), (AAPL,), ())
    assert status(ledger) is OrderStatus.SUBMITTED


def test_a_gateway_that_falls_silent_proves_nothing(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)

    def fall_silent() -> None:
        broker.is_silent = True

    broker.server_time = fall_silent
    with pytest.raises(Exception, match="no answer"):
        run(ledger, broker)
    assert status(ledger) is OrderStatus.UNKNOWN


def test_holdings_that_the_fills_do_not_explain_keep_the_order_in_doubt(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.UNKNOWN)
    broker.transfer("AAPL", "10")
    assert run(ledger, broker).unresolved == (AAPL,)
    broker.transfer("AAPL", "-10")
    broker.transfer("IBM", "10")
    assert run(ledger, broker).closed == (AAPL,), "another symbol's difference says nothing of this one"


def test_an_order_that_the_broker_once_acknowledged_did_arrive(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.SUBMITTED)
    ledger.move(ACCOUNT, AAPL, OrderStatus.UNKNOWN, at=NOW, run_id=RUN, message="a phantom")
    assert run(ledger, broker).unresolved == (AAPL,)


def test_an_order_found_submitting_is_left_to_a_run_of_its_tick(ledger, broker, dead):
    send(ledger, dead)
    assert run(ledger, broker).unresolved == (AAPL,)
    record(ledger, ("IBM",), make_tick(TICK + timedelta(minutes=5)))
    assert run(ledger, broker).closed == (AAPL,), "its tick is over: no run will send it"


def test_a_run_that_takes_the_order_over_meanwhile_wins(ledger, broker, dead):
    send(ledger, dead)
    record(ledger, ("IBM",), make_tick(TICK + timedelta(minutes=5)))

    def take_over() -> None:
        ledger.record_unsent(ACCOUNT, AAPL, at=NOW, run_id="other", message="anything that changes the row")

    broker.server_time = take_over
    assert run(ledger, broker).closed == ()
    assert status(ledger) is OrderStatus.SUBMITTING


@pytest.mark.parametrize("last_seen", [OrderStatus.SUBMITTED, OrderStatus.UNKNOWN])
def test_a_day_order_that_nobody_watched_at_the_close_is_expired_on_the_next_day(ledger, broker, dead, last_seen):
    send(ledger, dead, to=last_seen)
    report = run(ledger, broker, NEXT_DAY)
    assert (report.closed, report.missing, report.problems) == ((AAPL,), (), ())
    assert status(ledger) is OrderStatus.EXPIRED


def test_what_was_filled_before_the_close_stays_filled(ledger, broker, dead):
    send(ledger, dead)
    broker.place_by_hand(make_intent().request)
    broker.fill(AAPL, "4")
    run(ledger, broker, NOW)
    assert status(ledger) is OrderStatus.PARTIALLY_FILLED
    # the next day's lists begin anew; the holding stays
    broker.open_orders = broker.completed_orders = broker.executions = list
    assert run(ledger, broker, NEXT_DAY).closed == (AAPL,)
    (order,) = ledger.orders(ACCOUNT)
    assert (order.status, order.filled_quantity) == (OrderStatus.EXPIRED, Decimal(4))
    assert ledger.positions_from_fills(ACCOUNT) == {"AAPL": Decimal(4)}


def test_a_fill_that_nobody_saw_keeps_the_order_from_being_closed(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.SUBMITTED)
    broker.transfer("AAPL", "10")
    report = run(ledger, broker, NEXT_DAY)
    assert (report.closed, report.missing) == ((), (AAPL,))
    assert status(ledger) is OrderStatus.SUBMITTED


def test_on_its_own_day_an_order_that_vanished_is_named_and_left_alone(ledger, broker, dead):
    send(ledger, dead, to=OrderStatus.SUBMITTED)
    report = run(ledger, broker)
    assert (report.closed, report.missing) == ((), (AAPL,))


@pytest.mark.parametrize("last_seen", [OrderStatus.SUBMITTED, OrderStatus.UNKNOWN])
def test_an_order_good_till_cancelled_that_vanished_is_a_persons_matter(ledger, broker, dead, last_seen):
    intent = make_intent()
    carried = replace(intent, request=replace(intent.request, time_in_force="GTC"))
    send(ledger, dead, carried, to=last_seen)
    report = run(ledger, broker, NEXT_DAY)
    assert (*report.missing, *report.unresolved) == (AAPL,)
    assert report.closed == ()


@pytest.mark.parametrize(("last_moment", "is_closed"), [(NOW + timedelta(hours=2), True), (NEXT_DAY, False)])
def test_an_order_good_till_a_moment_is_closed_once_the_day_of_that_moment_is_over(
    ledger, broker, dead, last_moment, is_closed
):
    intent = make_intent()
    request = replace(intent.request, time_in_force="GTD", good_till_utc=last_moment)
    send(ledger, dead, replace(intent, request=request), to=OrderStatus.SUBMITTED)
    assert run(ledger, broker, NEXT_DAY).closed == ((AAPL,) if is_closed else ())


def test_an_order_whose_run_died_before_the_hand_over_is_closed_once_its_session_is_over(ledger, broker, dead):
    intent = make_intent()
    carried = replace(intent, request=replace(intent.request, time_in_force="GTC"))
    send(ledger, dead, carried)
    closes = OLD_ENOUGH + timedelta(minutes=1)
    assert run(ledger, broker, close_of=lambda *_: closes).closed == ()
    assert run(ledger, broker, closes, close_of=lambda *_: None).closed == ()
    assert run(ledger, broker, closes, close_of=lambda *_: closes).closed == (AAPL,)
    assert status(ledger) is OrderStatus.EXPIRED


def test_the_brokers_day_is_new_yorks():
    assert broker_day(TICK.replace(hour=4, minute=59)) == broker_day(TICK) - timedelta(days=1)
    assert broker_day(TICK.replace(hour=5, minute=0)) == broker_day(TICK)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_over_loopback_nothing_is_on_its_way_for_long(host):
    assert in_flight_seconds(host) == 0


@pytest.mark.parametrize("host", ["ib-gateway", "192.0.2.7", "gateway.example"])
def test_to_another_machine_bytes_may_be_on_their_way_for_a_quarter_of_an_hour(host):
    assert in_flight_seconds(host) == IN_FLIGHT_SECONDS
