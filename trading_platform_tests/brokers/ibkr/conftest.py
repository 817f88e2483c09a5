"""Fixtures for the adapter's tests: brokers that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig

BrokerFactory = Callable[..., IBKRBroker]


@pytest.fixture
def make_broker() -> Iterator[BrokerFactory]:
    """``make_broker(port=…, …)``: an impatient broker; fields of ``IBKRConfig`` can be set."""
    brokers: list[IBKRBroker] = []

    def make(**fields: Any) -> IBKRBroker:
        patience: dict[str, Any] = {
            "connect_timeout_seconds": 1.0,
            "request_timeout_seconds": 1.0,
            "read_attempts": 1,
            "retry_wait_seconds": 0.01,
            "pacing_wait_seconds": 0.01,
            "commission_wait_seconds": 0.3,
        }
        broker = IBKRBroker(IBKRConfig(**{**patience, **fields}))
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        broker.close()
