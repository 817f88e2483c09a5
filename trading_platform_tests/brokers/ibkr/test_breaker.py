"""A sick gateway is left alone, by every process, and tried by one request at a time."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.brokers.base import (
    AccountMismatchError,
    BrokerConnectionError,
    BrokerTimeoutError,
    ClientIdInUseError,
    GatewaySickError,
    NoDataError,
    PacingError,
    UnknownInstrumentError,
)
from trading_platform.brokers.ibkr.breaker import BreakerPolicy, CircuitBreaker, admitted, watched
from trading_platform.brokers.ibkr.shared_state import SharedState

POLICY = BreakerPolicy(failures=3, probe_seconds=30, forget_seconds=900)


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def circuit(path: Path, time: Time) -> CircuitBreaker:
    return CircuitBreaker(
        SharedState(path), "the gateway at here:4002", POLICY, longest_seconds=80, now=time, sleep=time.sleep
    )


@pytest.fixture
def gateway(tmp_path: Path, time: Time) -> CircuitBreaker:
    return circuit(tmp_path / "gateway.json", time)


def fail(breaker: CircuitBreaker, time: Time, times: int = 1) -> None:
    for _ in range(times):
        time.now += 1
        breaker.failed(BrokerConnectionError("nothing answers"))


def open_it(breaker: CircuitBreaker, time: Time) -> None:
    fail(breaker, time, POLICY.failures)
    assert breaker.is_open


def test_it_stays_closed_until_enough_failed_in_a_row(gateway: CircuitBreaker, time: Time) -> None:
    fail(gateway, time, 2)
    gateway.succeeded()
    fail(gateway, time, 2)
    assert not gateway.admit()
    assert gateway.trouble() is None
    fail(gateway, time)
    assert gateway.is_open


def test_an_open_circuit_says_since_when_and_when_the_next_attempt_is_allowed(
    gateway: CircuitBreaker, time: Time
) -> None:
    open_it(gateway, time)
    time.now += 12
    with pytest.raises(GatewaySickError) as caught:
        gateway.admit()
    assert (caught.value.since_seconds, caught.value.retry_after_seconds) == (12, 18)
    said = str(caught.value)
    assert "the gateway at here:4002 failed 3 times in a row" in said
    assert "for 12 s nothing is asked of it" in said
    assert "the next attempt is allowed in 18 s" in said
    assert "nothing answers" in said
    assert gateway.trouble() == said


def test_when_the_time_has_come_one_request_goes_and_the_others_wait_for_its_answer(
    gateway: CircuitBreaker, time: Time
) -> None:
    open_it(gateway, time)
    time.now += 30
    assert gateway.admit()
    with pytest.raises(GatewaySickError):
        gateway.admit()
    assert time.now == pytest.approx(1000 + 3 + 30 + POLICY.patience_seconds, abs=0.1)
    gateway.succeeded()
    assert not gateway.admit()


def test_who_waits_for_the_probe_goes_when_it_is_answered(tmp_path: Path, time: Time) -> None:
    def answer(seconds: float) -> None:
        time.now += seconds
        probing.succeeded()

    probing = circuit(tmp_path / "gateway.json", time)
    waiting = CircuitBreaker(
        SharedState(tmp_path / "gateway.json"), "it", POLICY, longest_seconds=80, now=time, sleep=answer
    )
    open_it(probing, time)
    time.now += 30
    assert probing.admit()
    assert not waiting.admit()


def test_a_probe_that_fails_keeps_it_open_for_another_while(gateway: CircuitBreaker, time: Time) -> None:
    open_it(gateway, time)
    time.now += 30
    assert gateway.admit()
    fail(gateway, time)
    time.now += 29
    with pytest.raises(GatewaySickError):
        gateway.admit()
    time.now += 1
    assert gateway.admit()


def test_the_probe_of_a_process_that_died_is_forgotten_in_time(gateway: CircuitBreaker, time: Time) -> None:
    open_it(gateway, time)
    time.now += 30
    assert gateway.admit()
    time.now += 70
    with pytest.raises(GatewaySickError):
        gateway.admit()
    time.now += 10
    assert gateway.admit()


def test_a_probe_that_was_never_sent_leaves_its_turn_to_the_next(gateway: CircuitBreaker, time: Time) -> None:
    open_it(gateway, time)
    time.now += 30

    def change_ones_mind() -> None:
        with admitted(gateway):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_ones_mind()
    assert gateway.admit()


def test_of_many_threads_one_is_the_probe(gateway: CircuitBreaker, time: Time) -> None:
    open_it(gateway, time)
    time.now += 30
    probes, refused, gate = list[bool](), list[GatewaySickError](), threading.Barrier(16)

    def ask() -> None:
        gate.wait()
        try:
            probes.append(gateway.admit())
        except GatewaySickError as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (probes, len(refused)) == ([True], 15)


def test_the_next_process_finds_it_as_it_was(gateway: CircuitBreaker, tmp_path: Path, time: Time) -> None:
    open_it(gateway, time)
    with pytest.raises(GatewaySickError):
        circuit(tmp_path / "gateway.json", time).admit()


def test_failures_of_long_ago_are_not_in_a_row_with_todays(gateway: CircuitBreaker, time: Time) -> None:
    fail(gateway, time, 2)
    time.now += 900
    fail(gateway, time)
    assert not gateway.is_open


def test_what_failed_before_the_machine_started_anew_is_forgotten(gateway: CircuitBreaker, time: Time) -> None:
    open_it(gateway, time)
    time.now = 5
    assert not gateway.admit()


def test_threads_that_lose_one_gateway_lose_it_once(gateway: CircuitBreaker) -> None:
    for _ in range(8):
        gateway.failed(BrokerConnectionError("lost"))
    assert not gateway.is_open


def run(breakers: tuple[CircuitBreaker, ...], error: Exception | None, subject: str | None = None) -> None:
    with suppress(Exception), watched(*breakers, subject=subject):
        if error is not None:
            raise error


def test_one_bad_symbol_does_not_open_the_circuit_of_history_and_several_do(
    gateway: CircuitBreaker, tmp_path: Path, time: Time
) -> None:
    history = circuit(tmp_path / "history.json", time)
    for _ in range(10):
        time.now += 5
        run((gateway, history), BrokerTimeoutError("no answer"), "FB")
    assert not history.is_open
    for symbol in ("AAPL", "MSFT"):
        run((gateway, history), BrokerTimeoutError("no answer"), symbol)
    assert history.is_open
    assert not gateway.is_open


def test_a_gateway_that_is_gone_is_no_failure_of_its_history(
    gateway: CircuitBreaker, tmp_path: Path, time: Time
) -> None:
    history = circuit(tmp_path / "history.json", time)
    for symbol in ("AAPL", "MSFT", "IBM"):
        time.now += 1
        run((gateway, history), BrokerConnectionError("gone"), symbol)
    assert gateway.is_open
    assert not history.is_open


@pytest.mark.parametrize("error", [NoDataError("none"), UnknownInstrumentError("who?"), PacingError("slower"), None])
def test_an_answer_closes_it_also_one_that_says_no(
    gateway: CircuitBreaker, time: Time, error: Exception | None
) -> None:
    open_it(gateway, time)
    run((gateway,), error)
    assert not gateway.is_open


@pytest.mark.parametrize(
    "error", [AccountMismatchError("whose?"), ClientIdInUseError("mine"), ValueError("a bug of ours")]
)
def test_what_says_nothing_about_the_gateway_changes_nothing(
    gateway: CircuitBreaker, time: Time, error: Exception
) -> None:
    fail(gateway, time, 2)
    run((gateway,), error)
    fail(gateway, time)
    assert gateway.is_open


def test_a_circuit_that_refuses_takes_no_probe_from_another(
    gateway: CircuitBreaker, tmp_path: Path, time: Time
) -> None:
    history = circuit(tmp_path / "history.json", time)
    open_it(history, time)
    time.now += 29
    open_it(gateway, time)
    with pytest.raises(GatewaySickError, match="here:4002"), admitted(history, gateway):
        pass
    assert history.admit()


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.sampled_from(["ask", "fail", "answer", "wait 1", "wait 30", "wait 80"]), max_size=40))
def test_an_open_circuit_never_lets_two_through_within_the_interval(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    time = Time()
    breaker = circuit(tmp_path_factory.mktemp("law") / "circuit.json", time)
    probed_at: float | None = None
    refusals: list[float] = []
    for step in steps:
        if step.startswith("wait"):
            time.now += float(step.split()[1])
        elif step == "fail":
            breaker.failed(BrokerTimeoutError("no answer"))
        elif step == "answer":
            breaker.succeeded()
            probed_at = None
        else:
            try:
                is_probe = breaker.admit()
            except GatewaySickError as error:
                refusals.append(error.retry_after_seconds)
            else:
                assert is_probe is breaker.is_open
                assert not is_probe or probed_at is None or time.now - probed_at >= POLICY.probe_seconds
                probed_at = time.now if is_probe else None
    assert all(0 < seconds <= 80 for seconds in refusals)
