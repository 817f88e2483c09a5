"""Reads repeat themselves; what does not get better by waiting is raised at once."""

from __future__ import annotations

import pytest

from trading_platform.brokers.base import (
    AccountMismatchError,
    AmbiguousOrderError,
    BrokerConnectionError,
    BrokerTimeoutError,
    GatewaySickError,
    NoDataError,
    NotAGatewayError,
    OrderRejectedError,
    PacingError,
)
from trading_platform.brokers.ibkr.retry import RetryPolicy, retrying

POLICY = RetryPolicy(attempts=4, first_wait=1.0, first_pacing_wait=10.0, longest_wait=30.0)


class Flaky:
    """Fails with each of the errors in turn, then answers 42."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 42


def test_an_answer_is_returned_without_waiting() -> None:
    waits: list[float] = []
    assert retrying(Flaky(), POLICY, waits.append) == 42
    assert waits == []


def test_waits_double_with_jitter_between_half_and_the_whole() -> None:
    waits: list[float] = []
    read = Flaky(BrokerTimeoutError("a"), BrokerConnectionError("b"), BrokerTimeoutError("c"))
    assert retrying(read, POLICY, waits.append) == 42
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, [1, 2, 4], strict=True))


def test_pacing_waits_longer_but_not_for_ever() -> None:
    assert POLICY.longest_wait_after(1, PacingError()) == 10
    assert POLICY.longest_wait_after(3, PacingError()) == 30


def test_the_last_error_is_raised_as_it_is() -> None:
    last = BrokerTimeoutError("the fourth")
    read = Flaky(*(BrokerTimeoutError("early") for _ in range(3)), last)
    with pytest.raises(BrokerTimeoutError) as caught:
        retrying(read, POLICY, lambda _: None)
    assert caught.value is last
    assert read.calls == 4


@pytest.mark.parametrize(
    "error",
    [
        NoDataError(),
        AccountMismatchError(),
        NotAGatewayError(),
        GatewaySickError("later", since_seconds=1, retry_after_seconds=2),
        AmbiguousOrderError(),
        OrderRejectedError("no", 201),
        ValueError(),
    ],
)
def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    read = Flaky(error)
    with pytest.raises(type(error)):
        retrying(read, POLICY, lambda _: None)
    assert read.calls == 1
