"""Drives a real API client against a real gateway over a real socket.

The line that imports ``ib`` decides which client: ``ib_insync``, or the one that the environment variable
``TRADING_PLATFORM_TEST_IB_CLIENT`` names. To run every client test against ``ib_async``, which can't be
installed beside ``ib_insync`` (both bring a package ``eventkit``), use an environment of its own::

    python -m venv /some/where && /some/where/bin/pip install -e '.[dev]'
    /some/where/bin/pip uninstall -y eventkit && /some/where/bin/pip install ib_async==2.1.0
    TRADING_PLATFORM_TEST_IB_CLIENT=ib_async /some/where/bin/pytest trading_platform_tests/paper_gateway

The client runs as it must: on one daemon thread with one loop, imported there, through its async API only.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.server import PaperGateway

CLIENT = os.environ.get("TRADING_PLATFORM_TEST_IB_CLIENT", "ib_insync")
UTC = timezone.utc
AFTERNOON = datetime(2013, 2, 28, 20, 45, tzinfo=UTC)
"""15:45 in New York, in the last week of the bundled data: a session is open and real bars are behind it."""

_WAIT_SECONDS = 10.0


class ClientThread:
    """The daemon thread that owns the client's loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._main, name="api-client", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the client's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_WAIT_SECONDS + 5)

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


THREAD = ClientThread()


async def _import() -> Any:
    return importlib.import_module(CLIENT)


ib = THREAD.run(_import())


class Error(NamedTuple):
    """One error message as the client's ``errorEvent`` told it."""

    request_id: int
    code: int
    text: str


class Desk:
    """One API client of a gateway under test, used from the test's thread."""

    def __init__(self, gateway: PaperGateway, clock: ManualClock, client_id: int = 7) -> None:
        self.gateway = gateway
        self.clock = clock
        self.client_id = client_id
        self.errors: list[Error] = []
        self.ib: Any = None

    def connect(self, timeout: float = 4.0) -> Desk:
        """Connect with a fresh client object, as a reconnect must."""

        async def connect() -> None:
            self.ib = ib.IB()
            self.ib.errorEvent += lambda request, code, text, *_: self.errors.append(Error(request, code, text))
            await self.ib.connectAsync("127.0.0.1", self.gateway.port, clientId=self.client_id, timeout=timeout)

        THREAD.run(connect())
        return self

    def disconnect(self) -> None:
        """End the connection from the client's side, and wait until the gateway noticed."""
        self.do(lambda client: client.disconnect())
        self.until(lambda: self.client_id not in self.gateway.hub.sessions)

    def ask(self, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """Send a request of the async API and wait for its answer."""

        async def ask() -> Any:
            return await asyncio.wait_for(request(self.ib), _WAIT_SECONDS)

        return THREAD.run(ask())

    def do(self, action: Callable[[Any], Any]) -> Any:
        """Call something synchronous of the client on its loop."""

        async def do() -> Any:
            return action(self.ib)

        return THREAD.run(do())

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until ``condition`` is true and return its value."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, "the client or the gateway did not get there in time"
            time.sleep(0.002)
        return value

    def settle(self) -> None:
        """Wait until the client has everything the gateway has sent so far."""
        self.ask(lambda client: client.reqCurrentTimeAsync())

    def advance(self, **by: float) -> None:
        """Move the clock and let the gateway act on it, after everything sent so far has had its effect."""
        self.settle()
        self.clock.advance(timedelta(**by))
        self.gateway.step_now()
        self.settle()

    def stock(self, symbol: str = "AAPL") -> Any:
        """A fully described stock."""
        (contract,) = self.ask(lambda client: client.qualifyContractsAsync(ib.Stock(symbol, "SMART", "USD")))
        return contract

    def place(self, contract: Any, order: Any) -> Any:
        """Place or modify an order and wait until the gateway has dealt with it; the time in force defaults to DAY."""
        order.tif = order.tif or "DAY"
        trade = self.do(lambda client: client.placeOrder(contract, order))
        self.settle()
        return trade

    def cancel(self, trade: Any) -> None:
        """Cancel an order and wait until the gateway has dealt with it."""
        self.do(lambda client: client.cancelOrder(trade.order))
        self.settle()

    def codes(self, request_id: int | None = None) -> list[int]:
        """The codes of the errors so far (of one request), without the good news about data farms."""
        return [
            error.code
            for error in self.errors
            if not 2100 <= error.code < 2200 and request_id in (None, error.request_id)
        ]
