"""The :class:`~trading_platform.brokers.base.Broker` at Interactive Brokers.

Every call may come from any thread; the work is done on the process's broker loop. Reads repeat themselves
(``retry``), reconnecting when needed, and so does the global cancel; placing and cancelling one order never do.

What stands between a call and the gateway:

- Requests for bars wait until IBKR's pacing rules allow them (``pacing``).
- Bars, contract details and quotes are refused while the gateway is sick (``breaker``). For bars there is a second
  circuit: IBKR's historical data can be down while the rest is well.
- Reads of the account, which orders, reconciliation and the kill switch depend on, are never refused: while the gateway
  is sick they have one attempt, and an answer closes the circuit for everybody.
- Placing, cancelling, what-if and the global cancel know nothing of the breaker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trading_platform.brokers.base import ReadOnlyError
from trading_platform.brokers.ibkr import translate
from trading_platform.brokers.ibkr.breaker import CircuitBreaker, admitted, watched
from trading_platform.brokers.ibkr.config import IBKRConfig, check_mode, is_paper_account
from trading_platform.brokers.ibkr.loop import import_on_loop, shared_loop
from trading_platform.brokers.ibkr.origins import DataOrigins
from trading_platform.brokers.ibkr.pacing import HistoryPacer, PacedRequest
from trading_platform.brokers.ibkr.retry import RetryPolicy, retrying
from trading_platform.brokers.ibkr.shared_state import SharedState, gateway_directory
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.market_data.scans import Scan, ScanRow
from trading_platform.domain.orders.model import (
    AccountSummary,
    BrokerOrder,
    Execution,
    OrderRequest,
    Position,
    Quote,
    WhatIf,
)

if TYPE_CHECKING:
    import pandas as pd
    from ib_insync.objects import BarData

# ib_insync binds itself to the loop of the thread that imports it: these two must be loaded over there first
import_on_loop("trading_platform.brokers.ibkr.brackets")

from trading_platform.brokers.ibkr import brackets, orders, requests, scanner, what_if  # noqa: E402
from trading_platform.brokers.ibkr.connection import Connection, open_with_free_client_id  # noqa: E402

T = TypeVar("T")


class IBKRBroker:
    """One account at IBKR through one client id at a time. Connects at the first call, or at :meth:`connect`.

    Usable as a context manager, which closes the connection at the end. Errors are those of ``brokers.base``.
    """

    def __init__(self, config: IBKRConfig) -> None:
        check_mode(config)
        self._config = config
        self._policy = RetryPolicy(
            attempts=config.read_attempts,
            first_wait=config.retry_wait_seconds,
            first_pacing_wait=config.pacing_wait_seconds,
            longest_wait=config.max_retry_wait_seconds,
        )
        directory = gateway_directory(config.state_dir, config.host, config.port)
        self._pacer = HistoryPacer(directory, config.pacing, longest_seconds=config.longest_call_seconds)
        self._origins = DataOrigins(SharedState(directory / "data_origins.json"))
        self._gateway = self._circuit(directory, "gateway", f"the gateway at {config.address}")
        self._history = self._circuit(directory, "history", f"historical data of the gateway at {config.address}")
        self._pid = 0
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    def connect(self) -> None:
        """Connect now, once, without retries; nothing happens when the connection stands."""
        self._run(_nothing)

    def close(self) -> None:
        """Close the connection. The next call would open a new one."""
        shared_loop().run(self._close())

    def __enter__(self) -> IBKRBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def account(self) -> str:
        """The account id all orders go to. Connects to learn it when none is configured."""
        if self._config.account is None:
            retrying(self.connect, self._policy)
        return self._config.account or ""

    @property
    def is_paper(self) -> bool:
        """Whether the account is a paper account."""
        return is_paper_account(self.account)

    def server_time(self) -> datetime:
        """The gateway's clock, tz-aware UTC, to the second."""
        return self._retry(requests.server_time)

    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        """Resolve one instrument; ``data_origin`` is "broker" unless the paper market says otherwise."""
        return self._ask(lambda connection: requests.instrument_details(connection, instrument))

    def data_origin(self, instrument: Instrument) -> str:
        """Where its prices come from. A gateway is asked once a day, whichever process wants to know."""
        whose = self._ask(requests.whose_prices)
        return self._origins.origin_of(whose, instrument, lambda: self.instrument_details(instrument).data_origin)

    def historical_bars(
        self,
        instrument: Instrument,
        *,
        end: datetime | None,
        duration: str,
        bar_size: str,
        regular_hours_only: bool = True,
        is_adjusted: bool = False,
    ) -> pd.DataFrame:
        """Trades bars (AGGTRADES for crypto, midpoints for foreign exchange), never an empty frame."""
        paced = PacedRequest.of(
            instrument,
            translate.what_to_show(instrument, is_adjusted=is_adjusted),
            end=end,
            duration=duration,
            bar_size=bar_size,
            regular_hours_only=regular_hours_only,
            rules=self._config.pacing,
        )

        def attempt() -> list[BarData]:
            with (
                admitted(self._history, self._gateway),
                self._pacer.admitted(paced),
                watched(self._gateway, self._history, subject=paced.stream),
            ):
                return self._run(
                    lambda connection: requests.historical_bars(
                        connection,
                        instrument,
                        end=end,
                        duration=duration,
                        bar_size=bar_size,
                        regular_hours_only=regular_hours_only,
                        is_adjusted=is_adjusted,
                    )
                )

        bars = retrying(attempt, self._policy)
        return translate.to_frame(bars)

    def scan(self, wanted: Scan) -> Sequence[ScanRow]:
        """Rank the market once: two messages, of which the second cancels the subscription."""
        return self._retry(lambda connection: scanner.scan(connection, wanted))

    def quote(self, instrument: Instrument) -> Quote:
        """A snapshot; ``ts_utc`` is the last trade's time, or the server's clock where IBKR gives none."""
        return self._ask(lambda connection: requests.quote(connection, instrument))

    def place_order(self, instrument: Instrument, request: OrderRequest) -> BrokerOrder:
        """Send one order, once, and wait for the acknowledgement."""
        self._require_writable(f"order {request.client_order_id} was not sent")
        return self._run(lambda connection: orders.place_order(connection, instrument, request))

    def what_if(self, instrument: Instrument, request: OrderRequest) -> WhatIf:
        """Ask, once, what the order would do to the account's margin. It is never placed."""
        self._require_writable(f"nothing was asked about order {request.client_order_id}")
        return self._run(lambda connection: what_if.what_if(connection, instrument, request))

    def place_bracket(self, instrument: Instrument, legs: Sequence[OrderRequest]) -> Sequence[BrokerOrder]:
        """Send an entry with its exits, once, and wait for the acknowledgements."""
        self._require_writable(f"bracket {legs[0].client_order_id} was not sent")
        return self._run(lambda connection: brackets.place_bracket(connection, instrument, legs))

    def cancel_order(self, client_order_id: str) -> None:
        """Cancel every open order that carries ``client_order_id``, whichever of our client ids placed it, and wait."""
        self._require_writable(f"order {client_order_id} was not cancelled")
        first = self._config.client_id
        own_ids = range(first, first + self._config.client_id_span)
        self._run(lambda connection: orders.cancel_order(connection, client_order_id, own_ids=own_ids))

    def cancel_all_orders(self) -> None:
        """Send IBKR's global cancel: every open order of the login, of every API client and of TWS itself.

        Unlike a single order's cancellation it is repeated when the connection fails: asking twice does no harm.
        """
        self._require_writable("open orders were not cancelled")
        retrying(lambda: self._run(orders.cancel_all_orders), self._policy)

    def open_orders(self) -> Sequence[BrokerOrder]:
        """All open orders of the account, of every API client."""
        return self._retry(requests.open_orders)

    def completed_orders(self) -> Sequence[BrokerOrder]:
        """The account's orders completed today; ``order_id`` is 0."""
        return self._retry(requests.completed_orders)

    def executions(self) -> Sequence[Execution]:
        """The account's executions of today; a commission that has not come is ``None``."""
        return self._retry(requests.executions)

    def positions(self) -> Sequence[Position]:
        """The account's holdings; raises when they can't be had."""
        return self._retry(requests.positions)

    def account_summary(self) -> AccountSummary:
        """The account's money figures."""
        return self._retry(requests.account_summary)

    def _require_writable(self, consequence: str) -> None:
        if self._config.read_only:
            msg = f"{consequence}: the connection is read-only. Unset TRADING_PLATFORM_READ_ONLY to trade"
            raise ReadOnlyError(msg)

    def troubles(self) -> tuple[str, ...]:
        """What is refused because it failed too often, one sentence each; empty when all is well."""
        sentences = (circuit.trouble() for circuit in (self._gateway, self._history))
        return tuple(sentence for sentence in sentences if sentence is not None)

    def _circuit(self, directory: Path, name: str, where: str) -> CircuitBreaker:
        return CircuitBreaker(
            SharedState(directory / f"{name}_circuit.json"),
            where,
            self._config.breaker,
            longest_seconds=self._config.longest_call_seconds,
        )

    def _ask(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """A read that can wait: refused while the gateway is sick."""

        def attempt() -> T:
            with admitted(self._gateway), watched(self._gateway):
                return self._run(work)

        return retrying(attempt, self._policy)

    def _retry(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """A read that must not wait: while the gateway is sick it has one attempt."""

        def attempt() -> T:
            with watched(self._gateway):
                return self._run(work)

        return retrying(attempt, replace(self._policy, attempts=1) if self._gateway.is_open else self._policy)

    def _run(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        return shared_loop().run(self._once(work))

    async def _once(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        return await work(await self._connected())

    async def _connected(self) -> Connection:
        self._forget_parents_connection()
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = await open_with_free_client_id(self._config)
                # fills of an outage are not announced: they have to be asked for
                self._connection.when_restored(requests.executions)
                # a reconnect must end at the same account
                self._config = replace(self._config, account=self._connection.account)
            return self._connection

    async def _close(self) -> None:
        self._forget_parents_connection()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _forget_parents_connection(self) -> None:
        # after a fork the socket and the loop belong to the parent
        if self._pid != os.getpid():
            self._pid, self._connection, self._connecting = os.getpid(), None, asyncio.Lock()


async def _nothing(_connection: Connection) -> None:
    """Work that only needs the connection to stand."""
