"""One connection to a gateway: handshake, account check, requests with time-outs, state.

Runs on the loop thread. Before the account is accepted nothing is sent but the handshake and ``startApi``,
without which the gateway does not name its accounts: the library's own connect would ask for positions,
orders and account values first, so it isn't used. Nothing is synchronized at connect: everything is asked
for afresh when it is needed.

Pacing: ``ib_insync.Client`` queues what would exceed the configured messages in a second.
"""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from ib_insync.contract import Contract
from ib_insync.ib import IB
from ib_insync.wrapper import RequestError

from trading_platform.brokers.base import (
    BrokerConnectionError,
    BrokerError,
    BrokerTimeoutError,
    ClientIdInUseError,
    NotAGatewayError,
)
from trading_platform.brokers.ibkr import errors
from trading_platform.brokers.ibkr.config import IBKRConfig, check_mode, choose_account
from trading_platform.brokers.ibkr.session import SessionWrapper, new_ib
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.price_grid import PriceStep

_log = logging.getLogger(__name__)
_PROBE_SECONDS = 2.0
_LONGEST_GREETING = 1 << 20


class Connection:
    """An open, checked connection. Make one with :func:`open_connection`."""

    def __init__(self, config: IBKRConfig, ib: IB, wrapper: SessionWrapper, account: str) -> None:
        self.config = config
        self.account = account
        self.wrapper = wrapper
        self.client = ib.client
        self.knows_open_orders = False
        self.has_market_data_type = False
        self.market_rules: dict[int, tuple[PriceStep, ...]] = {}
        self.details: dict[Instrument, InstrumentDetails] = {}
        self.brand: str | None = None
        self.brand_lock = asyncio.Lock()
        self._ib = ib
        self.summary_lock = asyncio.Lock()
        self._is_degraded = False
        self._keyed = asyncio.Lock()
        self._keyed_future: asyncio.Future[Any] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._on_restored: Callable[[Connection], Awaitable[object]] | None = None
        ib.errorEvent += self._on_error

    @property
    def is_open(self) -> bool:
        """Whether the socket is up and the handshake stands."""
        return bool(self.client.isReady())

    def require_usable(self) -> None:
        """Raise unless requests can be answered now.

        Raises:
            BrokerConnectionError: closed, or the gateway has lost IBKR's servers (1100 without 1101 or 1102).
        """
        if not self.is_open:
            msg = f"the connection to {self.config.address} is closed"
            raise BrokerConnectionError(msg)
        if self._is_degraded:
            msg = (
                f"the gateway at {self.config.address} has lost its connection to IBKR (1100): nothing is asked and "
                "nothing is sent until it reports 1101 or 1102"
            )
            raise BrokerConnectionError(msg)

    async def ask(
        self,
        what: str,
        send: Callable[[int], None],
        *,
        contract: Contract | None = None,
        container: Any = None,
        cancel: Callable[[int], None] | None = None,
    ) -> Any:
        """Send a request that carries a request id and wait for its end. ``cancel`` is sent on a time-out.

        Raises:
            BrokerError: typed by the code that the gateway answered with.
            BrokerTimeoutError: no answer in time.
            BrokerConnectionError: the connection was lost or is not usable.
        """
        self.require_usable()
        request_id = self.client.getReqId()
        future = self.wrapper.startReq(request_id, contract, container)
        send(request_id)
        try:
            return await self.answer(future, what)
        except BrokerTimeoutError:
            if cancel is not None and self.is_open:
                cancel(request_id)
            await self._close_if_dead()
            raise

    async def ask_keyed(self, what: str, key: str, send: Callable[[], None]) -> Any:
        """Send a request that carries no id, one at a time, and wait for its end.

        After a time-out the connection is closed: without an id, a late answer could not be told from the
        answer to the next request.
        """
        async with self._keyed:
            self.require_usable()
            future = self.wrapper.startReq(key)
            self._keyed_future = future
            send()
            try:
                return await self.answer(future, what)
            except BrokerTimeoutError:
                self.close()
                raise
            finally:
                self._keyed_future = None

    async def answer(self, future: asyncio.Future[Any], what: str) -> Any:
        """Wait for ``future`` within the request time-out; typed errors as in :meth:`ask`."""
        seconds = self.config.request_timeout_seconds
        try:
            return await asyncio.wait_for(future, seconds)
        except RequestError as error:
            raise errors.request_error(error.code, error.message, what) from error
        except asyncio.TimeoutError as error:
            msg = f"{what}: no answer from {self.config.address} within {seconds:g} s"
            raise BrokerTimeoutError(msg) from error
        except ConnectionError as error:
            msg = f"{what}: the connection to {self.config.address} was lost before the answer came"
            raise BrokerConnectionError(msg) from error

    def when_restored(self, work: Callable[[Connection], Awaitable[object]]) -> None:
        """Name what is to be asked when the gateway has its connection to IBKR back (1101, 1102)."""
        self._on_restored = work

    def close(self) -> None:
        """Close the socket and fail whatever still waits for an answer. Can be called twice."""
        for task in self._background:
            task.cancel()
        was_open = self.is_open
        self.client.disconnect()
        if was_open:
            self.wrapper.connectionClosed()

    async def _close_if_dead(self) -> None:
        if not self.is_open or self._keyed.locked():
            return
        async with self._keyed:
            future = self.wrapper.startReq("currentTime")
            self.client.reqCurrentTime()
            try:
                await asyncio.wait_for(future, min(_PROBE_SECONDS, self.config.request_timeout_seconds))
            except (asyncio.TimeoutError, ConnectionError):
                _log.warning("%s answers nothing any more: closing the connection", self.config.address)
                self.close()

    def _on_error(self, request_id: int, code: int, text: str, _contract: Contract | None) -> None:
        _log.debug("message %d for %d: %s", code, request_id, text)
        if code == errors.CONNECTIVITY_LOST:
            _log.warning("the gateway has lost its connection to IBKR: %s", text)
            self._is_degraded = True
        elif code in errors.CONNECTIVITY_RESTORED:
            _log.warning("the gateway is connected to IBKR again (%d)", code)
            self._is_degraded = False
            task = asyncio.get_running_loop().create_task(self._restored())
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        elif code == 321 and request_id <= 0 and self._keyed_future is not None and not self._keyed_future.done():
            # a refusal of a request without an id, as a gateway in read-only mode sends for orders
            self._keyed_future.set_exception(RequestError(request_id, code, text))

    async def _restored(self) -> None:
        if self._on_restored is None:
            return
        try:
            await self._on_restored(self)
        except BrokerError as error:
            _log.warning("what an outage may have hidden could not be asked for: %s", error)


async def open_with_free_client_id(config: IBKRConfig) -> Connection:
    """As :func:`open_connection`, under the first of the configured client ids that nobody uses.

    Raises:
        ClientIdInUseError: all of them are in use.
    """
    try:
        return await open_connection(config)
    except ClientIdInUseError as error:
        if config.client_id_span <= 1:
            raise
        _log.info("%s: trying the next one", error)
    rest = replace(config, client_id=config.client_id + 1, client_id_span=config.client_id_span - 1)
    return await open_with_free_client_id(rest)


async def open_connection(config: IBKRConfig) -> Connection:
    """Connect, shake hands, check the account.

    Raises:
        BrokerConnectionError: nothing listens, or the gateway does not come up within the time-out.
        NotAGatewayError: what listens does not speak the TWS API.
        ClientIdInUseError: another client has the id (326), reported at once.
        AccountMismatchError: see ``config.choose_account``.
    """
    check_mode(config)
    ib, wrapper = new_ib(config.client_id, config.max_messages_per_second)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _watch_for_failure(config, ib, failure)
    attempt = asyncio.ensure_future(
        ib.client.connectAsync(config.host, config.port, config.client_id, config.connect_timeout_seconds)
    )
    try:
        await asyncio.wait(
            {attempt, failure}, timeout=config.connect_timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if failure.done():
            failure.result()
        await _finish(config, attempt, ib)
        account = choose_account(config, list(ib.client.getAccounts()))
    except BaseException:
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        ib.client.disconnect()
        raise
    finally:
        failure.cancel()
        ib.errorEvent.clear()
    return Connection(config, ib, wrapper, account)


async def _finish(config: IBKRConfig, attempt: asyncio.Future[None], ib: IB) -> None:
    if not attempt.done():
        raise _too_slow(config, ib)
    try:
        await attempt
    except asyncio.TimeoutError as error:
        raise _too_slow(config, ib) from error
    except OSError as error:
        msg = (
            f"nothing answers at {config.address} ({error.strerror or error}): start TWS, IB Gateway or the paper "
            "gateway (trading-platform gateway), switch on its API, and check TRADING_PLATFORM_IBKR_HOST and _PORT"
        )
        raise BrokerConnectionError(msg) from error


def _watch_for_failure(config: IBKRConfig, ib: IB, failure: asyncio.Future[None]) -> None:
    """Let ``failure`` raise as soon as a hopeless connection shows, instead of at the end of the time-out."""

    def fail(error: BrokerConnectionError) -> None:
        if not failure.done():
            failure.set_exception(error)

    def on_error(_request_id: int, code: int, text: str, _contract: Contract | None) -> None:
        if code == errors.CLIENT_ID_IN_USE:
            msg = (
                f"client id {config.client_id} is in use at {config.address}: stop the other client, or set another "
                "TRADING_PLATFORM_IBKR_CLIENT_ID"
            )
            fail(ClientIdInUseError(msg))
        elif not errors.is_warning(code):
            _log.warning("%s said while connecting: %d %s", config.address, code, text)

    def on_api_error(text: str) -> None:
        if "version" in text:
            msg = f"{config.address} is too old for the API: {text}. Update TWS or IB Gateway"
            fail(BrokerConnectionError(msg))

    has_greeted = False

    def on_data(data: bytes) -> None:
        nonlocal has_greeted
        has_greeted = has_greeted or bool(ib.client.serverVersion())
        # a frame starts with its length: text such as "HTTP" announces a gigabyte
        if not has_greeted and len(data) >= 4 and struct.unpack(">I", data[:4])[0] > _LONGEST_GREETING:
            fail(_not_a_gateway(config, f"it answered {data[:20]!r}"))

    def on_disconnected(text: str) -> None:
        if has_greeted:
            msg = (
                f"{config.address} closed the connection during the handshake ({text or 'no reason given'}): allow "
                "this host in the API's trusted addresses, and accept the connection in the gateway"
            )
            fail(BrokerConnectionError(msg))
        else:
            fail(_not_a_gateway(config, "it closed the connection without a handshake"))

    # the library's events hold listeners weakly unless told otherwise
    ib.errorEvent.connect(on_error, keep_ref=True)
    ib.client.apiError.connect(on_api_error, keep_ref=True)
    ib.client.conn.hasData.connect(on_data, keep_ref=True)
    ib.client.conn.disconnected.connect(on_disconnected, keep_ref=True)


def _too_slow(config: IBKRConfig, ib: IB) -> BrokerConnectionError:
    seconds = f"{config.connect_timeout_seconds:g} s"
    if not ib.client.conn.isConnected():
        return BrokerConnectionError(
            f"no connection to {config.address} within {seconds}: check host, port, network and firewall"
        )
    if not ib.client.serverVersion():
        return _not_a_gateway(config, f"it said nothing within {seconds}")
    return BrokerConnectionError(
        f"{config.address} shook hands but did not name its accounts within {seconds}: it is not logged in yet, or it "
        "waits for the connection to be accepted in its window"
    )


def _not_a_gateway(config: IBKRConfig, why: str) -> NotAGatewayError:
    return NotAGatewayError(
        f"what listens at {config.address} is no TWS or IB Gateway, or its API is not up: {why}. "
        "Check TRADING_PLATFORM_IBKR_HOST and _PORT (TWS 7497, IB Gateway 4002)"
    )
