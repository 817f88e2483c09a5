"""Fixtures for the adapter's tests: brokers that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway

BrokerFactory = Callable[..., IBKRBroker]
MOMENT = datetime(2013, 2, 27, 15, 0, 30, tzinfo=timezone.utc)
"""Half an hour after the open of a session that the bundled real bars cover."""


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


@pytest.fixture(scope="module")
def running_gateway() -> Iterator[PaperGateway]:
    """A paper gateway whose time stands still at ``MOMENT``, for all tests of a module."""
    config = GatewayConfig(port=0, pacing_enabled=False, unsubscribed=frozenset({"IBM"}))
    gateway = PaperGateway(config, ManualClock(MOMENT).now).start_in_thread()
    yield gateway
    gateway.stop_in_thread()


@pytest.fixture
def paper_gateway(running_gateway: PaperGateway) -> Iterator[PaperGateway]:
    """The module's paper gateway, without the faults of earlier tests."""
    running_gateway.faults.clear()
    yield running_gateway
    running_gateway.faults.clear()


@pytest.fixture
def broker(paper_gateway: PaperGateway, make_broker: BrokerFactory) -> IBKRBroker:
    """An impatient broker at the module's paper gateway."""
    return make_broker(port=paper_gateway.port)
