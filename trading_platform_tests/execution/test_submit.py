"""Submission: what is sent, what is refused, and what a lost answer leads to."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal

import pytest

from trading_platform.brokers.base import (
    AccountMismatchError,
    AmbiguousOrderError,
    BrokerConnectionError,
    BrokerTimeoutError,
    OrderRejectedError,
    ReadOnlyError,
)
from trading_platform.clock import ManualClock
from trading_platform.domain.orders.model import OrderStatus, RiskDecision
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.reconcile import reconcile
from trading_platform.storage.ledger import LeaseHeldError, UnknownTickError
from trading_platform_tests.execution.conftest import submit
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    STRATEGY,
    TICK,
    approve,
    make_execution,
    make_intent,
    make_tick,
    record,
    reject,
    start,
)

AAPL, IBM, MSFT = (make_intent(symbol).client_order_id for symbol in ("AAPL", "IBM", "MSFT"))


def statuses(ledger) -> dict[str, OrderStatus]:
    return {order.intent.request.symbol: order.status for order in ledger.orders(ACCOUNT)}


def raising(error: BaseException):
    def hook(client_order_id: str) -> None:
        raise error

    return hook


def test_approved_orders_are_placed_once_and_recorded(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    report = submit(ledger, broker)
    assert [(o.client_order_id, o.outcome, o.perm_id) for o in report.outcomes] == [
        (AAPL, "placed", 7001),
        (IBM, "placed", 7002),
    ]
    assert report.new_orders == 2
    assert broker.placed == [AAPL, IBM]
    assert {order.perm_id for order in ledger.orders(ACCOUNT)} == {7001, 7002}
    assert [event.to_status.value for event in ledger.order_events(ACCOUNT, [AAPL])] == [
        "created",
        "approved",
        "submitting",
        "submitted",
    ]
    assert len(ledger.risk_decisions(ACCOUNT, stage="submission")) == 2


def test_a_second_submission_of_the_same_tick_places_nothing_and_says_why(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    asked = len(broker.requests)
    report = submit(ledger, broker)
    assert report.new_orders == 0
    assert report.outcomes[0].outcome == "already_placed"
    assert report.outcomes[0].reasons == ("an earlier run of the same tick placed it",)
    assert report.fencing_token is None
    assert len(broker.requests) == asked
    assert broker.placed == [AAPL]


def test_what_risk_rejected_at_the_decision_is_never_sent(ledger, broker):
    intent, other = make_intent(), make_intent("IBM")
    ledger.record_tick(make_tick(), [(intent, approve(intent)), (other, reject(other))])
    report = submit(ledger, broker)
    assert broker.placed == [AAPL]
    assert report.of("refused")[0].reasons == ("max_notional: 1702.5 is above 1000",)


def test_what_risk_refuses_at_submission_is_not_sent_and_may_be_tried_again(ledger, broker):
    record(ledger)
    report = submit(ledger, broker, guard=lambda intent: reject(intent, "price is stale"))
    assert broker.placed == []
    assert report.outcomes[0].outcome == "refused"
    assert report.outcomes[0].reasons == ("max_notional: price is stale",)
    assert not ledger.risk_decisions(ACCOUNT, stage="submission")[0].decision.is_approved
    assert submit(ledger, broker).new_orders == 1


def test_no_control_at_all_is_no_approval(ledger, broker):
    record(ledger)
    report = submit(ledger, broker, guard=lambda intent: RiskDecision(intent.client_order_id, ()))
    assert report.outcomes[0].reasons == ("no risk control was evaluated",)
    assert broker.placed == []


def test_a_guard_that_fails_sends_nothing(ledger, broker):
    record(ledger, ("AAPL", "IBM"))

    def guard(intent):
        if intent.client_order_id == IBM:
            msg = "no quote"
            raise RuntimeError(msg)
        return approve(intent)

    with pytest.raises(RuntimeError, match="no quote"):
        submit(ledger, broker, guard=guard)
    assert broker.placed == [AAPL]
    assert submit(ledger, broker).new_orders == 1


def test_a_symbol_without_an_instrument_is_refused(ledger, broker):
    record(ledger, ("AAPL", "TSLA"))
    report = submit(ledger, broker)
    assert broker.placed == [AAPL]
    assert report.of("refused")[0].reasons == ("TSLA is not among the instruments",)


def test_another_account_is_refused_before_anything_happens(ledger, books):
    record(ledger)
    broker = RecordingBroker(books, account="U7654321")
    with pytest.raises(AccountMismatchError, match="U7654321"):
        submit(ledger, broker)
    assert broker.requests == []


def test_a_tick_that_was_never_decided_is_refused(ledger, broker):
    with pytest.raises(UnknownTickError, match="record it first"):
        submit(ledger, broker)


def test_a_halt_stops_new_orders_until_it_is_cleared(ledger, broker):
    record(ledger)
    halt = ledger.halt("*", reason="drill", who="me", at=NOW)
    report = submit(ledger, broker)
    assert report.outcomes[0].reasons == ("halted: drill",)
    assert broker.placed == []
    ledger.clear_halt(halt.halt_id, reason="over", who="me", at=NOW)
    assert submit(ledger, broker).new_orders == 1


@pytest.mark.parametrize(("quantity", "is_let_through"), [("10", True), ("11", False)])
def test_a_halt_lets_an_order_through_that_can_only_reduce(ledger, broker, quantity, is_let_through):
    record(ledger)
    ledger.record_executions([make_execution(1, make_intent())], at=NOW, run_id=RUN)
    tick = make_tick(TICK + timedelta(minutes=5))
    sale = make_intent(side="SELL", quantity=quantity, tick=tick)
    ledger.record_tick(tick, [(sale, approve(sale))])
    ledger.halt(ACCOUNT, reason="drill", who="me", at=NOW)
    report = submit(ledger, broker, tick_utc=tick.tick_utc)
    assert report.outcomes[0].outcome == ("placed" if is_let_through else "refused")


def test_an_overtaken_tick_is_not_sent_any_more(ledger, broker):
    record(ledger)
    record(ledger, tick=make_tick(TICK + timedelta(minutes=5)))
    report = submit(ledger, broker)
    assert broker.placed == []
    assert report.outcomes[0].outcome == "not_sent"
    assert report.outcomes[0].status is OrderStatus.EXPIRED


def test_a_rejection_is_final(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    broker.before_send = raising(OrderRejectedError("order was refused with 201: margin", 201))
    report = submit(ledger, broker)
    assert [outcome.outcome for outcome in report.outcomes] == ["rejected", "rejected"]
    assert statuses(ledger) == {"AAPL": OrderStatus.BROKER_REJECTED, "IBM": OrderStatus.BROKER_REJECTED}
    assert ledger.order_events(ACCOUNT, [AAPL])[-1].raw_status == "201"
    broker.before_send = lambda name: None
    assert submit(ledger, broker).new_orders == 0


def test_a_read_only_connection_rejects(ledger, broker):
    record(ledger)
    broker.before_send = raising(ReadOnlyError("unset TRADING_PLATFORM_READ_ONLY to trade"))
    assert "READ_ONLY" in submit(ledger, broker).outcomes[0].reasons[0]
    assert broker.placed == []


@pytest.mark.parametrize("error", [AmbiguousOrderError("no ack"), BrokerTimeoutError("no answer")])
def test_a_lost_answer_makes_an_order_unknown_and_stops_the_rest(ledger, broker, error):
    record(ledger, ("AAPL", "IBM"))
    broker.after_send = raising(error)
    report = submit(ledger, broker)
    assert [outcome.outcome for outcome in report.outcomes] == ["unknown", "not_sent"]
    assert statuses(ledger) == {"AAPL": OrderStatus.UNKNOWN, "IBM": OrderStatus.APPROVED}
    broker.after_send = lambda name: None
    report = submit(ledger, broker)
    assert [outcome.outcome for outcome in report.outcomes] == ["already_placed", "placed"]
    assert broker.placed == [AAPL, IBM]


def test_an_unknown_order_that_the_broker_does_not_list_is_never_sent_again(ledger, broker):
    record(ledger)
    broker.before_send = raising(AmbiguousOrderError("sent, and the connection was lost"))
    submit(ledger, broker)
    broker.before_send = lambda name: None
    for _ in range(2):
        report = submit(ledger, broker)
        assert [outcome.outcome for outcome in report.outcomes] == ["unknown"]
    assert broker.placed == []
    assert reconcile(ledger, broker, account=ACCOUNT, clock=ManualClock(NOW), run_id="r").unresolved == (AAPL,)


def test_an_unknown_order_blocks_no_other(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    broker.before_send = raising(AmbiguousOrderError("lost"))
    submit(ledger, broker)
    broker.before_send = lambda name: None
    assert submit(ledger, broker).new_orders == 1
    assert broker.placed == [IBM]


def test_a_connection_that_failed_before_the_send_is_tried_again_by_the_next_run(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    broker.before_send = raising(BrokerConnectionError("nothing was sent"))
    report = submit(ledger, broker)
    assert [outcome.outcome for outcome in report.outcomes] == ["not_sent", "not_sent"]
    broker.before_send = lambda name: None
    assert submit(ledger, broker).new_orders == 2
    assert broker.placed == [AAPL, IBM]


def test_another_strategys_run_does_not_touch_an_unsent_order_whose_tick_is_current(ledger, broker):
    record(ledger)
    broker.before_send = raising(BrokerConnectionError("nothing was sent"))
    submit(ledger, broker)
    broker.before_send = lambda name: None
    record(ledger, tick=make_tick(strategy="other"))
    submit(ledger, broker, strategy="other")
    assert submit(ledger, broker).new_orders == 1
    assert len(broker.placed) == 2


def test_an_unsent_order_expires_once_its_tick_is_over(ledger, broker):
    record(ledger)
    broker.before_send = raising(BrokerConnectionError("nothing was sent"))
    submit(ledger, broker)
    broker.before_send = lambda name: None
    later = make_tick(TICK + timedelta(minutes=5))
    record(ledger, tick=later)
    submit(ledger, broker, tick_utc=later.tick_utc)
    assert ledger.orders(ACCOUNT, tick_utc=TICK)[0].status is OrderStatus.EXPIRED
    assert broker.placed == [make_intent(tick=later).client_order_id]


@pytest.mark.parametrize(
    "error", [AmbiguousOrderError("no ack"), OrderRejectedError("refused with 201", 201), KeyboardInterrupt()]
)
def test_what_reconciliation_learned_in_the_middle_of_a_send_stands(ledger, broker, error):
    def learn(name: str) -> None:
        broker.fill(name)
        reconcile(ledger, broker, account=ACCOUNT, clock=ManualClock(NOW), run_id="sensor")
        raise error

    record(ledger)
    broker.after_send = learn
    with pytest.raises(KeyboardInterrupt) if isinstance(error, KeyboardInterrupt) else nullcontext():
        submit(ledger, broker)
    assert statuses(ledger) == {"AAPL": OrderStatus.FILLED}


def test_the_report_tells_what_reconciliation_learned_meanwhile(ledger, broker):
    def learn(name: str) -> None:
        reconcile(ledger, broker, account=ACCOUNT, clock=ManualClock(NOW), run_id="sensor")
        msg = "no ack"
        raise AmbiguousOrderError(msg)

    record(ledger)
    broker.after_send = learn
    (outcome,) = submit(ledger, broker).outcomes
    assert (outcome.outcome, outcome.status, outcome.perm_id) == ("placed", OrderStatus.SUBMITTED, 7001)


def test_an_interrupt_in_the_middle_of_a_send_leaves_the_order_unknown(ledger, broker):
    record(ledger)
    broker.after_send = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        submit(ledger, broker)
    assert statuses(ledger) == {"AAPL": OrderStatus.UNKNOWN}
    broker.after_send = lambda name: None
    assert submit(ledger, broker).of("already_placed")
    assert broker.placed == [AAPL]


def test_nothing_is_sent_if_the_brokers_lists_can_not_be_had(ledger, broker):
    record(ledger)
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        submit(ledger, broker)
    assert broker.placed == []
    assert statuses(ledger) == {"AAPL": OrderStatus.APPROVED}


def test_an_order_the_broker_has_already_is_adopted_even_if_the_ledger_never_sent_it(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    broker.place_by_hand(make_intent().request)
    broker.fill(AAPL)
    report = submit(ledger, broker)
    assert [outcome.outcome for outcome in report.outcomes] == ["already_placed", "placed"]
    assert broker.placed == [AAPL, IBM]
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.BROKER_REJECTED])
def test_a_phantom_cancel_is_not_believed(ledger, broker, status):
    record(ledger)
    broker.acknowledged_status = status
    report = submit(ledger, broker)
    assert report.outcomes[0].outcome == "unknown"
    await_fills(ledger, broker, report, clock=ManualClock(NOW), run_id="r", wait_seconds=0)
    assert statuses(ledger) == {"AAPL": OrderStatus.SUBMITTED}


def test_an_order_left_submitting_by_a_holder_that_may_live_becomes_unknown(ledger, broker):
    record(ledger)
    with ledger.submission_lease(ACCOUNT, holder="elsewhere", now=lambda: NOW, wait_seconds=1) as lease:
        lease.is_in_doubt = True
        intent = make_intent()
        ledger.begin_submission(
            ACCOUNT, AAPL, decision=approve(intent), token=lease.token, holder="elsewhere", at=NOW, run_id=RUN
        )
    report = submit(ledger, broker)
    assert report.outcomes[0].outcome == "unknown"
    assert broker.placed == []
    assert "reconcile" in ledger.order_events(ACCOUNT, [AAPL])[-1].message


def test_an_order_left_submitting_by_a_holder_that_gave_its_lease_back_is_sent(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    assert submit(ledger, broker).new_orders == 1
    assert broker.placed == [AAPL]


def test_a_proved_unsent_order_is_judged_again_and_ends_if_refused(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    report = submit(ledger, broker, guard=reject)
    assert report.outcomes[0].outcome == "refused"
    assert statuses(ledger) == {"AAPL": OrderStatus.EXPIRED}
    assert submit(ledger, broker).outcomes[0].outcome == "not_sent"
    assert broker.placed == []


def test_a_run_waits_for_the_lease_and_then_reports_who_holds_it(ledger, broker):
    record(ledger)
    with (
        ledger.submission_lease(ACCOUNT, holder="the other run", now=lambda: NOW, wait_seconds=1),
        pytest.raises(LeaseHeldError, match="the other run"),
    ):
        submit(ledger, broker, lease_wait_seconds=0.2)
    assert broker.placed == []


def test_fills_are_awaited_until_their_commissions_are_there(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    report = submit(ledger, broker)
    broker.fill(AAPL, commission=None)
    broker.fill(IBM, "4")
    orders = await_fills(
        ledger, broker, report, clock=ManualClock(NOW), run_id="r", wait_seconds=0.05, poll_seconds=0.02
    )
    assert [(order.status.value, order.filled_quantity) for order in orders] == [
        ("filled", Decimal(10)),
        ("partially_filled", Decimal(4)),
    ]
    broker.fill(IBM, "6")
    broker.report_commissions()
    asked = len(broker.requests)
    orders = await_fills(ledger, broker, report, clock=ManualClock(NOW), run_id="r", wait_seconds=5)
    assert len(broker.requests) == asked + 3
    assert [order.status for order in orders] == [OrderStatus.FILLED, OrderStatus.FILLED]
    assert all(fill.execution.commission is not None for fill in ledger.fills(ACCOUNT))


def test_waiting_for_nothing_asks_nobody(ledger, broker):
    ledger.record_tick(make_tick(), [])
    report = submit(ledger, broker)
    assert await_fills(ledger, broker, report, clock=ManualClock(NOW), run_id="r") == []
    assert broker.requests == []
