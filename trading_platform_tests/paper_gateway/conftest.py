"""Fixtures for tests of the paper gateway's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.server import GatewayConfig, PaperGateway
from trading_platform_tests.paper_gateway.client_kit import AFTERNOON, Desk

GatewayFactory = Callable[..., PaperGateway]
DeskFactory = Callable[..., Desk]


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at a quarter to four in New York."""
    return ManualClock(AFTERNOON)


@pytest.fixture
def make_gateway(clock: ManualClock) -> Iterator[GatewayFactory]:
    """``make_gateway(**config)`` starts a gateway on a free port; it is stopped after the test."""
    with ExitStack() as stack:

        def make(**config: Any) -> PaperGateway:
            gateway = PaperGateway(GatewayConfig(**{"port": 0} | config), clock.now)
            gateway.start_in_thread()
            stack.callback(gateway.stop_in_thread)
            return gateway

        yield make


@pytest.fixture
def gateway(make_gateway: GatewayFactory) -> PaperGateway:
    """A gateway with the bundled data and a fresh account in memory. Pacing is off: tests are quick."""
    return make_gateway(pacing_enabled=False)


@pytest.fixture
def make_desk(clock: ManualClock) -> Iterator[DeskFactory]:
    """``make_desk(gateway, client_id)`` connects a real client; it is disconnected after the test."""
    desks: list[Desk] = []

    def make(gateway: PaperGateway, client_id: int = 7) -> Desk:
        desk = Desk(gateway, clock, client_id)
        desks.append(desk)
        return desk.connect()

    yield make
    for desk in desks:
        desk.do(lambda client: client.disconnect())


@pytest.fixture
def desk(gateway: PaperGateway, make_desk: DeskFactory) -> Desk:
    """One client with id 7, connected to ``gateway``."""
    return make_desk(gateway)
