"""Exactly once: runs at the same time, and runs that die at every named point."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.closing import IN_FLIGHT_SECONDS
from trading_platform.execution.holder import holder_name, is_proved_dead
from trading_platform.execution.report import SubmissionReport
from trading_platform.storage.ledger import LeaseHeldError, LeaseLostError, Ledger, Tick, TickRecord
from trading_platform_tests.execution.conftest import submit
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, RUN, make_intent, make_tick, record
from trading_platform_tests.storage.ledger.faults import cut_lease_connections

SYMBOLS = ("AAPL", "IBM", "MSFT")
NAMES = [make_intent(symbol).client_order_id for symbol in SYMBOLS]
forked = multiprocessing.get_context("fork")

Crash = Callable[[], None]
CRASH_POINTS = (
    "before the tick is recorded",
    "after the tick is recorded",
    "before persist",
    "after persist",
    "before send",
    "after send, before acknowledgement",
    "after acknowledgement, before commit",
    "after commit",
)


class SimulatedCrashError(BaseException):
    """The run is over, and no ``except Exception`` may save it."""


def crash_by_exception() -> None:
    raise SimulatedCrashError


def crash_by_kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_by_exit() -> None:
    os._exit(7)


class CrashingLedger(Ledger):
    """A ledger that crashes the run at a named point of the second order."""

    def __init__(self, url: str, point: str, crash: Crash) -> None:
        super().__init__(url)
        self.point = point
        self.crash = crash

    def at(self, point: str, client_order_id: str = NAMES[1]) -> None:
        if point == self.point and client_order_id == NAMES[1]:
            self.crash()

    def record_tick(self, tick: Tick, intents) -> TickRecord:
        self.at("before the tick is recorded")
        result = super().record_tick(tick, intents)
        self.at("after the tick is recorded")
        return result

    def begin_submission(self, account: str, client_order_id: str, **options):
        self.at("before persist", client_order_id)
        result = super().begin_submission(account, client_order_id, **options)
        self.at("after persist", client_order_id)
        return result

    def record_broker_order(self, account: str, broker_order, **options):
        self.at("after acknowledgement, before commit", broker_order.client_order_id)
        result = super().record_broker_order(account, broker_order, **options)
        self.at("after commit", broker_order.client_order_id)
        return result


def decide_and_submit(url: str, books: Path, point: str, crash: Crash, *, fills: bool) -> None:
    """One run of the tick that crashes at ``point``."""
    ledger = CrashingLedger(url, point, crash)
    broker = RecordingBroker(
        books,
        fills=fills,
        before_send=lambda name: ledger.at("before send", name),
        after_send=lambda name: ledger.at("after send, before acknowledgement", name),
    )
    try:
        record(ledger, SYMBOLS)
        submit(ledger, broker)
    finally:
        ledger.close()


def rerun_and_check(ledger: Ledger, broker: RecordingBroker, *, can_stay_unknown: bool = False) -> None:
    record(ledger, SYMBOLS, make_tick(run_id="run-2"))
    first = submit(ledger, broker)
    again = submit(ledger, broker)
    assert again.new_orders == 0
    unknown = {outcome.client_order_id for outcome in first.of("unknown")}
    assert not unknown or can_stay_unknown
    assert sorted(broker.placed) == sorted(set(NAMES) - unknown)
    assert {o.client_order_id for o in ledger.orders(ACCOUNT) if o.perm_id} == set(broker.placed)


@pytest.mark.parametrize(
    ("crash", "fills"), [(crash_by_kill, False), (crash_by_exit, True)], ids=["killed-resting", "exited-filling"]
)
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_process_that_dies_anywhere_and_a_rerun_place_every_order_once(
    ledger, ledger_url, books, *, point, crash, fills
):
    process = forked.Process(target=decide_and_submit, args=(ledger_url, books, point, crash), kwargs={"fills": fills})
    process.start()
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 7)
    rerun_and_check(ledger, RecordingBroker(books, fills=fills))


def test_an_order_that_a_dead_run_may_have_left_on_its_way_to_another_machine_is_not_sent_again(
    ledger, ledger_url, books
):
    process = forked.Process(
        target=decide_and_submit, args=(ledger_url, books, "after persist", crash_by_kill), kwargs={"fills": False}
    )
    process.start()
    process.join()
    broker = RecordingBroker(books)
    report = submit(ledger, broker, in_flight_seconds=IN_FLIGHT_SECONDS)
    assert [outcome.client_order_id for outcome in report.of("unknown")] == [NAMES[1]]
    assert sorted(broker.placed) == sorted(set(NAMES) - {NAMES[1]})


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_run_that_raises_anywhere_and_a_rerun_place_every_order_at_most_once(ledger, ledger_url, books, point):
    with pytest.raises(SimulatedCrashError):
        decide_and_submit(ledger_url, books, point, crash_by_exception, fills=False)
    # Whoever raises inside the broker's call may or may not have sent: that order is left for reconciliation.
    rerun_and_check(ledger, RecordingBroker(books), can_stay_unknown=point == "before send")


def submit_quietly(url: str, books: Path, run_id: str) -> None:
    ledger = Ledger(url)
    try:
        record(ledger, SYMBOLS, make_tick(run_id=run_id))
        submit(ledger, RecordingBroker(books), run_id=run_id)
    finally:
        ledger.close()


def test_processes_that_submit_one_tick_at_once_place_every_order_once(ledger, ledger_url, books):
    processes = [forked.Process(target=submit_quietly, args=(ledger_url, books, f"run-{i}")) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert sorted(RecordingBroker(books).placed) == sorted(NAMES)
    assert {order.status for order in ledger.orders(ACCOUNT)} == {OrderStatus.SUBMITTED}


def test_threads_that_submit_one_tick_at_once_place_every_order_once(ledger, books):
    record(ledger, SYMBOLS)

    def run(number: int) -> int:
        try:
            return submit(ledger, RecordingBroker(books), run_id=f"run-{number}", lease_wait_seconds=10).new_orders
        except LeaseHeldError:
            return 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 3
    assert sorted(RecordingBroker(books).placed) == sorted(NAMES)


def test_a_holder_that_lost_its_lease_unnoticed_starts_nothing_more(ledger, ledger_url, books):
    """PostgreSQL was restarted under a run: its lock is gone, another run takes over, the first one goes on."""
    record(ledger, SYMBOLS)
    other = Ledger(ledger_url)
    reports: list[SubmissionReport] = []

    def take_over(name: str) -> None:
        if name != NAMES[0]:
            return
        cut_lease_connections(ledger_url)
        reports.append(submit(other, RecordingBroker(books), run_id="run-3"))

    with pytest.raises(LeaseLostError):
        submit(ledger, RecordingBroker(books, after_send=take_over))
    other.close()
    assert [o.outcome for o in reports[0].outcomes] == ["already_placed", "placed", "placed"]
    assert sorted(RecordingBroker(books).placed) == sorted(NAMES)


def test_a_living_process_is_not_proved_dead():
    assert not is_proved_dead(holder_name(RUN))


def test_a_process_that_ended_is_proved_dead():
    receiver, sender = forked.Pipe()
    process = forked.Process(target=lambda: sender.send(holder_name(RUN)))
    process.start()
    name = receiver.recv()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_proved_dead(name), "a zombie can send nothing"
    process.join()
    assert is_proved_dead(name)


@pytest.mark.parametrize(
    "name", ["", "somebody", "[]", '{"pid": 1}', holder_name("x").replace('"host": "', '"host": "z')]
)
def test_what_can_not_be_checked_is_not_proved_dead(name):
    assert not is_proved_dead(name)
