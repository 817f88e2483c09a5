"""Retries for reads: exponential back-off with jitter. Orders must never pass through here."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, before_sleep_log, retry_if_exception, stop_after_attempt

from trading_platform.brokers.base import (
    BrokerConnectionError,
    BrokerTimeoutError,
    GatewaySickError,
    NotAGatewayError,
    PacingError,
)

T = TypeVar("T")
_log = logging.getLogger(__name__)
_RETRIED = (PacingError, BrokerTimeoutError, BrokerConnectionError)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a read is repeated. Durations are seconds."""

    attempts: int
    first_wait: float
    first_pacing_wait: float
    longest_wait: float

    def longest_wait_after(self, attempt: int, error: BaseException | None) -> float:
        """Upper bound of the wait after the failed attempt number ``attempt`` (1, 2, …)."""
        first = self.first_pacing_wait if isinstance(error, PacingError) else self.first_wait
        return float(min(first * 2 ** (attempt - 1), self.longest_wait))


def retrying(read: Callable[[], T], policy: RetryPolicy, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call ``read`` until it answers, waiting longer and longer after pacing, time-outs and lost connections.

    The wait is drawn evenly between half of its bound and its bound, so that clients which failed together do
    not come back together. The last error is raised as it is. What listens but is no gateway is not asked again, nor
    is a gateway that the circuit breaker keeps us away from.
    """
    attempts = Retrying(
        retry=retry_if_exception(_is_worth_another_try),
        stop=stop_after_attempt(policy.attempts),
        wait=lambda state: _wait(state, policy),
        sleep=sleep,
        before_sleep=before_sleep_log(_log, logging.INFO),
        reraise=True,
    )
    return attempts(read)


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, _RETRIED) and not isinstance(error, (NotAGatewayError, GatewaySickError))


def _wait(state: RetryCallState, policy: RetryPolicy) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    bound = policy.longest_wait_after(state.attempt_number, error)
    return random.uniform(bound / 2, bound)
