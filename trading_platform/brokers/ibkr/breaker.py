"""A circuit breaker: a gateway that failed again and again is left alone, and tried by one request at a time.

Its state is shared by all processes that use the gateway. Runs are short processes: each would otherwise meet a sick
gateway with a full budget of retries, every minute.

What it may refuse is only what can wait: bars, contract details, quotes. Reads of the account lose their repetitions
while the circuit is open and are still asked; placing, cancelling and the global cancel don't know it (see ``client``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from trading_platform.brokers.base import (
    AccountMismatchError,
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    ClientIdInUseError,
    GatewaySickError,
    ReadOnlyError,
)
from trading_platform.brokers.ibkr.shared_state import SharedState

_LOOK_AGAIN_SECONDS = 0.05
_log = logging.getLogger(__name__)
_OURS = (GatewaySickError, ClientIdInUseError, AccountMismatchError, ReadOnlyError)
"""Errors that say nothing about the gateway's health."""


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens, and how often it is tried. Durations are seconds.

    ``failures`` in a row open it, with less than ``forget_seconds`` between one and the next; then one request is let
    through every ``probe_seconds``, until one is answered, and the others wait for its answer for ``patience_seconds``.
    What fails within the same ``together_seconds`` is one failure, unless it is told apart by its subject: threads that
    lose one gateway lose it together.
    """

    failures: int = 5
    probe_seconds: float = 30.0
    patience_seconds: float = 5.0
    forget_seconds: float = 900.0
    together_seconds: float = 1.0


class CircuitBreaker:
    """One circuit: closed (all may go), open (none), half open (one, which decides).

    Args:
        state: shared by all who use the circuit.
        name: what it leads to, for messages: "the gateway at 127.0.0.1:4002".
        longest_seconds: after which a request that was let through as a probe counts as lost.
        now: seconds of a clock that only goes forward and that all processes share.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        state: SharedState,
        name: str,
        policy: BreakerPolicy,
        *,
        longest_seconds: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state = state
        self._name = name
        self._policy = policy
        self._longest_seconds = longest_seconds
        self._now = now
        self._sleep = sleep

    @property
    def is_open(self) -> bool:
        """Whether it is open or half open."""
        return self._record(self._now()).opened is not None

    def trouble(self) -> str | None:
        """Why requests are refused, in a sentence; None while the circuit is closed."""
        now = self._now()
        record = self._record(now)
        return None if record.opened is None else self._sentence(record, record.opened, now)

    def admit(self) -> bool:
        """Let one request through. True if it goes as the probe of an open circuit.

        While somebody else is the probe, its answer is waited for a little: the first run after a recovery should not
        fail for all its threads but one.

        Raises:
            GatewaySickError: the circuit is open, and the next probe is not due, or does not answer.
        """
        if not self.is_open:
            return False
        until = self._now() + self._policy.patience_seconds
        while True:
            verdict = self._ask_to_be_the_probe()
            if verdict.refusal is None:
                return verdict.is_probe
            if not verdict.is_being_tried or self._now() >= until:
                raise verdict.refusal
            self._sleep(_LOOK_AGAIN_SECONDS)

    def _ask_to_be_the_probe(self) -> _Verdict:
        with _best_effort(), self._state.changing() as state:
            now = self._now()
            record = _Record.of(state, now, self._policy)
            if record.opened is None:
                return _Verdict(is_probe=False)
            wait = record.next_probe(self._policy) - now
            if wait > 0:
                refusal = GatewaySickError(
                    self._sentence(record, record.opened, now),
                    since_seconds=now - record.opened,
                    retry_after_seconds=wait,
                )
                return _Verdict(is_probe=False, refusal=refusal, is_being_tried=record.probe_until is not None)
            record.probe_until = now + self._longest_seconds
            record.keep(state)
        return _Verdict(is_probe=True)

    def end_probe(self) -> None:
        """Let somebody else be the probe, unless this one has decided already."""
        with _best_effort(), self._state.changing() as state:
            record = _Record.of(state, self._now(), self._policy)
            if record.opened is not None:
                record.probe_until = None
                record.keep(state)

    def succeeded(self) -> None:
        """Close the circuit, and forget earlier failures: something was answered."""
        with _best_effort():
            if self._state.read():
                with self._state.changing() as state:
                    state.clear()

    def failed(self, error: BaseException, subject: str | None = None) -> None:
        """Count a failure. Several of the same ``subject`` count once; without one, those of about the same time do."""
        with _best_effort(), self._state.changing() as state:
            now = self._now()
            record = _Record.of(state, now, self._policy)
            named = f"at {now // self._policy.together_seconds:.0f}" if subject is None else subject
            if named not in record.subjects:
                record.subjects.append(named)
            record.last_failure, record.last_error, record.probe_until = now, str(error), None
            if record.opened is None and len(record.subjects) >= self._policy.failures:
                record.opened = now
            record.keep(state)

    def _record(self, now: float) -> _Record:
        state: dict[str, Any] = {}
        with _best_effort():
            state = self._state.read()
        return _Record.of(state, now, self._policy)

    def _sentence(self, record: _Record, opened: float, now: float) -> str:
        wait = max(0.0, record.next_probe(self._policy) - now)
        return (
            f"{self._name} failed {self._policy.failures} times in a row: for {now - opened:.0f} s nothing is asked of "
            f"it, and the next attempt is allowed in {wait:.0f} s. "
            f"Its last error, {now - record.last_failure:.0f} s ago: {record.last_error}"
        )


@contextmanager
def admitted(*circuits: CircuitBreaker) -> Iterator[None]:
    """Run the block only if all circuits let it through.

    Raises:
        GatewaySickError: one of them does not.
    """
    with ExitStack() as probes:
        for circuit in circuits:
            if circuit.admit():
                probes.callback(circuit.end_probe)
        yield


@contextmanager
def watched(gateway: CircuitBreaker, *others: CircuitBreaker, subject: str | None = None) -> Iterator[None]:
    """Tell the circuits how the block went.

    An answer closes all of them, also one that says no. A connection that is refused or lost is the gateway's failure.
    So is a time-out, unless ``others`` are named: then it is theirs, about ``subject``.
    """
    try:
        yield
    except _OURS:
        raise
    except BrokerConnectionError as error:
        gateway.failed(error)
        raise
    except BrokerTimeoutError as error:
        for circuit in others or (gateway,):
            circuit.failed(error, subject)
        raise
    except BrokerError:
        _close(gateway, *others)
        raise
    _close(gateway, *others)


@contextmanager
def _best_effort() -> Iterator[None]:
    """A disk that is full must not keep anybody from cancelling orders: then there is no breaker."""
    try:
        yield
    except OSError as error:
        _log.warning("the state of the circuit breaker can't be read or kept: %s", error)


def _close(*circuits: CircuitBreaker) -> None:
    for circuit in circuits:
        circuit.succeeded()


class _Verdict(NamedTuple):
    """Whether a request goes as the probe, or why it must not; ``is_being_tried``: since another one is the probe."""

    is_probe: bool
    refusal: GatewaySickError | None = None
    is_being_tried: bool = False


@dataclass
class _Record:
    """What the state holds, without what is too old to count."""

    subjects: list[str] = field(default_factory=list)
    last_failure: float = 0.0
    last_error: str = ""
    opened: float | None = None
    probe_until: float | None = None

    @classmethod
    def of(cls, state: Mapping[str, Any], now: float, policy: BreakerPolicy) -> _Record:
        known = {one.name for one in fields(cls)}
        record = cls(**{name: value for name, value in state.items() if name in known})
        if record.last_failure > now:
            return cls()  # from before the machine started
        is_recent = record.opened is not None or now - record.last_failure < policy.forget_seconds
        return record if is_recent else cls()

    def next_probe(self, policy: BreakerPolicy) -> float:
        due = self.last_failure + policy.probe_seconds
        return due if self.probe_until is None else max(due, self.probe_until)

    def keep(self, state: dict[str, Any]) -> None:
        state.clear()
        state.update(vars(self))
