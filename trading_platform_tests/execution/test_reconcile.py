"""Reconciliation: the broker's truth comes into the ledger, and what does not fit is said."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.brokers.base import AccountMismatchError, AmbiguousOrderError, BrokerTimeoutError
from trading_platform.clock import ManualClock
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.execution.agreement import position_differences
from trading_platform.execution.reconcile import ReconcileReport, reconcile
from trading_platform_tests.execution.conftest import submit
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, RUN, make_execution, make_intent, record, start

AAPL, IBM = (make_intent(symbol).client_order_id for symbol in ("AAPL", "IBM"))


def run(ledger, broker) -> ReconcileReport:
    return reconcile(ledger, broker, account=ACCOUNT, clock=ManualClock(NOW), run_id="reconcile")


def status(ledger, name: str = AAPL) -> OrderStatus:
    return ledger.orders(ACCOUNT, client_order_ids=[name])[0].status


def test_fills_that_happened_while_away_are_found(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    submit(ledger, broker)
    broker.fill(AAPL)
    report = run(ledger, broker)
    assert report.is_clean
    assert (report.new_fills, report.updated) == (1, (AAPL,))
    assert status(ledger) is OrderStatus.FILLED
    assert ledger.latest_positions(ACCOUNT) == list(report.positions)
    assert run(ledger, broker).updated == ()


def test_an_unknown_order_is_resolved_where_the_broker_has_it(ledger, broker):
    def lose(name: str) -> None:
        msg = "lost"
        raise AmbiguousOrderError(msg)

    record(ledger)
    broker.after_send = lose
    submit(ledger, broker)
    report = run(ledger, broker)
    assert report.is_clean
    assert report.resolved == (AAPL,)
    assert status(ledger) is OrderStatus.SUBMITTED


def test_an_order_that_is_about_to_be_sent_is_left_alone(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    report = run(ledger, broker)
    assert report.unresolved == (AAPL,)
    assert status(ledger) is OrderStatus.SUBMITTING


def test_a_cancellation_at_the_broker_is_taken_over(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    broker.end(AAPL)
    assert run(ledger, broker).is_clean
    assert status(ledger) is OrderStatus.CANCELLED


def test_manual_orders_are_listed_and_their_fills_counted(ledger, broker):
    broker.place_by_hand(OrderRequest("", "MSFT", "BUY", Decimal(5)))
    broker.place_by_hand(OrderRequest("by.hand", "IBM", "SELL", Decimal(5)))
    broker.fill("by.hand")
    report = run(ledger, broker)
    assert report.is_clean
    assert [order.symbol for order in report.foreign_orders] == ["MSFT"]
    assert [execution.client_order_id for execution in report.foreign_executions] == ["by.hand"]
    assert ledger.positions_from_fills(ACCOUNT) == {"IBM": Decimal(-5)}


def test_a_position_that_fills_do_not_explain_is_reported(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    broker.fill(AAPL)
    broker.transfer("AAPL", "-3")
    report = run(ledger, broker)
    assert report.problems == ("position AAPL: 10 by the ledger's fills, 7 at the broker",)


def test_an_order_that_the_broker_has_lost_is_reported(ledger, broker, tmp_path):
    record(ledger)
    submit(ledger, broker)
    report = run(ledger, RecordingBroker(tmp_path / "other-books"))
    assert report.missing == (AAPL,)
    assert status(ledger) is OrderStatus.SUBMITTED


def test_two_orders_under_one_reference_are_reported(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    broker.place_by_hand(make_intent().request)
    report = run(ledger, broker)
    assert report.duplicates == {AAPL: (7001, 7002)}
    assert "2 times, as 7001, 7002" in report.problems[0]


def test_an_order_the_ledger_holds_as_ended_and_the_broker_as_live_is_a_contradiction(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    ledger.move(ACCOUNT, AAPL, OrderStatus.CANCELLED, at=NOW, run_id=RUN, message="a phantom")
    assert run(ledger, broker).contradictions == (f"order {AAPL}: cancelled by the ledger, Submitted at the broker",)
    broker.fill(AAPL)
    assert run(ledger, broker).is_clean
    assert status(ledger) is OrderStatus.FILLED


def test_a_fill_between_two_questions_is_no_difference(ledger, broker):
    class Racing(RecordingBroker):
        def positions(self):
            if AAPL in self.placed and not self._lines("fill"):
                self.fill(AAPL)
            return super().positions()

    record(ledger)
    submit(ledger, broker)
    report = run(ledger, Racing(broker._books))
    assert report.is_clean
    assert report.new_fills == 1
    assert report.updated == (AAPL,)


def test_a_broker_that_does_not_answer_is_not_an_empty_one(ledger, broker):
    record(ledger)
    submit(ledger, broker)
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        run(ledger, broker)
    assert status(ledger) is OrderStatus.SUBMITTED


def test_another_account_is_never_reconciled(ledger, books):
    with pytest.raises(AccountMismatchError):
        run(ledger, RecordingBroker(books, account="DU9"))


def test_executions_alone_are_enough(ledger, broker):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)
    assert status(ledger) is OrderStatus.FILLED


quantities = st.dictionaries(st.sampled_from("ABCD"), st.integers(-5, 5).map(Decimal), max_size=4)


@given(quantities, quantities)
def test_positions_agree_exactly_where_they_are_equal(ours, theirs):
    differences = position_differences(ours, theirs)
    for symbol in "ABCD":
        is_equal = ours.get(symbol, 0) == theirs.get(symbol, 0)
        assert is_equal == (symbol not in {difference.symbol for difference in differences})
    assert [d.symbol for d in position_differences(theirs, ours)] == [d.symbol for d in differences]
