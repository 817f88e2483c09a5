"""The paper gateway as a server: listening, ticking, stopping; in the caller's loop, in a thread, or for ever."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from typing import TypeVar

from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.faults import NOTICES, Broadcast, DropConnection, Faults, HalfClose
from trading_platform.paper_gateway.hub import Hub
from trading_platform.paper_gateway.market import Market, choose_anchor, load_market_data
from trading_platform.paper_gateway.matching import Venue
from trading_platform.paper_gateway.sessions import Session
from trading_platform.paper_gateway.store import Store

__all__ = ["Faults", "GatewayConfig", "GatewayError", "PaperGateway"]

log = logging.getLogger(__name__)

_THREAD_SECONDS = 60.0
_ANCHOR = "market_anchor"
Result = TypeVar("Result")


class GatewayError(Exception):
    """The paper gateway can't start or has stopped. The message says what to do."""


class PaperGateway:
    """A TWS-API server over a paper market and a paper account.

    ``now`` tells the gateway's time (tz-aware UTC). With a clock that stands still nothing happens by itself:
    move it, then call :meth:`step_now`.
    """

    def __init__(self, config: GatewayConfig, now: Callable[[], datetime], faults: Faults | None = None) -> None:
        self.config = config
        self.faults = faults or Faults()
        self._now = now
        self._hub: Hub | None = None
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._connections: dict[asyncio.Task[None], Session] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: Exception | None = None
        self._port = config.port

    @property
    def port(self) -> int:
        """The port the gateway listens on; the configured one before it started."""
        return self._port

    @property
    def hub(self) -> Hub:
        """Market, venue and sessions of the started gateway. Touch them through :meth:`call` from other threads.

        Raises:
            GatewayError: the gateway is not started.
        """
        if self._hub is None:
            msg = "the paper gateway is not started: call start() or start_in_thread()"
            raise GatewayError(msg)
        return self._hub

    async def start(self) -> None:
        """Listen and begin to tick, on the running loop.

        Raises:
            GatewayError: the port is taken, or can't be listened on.
            DatasetError: the market data can't be used.
            StoreError: the saved state can't be used.
        """
        hub = self._assemble()
        try:
            self._server = await asyncio.start_server(self._serve, self.config.host, self.config.port)
        except OSError as error:
            hub.venue.close()
            msg = (
                f"the paper gateway can't listen on {self.config.host}:{self.config.port} ({error.strerror}): "
                "stop the program that does, or choose another port (0 takes a free one)"
            )
            raise GatewayError(msg) from error
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._port = self._server.sockets[0].getsockname()[1]
        self._ticker = asyncio.create_task(self._tick(), name="paper-gateway-ticker")
        self.faults.bind(self._let_happen)
        log.info("paper gateway listens on %s:%s, account %s", self.config.host, self._port, hub.venue.account)

    async def stop(self) -> None:
        """End all connections, stop listening, and close the venue's state. Harmless when not started.

        Raises:
            GatewayError: the ticker had failed before; the cause is chained.
        """
        hub, self._hub = self._hub, None
        if hub is None or self._server is None or self._ticker is None:
            return
        self.faults.bind(None)
        self._server.close()
        self._ticker.cancel()
        failure = (await asyncio.gather(self._ticker, return_exceptions=True))[0]
        for session in list(self._connections.values()):
            session.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        hub.venue.close()
        log.info("paper gateway on port %s stopped", self._port)
        if isinstance(failure, Exception):
            msg = f"the paper gateway stopped because matching failed: {failure}"
            raise GatewayError(msg) from failure

    def start_in_thread(self) -> PaperGateway:
        """Start on a daemon thread with a loop of its own, and return when clients can connect.

        Raises:
            GatewayError: see :meth:`start`; also when it was started before.
        """
        if self._thread is not None:
            msg = "the paper gateway is started already"
            raise GatewayError(msg)
        failures: list[BaseException] = []
        is_ready = threading.Event()

        async def live() -> None:
            self._stopping = asyncio.Event()
            try:
                await self.start()
            except BaseException as error:
                failures.append(error)
                raise
            finally:
                is_ready.set()
            await self._stopping.wait()
            await self.stop()

        def main() -> None:
            try:
                asyncio.run(live())
            except Exception as error:  # noqa: BLE001 - handed to the thread that starts or stops the gateway
                self._failure = error

        self._failure = None
        self._thread = threading.Thread(target=main, name="paper-gateway", daemon=True)
        self._thread.start()
        if not is_ready.wait(_THREAD_SECONDS):
            msg = f"the paper gateway did not start within {_THREAD_SECONDS:.0f} s: look for a slow disk or large data"
            raise GatewayError(msg)
        if failures:
            self._thread.join(_THREAD_SECONDS)
            self._thread = None
            raise failures[0]
        return self

    def stop_in_thread(self) -> None:
        """Stop the gateway of :meth:`start_in_thread` and wait for its thread. Harmless when not started.

        Raises:
            GatewayError: see :meth:`stop`.
        """
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stopping is None:
            return
        with suppress(RuntimeError):  # the loop is closed: the gateway has ended by itself, and says why below
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_THREAD_SECONDS)
        if self._failure is not None:
            raise self._failure

    def serve_forever(self, ready: Callable[[int], None] | None = None) -> None:
        """Serve on the main thread until SIGTERM or SIGINT, then stop cleanly: every accepted order is on disk.

        Args:
            ready: called with the port once clients can connect.

        Raises:
            GatewayError: see :meth:`start` and :meth:`stop`.
        """
        asyncio.run(self._serve_until_signal(ready))

    def call(self, function: Callable[[], Result]) -> Result:
        """Run ``function`` on the gateway's loop and return what it returns. Thread-safe.

        Raises:
            GatewayError: the gateway is not started.
        """
        if self._loop is None or self._hub is None:
            msg = "the paper gateway is not started: call start() or start_in_thread()"
            raise GatewayError(msg)
        if self._is_on_loop():
            return function()

        async def run() -> Result:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_THREAD_SECONDS)

    def step_now(self) -> None:
        """Let orders meet the market as it is now, and refresh every subscription. Thread-safe."""
        self.call(lambda: self.hub.step(is_forced=True))

    def _assemble(self) -> Hub:
        config, start = self.config, self._now()
        data = load_market_data(config.data_dir)
        store = Store(config.state_path)
        try:
            # The market of a saved account must stay the market its orders were filled in.
            anchor = store.get_fact(_ANCHOR) or choose_anchor(start).isoformat()
            store.set_fact(_ANCHOR, anchor)
            market = Market(data, config.seed, date.fromisoformat(anchor), start)
            contracts = ContractBook(market)
            venue = Venue(market, contracts.by_con_id, self._now, store, config.account, starting_cash=config.cash)
        except BaseException:
            store.close()
            raise
        return Hub(config, self._now, contracts, market, venue, self.faults)

    async def _serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._hub is None:
            writer.close()
            return
        session = Session(self._hub, stream, writer)
        self._connections[task] = session
        try:
            await session.run()
        finally:
            del self._connections[task]

    async def _tick(self) -> None:
        """Step for ever. A failing step ends the gateway: one that doesn't match must not look alive."""
        try:
            while True:
                await asyncio.sleep(self.config.step_seconds)
                self.hub.step()
        except Exception:
            log.exception("matching failed: the paper gateway drops its clients")
            for session in list(self._connections.values()):
                session.abort()
            if self._server is not None:
                self._server.close()
            if self._stopping is not None:
                self._stopping.set()
            raise

    async def _serve_until_signal(self, ready: Callable[[int], None] | None) -> None:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        await self.start()
        try:
            if ready is not None:
                ready(self._port)
            await self._stopping.wait()
        finally:
            await self.stop()

    def _let_happen(self, event: DropConnection | HalfClose | Broadcast) -> None:
        self.call(lambda: self._apply(event))

    def _apply(self, event: DropConnection | HalfClose | Broadcast) -> None:
        for client_id, session in list(self.hub.sessions.items()):
            if isinstance(event, Broadcast):
                session.error(-1, event.code, event.text or NOTICES.get(event.code, ""))
            elif event.client_id not in (None, client_id):
                continue
            elif isinstance(event, HalfClose):
                session.half_close()
            else:
                session.abort()

    def _is_on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False
