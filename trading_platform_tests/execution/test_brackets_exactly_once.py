"""Brackets when the run dies: after the next run the broker has all of it once, or nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.domain.orders.model import OrderIntent, OrderStatus
from trading_platform.storage.ledger import Ledger, TickRecord
from trading_platform_tests.execution.conftest import submit
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, RUN, approve, make_intent, make_tick, reject

forked = multiprocessing.get_context("fork")
POINTS = (
    "before the start",
    "after the start",
    "before the send",
    "after the send",
    "after the first acknowledgement",
    "after the last acknowledgement",
)


def legs() -> list[OrderIntent]:
    entry = make_intent()
    name = entry.client_order_id
    sale = replace(entry.request, side="SELL", parent_id=name, oca_group=name, time_in_force="GTC")
    target = replace(sale, client_order_id=f"{name}t", order_type="LMT", limit_price=Decimal(180))
    stop = replace(sale, client_order_id=f"{name}s", order_type="STP", stop_price=Decimal(160))
    return [entry, replace(entry, request=target), replace(entry, request=stop)]


NAMES = sorted(leg.client_order_id for leg in legs())


def record_bracket(ledger: Ledger) -> TickRecord:
    return ledger.record_tick(make_tick(), [(leg, approve(leg)) for leg in legs()])


class DyingLedger(Ledger):
    def __init__(self, url: str, point: str) -> None:
        super().__init__(url)
        self.point = point
        self.acknowledged = 0

    def at(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def begin_submission(self, account: str, client_order_id: str, **options):
        self.at("before the start")
        result = super().begin_submission(account, client_order_id, **options)
        self.at("after the start")
        return result

    def record_broker_order(self, account: str, broker_order, **options):
        result = super().record_broker_order(account, broker_order, **options)
        self.acknowledged += 1
        self.at({1: "after the first acknowledgement", 3: "after the last acknowledgement"}.get(self.acknowledged, ""))
        return result


def run_and_die(url: str, books: Path, point: str) -> None:
    ledger = DyingLedger(url, point)
    broker = RecordingBroker(
        books,
        before_send=lambda _: ledger.at("before the send"),
        after_send=lambda _: ledger.at("after the send"),
    )
    submit(ledger, broker)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_leaves_the_whole_bracket_or_nothing_and_the_next_one_finishes_it(
    ledger, ledger_url, broker, books, point
) -> None:
    record_bracket(ledger)
    process = forked.Process(target=run_and_die, args=(ledger_url, books, point))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert sorted(broker.placed) in ([], NAMES)
    submit(ledger, broker)
    assert sorted(broker.placed) == NAMES
    assert submit(ledger, broker).new_orders == 0
    assert sorted(broker.placed) == NAMES
    assert {order.status for order in ledger.orders(ACCOUNT)} == {OrderStatus.SUBMITTED}


def test_a_bracket_starts_in_one_transaction_or_not_at_all(ledger, broker) -> None:
    record_bracket(ledger)
    entry, target, stop = legs()
    with ledger.submission_lease(ACCOUNT, holder="test", now=lambda: NOW, wait_seconds=1) as lease:
        started = ledger.begin_submission(
            ACCOUNT,
            entry.client_order_id,
            decision=approve(entry),
            exits=[approve(target), reject(stop)],
            token=lease.token,
            holder="test",
            at=NOW,
            run_id=RUN,
        )
    assert started.name == "NOT_APPROVED"
    assert {order.status for order in ledger.orders(ACCOUNT)} == {OrderStatus.APPROVED}


def test_a_leg_that_risk_refuses_at_submission_keeps_all_of_them_back(ledger, broker) -> None:
    record_bracket(ledger)
    report = submit(ledger, broker, guard=lambda i: reject(i) if i.client_order_id.endswith("s") else approve(i))
    assert [outcome.outcome for outcome in report.outcomes] == ["refused"] * 3
    assert broker.placed == []


def test_a_bracket_of_which_the_broker_has_only_a_part_is_never_completed_blindly(ledger, broker) -> None:
    record_bracket(ledger)
    broker.place_by_hand(legs()[0].request)
    report = submit(ledger, broker)
    assert {outcome.outcome for outcome in report.outcomes} == {"already_placed", "not_sent"}
    assert len(broker.placed) == 1


def test_a_bracket_comes_back_from_the_ledger_as_it_went_in(ledger) -> None:
    record_bracket(ledger)
    stored = {order.client_order_id: order.intent for order in ledger.orders(ACCOUNT)}
    assert stored == {leg.client_order_id: leg for leg in legs()}
