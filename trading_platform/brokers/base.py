"""The broker as the platform sees it: one protocol and its typed errors.

Value types live in ``domain``. An implementation never returns an empty frame in place of an error and
never reports a lost connection as a rejection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

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


class BrokerError(Exception):
    """Any failure at the broker. The message says what happened and what to do."""


class BrokerConnectionError(BrokerError):
    """No usable connection: nothing listens, the handshake failed, or the connection was lost."""


class NotAGatewayError(BrokerConnectionError):
    """Something listens on the port, but it does not speak the TWS API."""


class ClientIdInUseError(BrokerConnectionError):
    """Another client is connected with the same client id (IBKR error 326)."""


class GatewaySickError(BrokerConnectionError):
    """Nothing was asked: too many requests in a row failed, and the next attempt is not due yet.

    ``since_seconds``: for how long requests have been refused; ``retry_after_seconds``: when the next may go.
    """

    def __init__(self, message: str, *, since_seconds: float, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.since_seconds = since_seconds
        self.retry_after_seconds = retry_after_seconds


class AccountMismatchError(BrokerError):
    """The account is not the one configured, or a live account was reached in paper mode."""


class UnknownInstrumentError(BrokerError):
    """The broker does not know the instrument (IBKR error 200), or the description is ambiguous."""


class NoDataError(BrokerError):
    """The broker answered that there is no data for the request (IBKR error 162, "no data")."""


class PacingError(BrokerError):
    """The broker refused for pacing (IBKR errors 100, 162 "pacing violation", 420). Wait, then ask again."""


class ScanRefusedError(BrokerError):
    """The broker does not serve the scan: its code, its location or a filter. Asking again does not help."""


class BrokerTimeoutError(BrokerError):
    """No answer within the time-out. For an order this is *ambiguous*: reconcile, never resend."""


class OrderRejectedError(BrokerError):
    """The broker refused the order with a code; it is not and never was live."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class AmbiguousOrderError(BrokerError):
    """The order was sent and its fate is not known. Reconcile by ``orderRef``; never resend blindly."""


class ReadOnlyError(BrokerError):
    """The connection is configured read-only and an order was about to be sent."""


class Broker(Protocol):
    """A connection to one account at one broker. All calls are synchronous and thread-safe."""

    @property
    def account(self) -> str:
        """The account id all orders go to."""
        ...

    @property
    def is_paper(self) -> bool:
        """Whether the account is a paper account."""
        ...

    def server_time(self) -> datetime:
        """The broker's clock, tz-aware UTC, to the second."""
        ...

    def instrument_details(self, instrument: Instrument) -> InstrumentDetails:
        """Resolve one instrument.

        Raises:
            UnknownInstrumentError: the broker does not know it, or knows several.
        """
        ...

    def data_origin(self, instrument: Instrument) -> str:
        """Where the prices of one instrument come from: ``broker``, or what the paper market replays. May be a day old.

        Raises:
            UnknownInstrumentError: the broker does not know it, or knows several.
        """
        ...

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
        """Trades bars, oldest first: columns ``ts_utc, open, high, low, close, volume``.

        ``ts_utc`` is the bar's start (for daily bars midnight UTC of the session's date). ``end`` of
        ``None`` means now. ``duration`` and ``bar_size`` are TWS's ("30 D", "5 mins"). ``is_adjusted``: of a stock,
        for splits and dividends as of now; then ``end`` must be ``None``.

        Raises:
            NoDataError: the broker has nothing for the request.
            PacingError: too many requests.
        """
        ...

    def scan(self, wanted: Scan) -> Sequence[ScanRow]:
        """Rank the market once, best first; nothing where nothing fits. No subscription is left behind.

        Raises:
            ScanRefusedError: the broker does not serve the scan.
            PacingError: too many scans at a time.
        """
        ...

    def quote(self, instrument: Instrument) -> Quote:
        """A snapshot of the top of the book."""
        ...

    def place_order(self, instrument: Instrument, request: OrderRequest) -> BrokerOrder:
        """Send one order and wait for the broker's acknowledgement.

        Raises:
            OrderRejectedError: refused; not live.
            AmbiguousOrderError: sent, but not acknowledged within the time-out or before a disconnect.
            BrokerConnectionError: nothing was sent.
        """
        ...

    def what_if(self, instrument: Instrument, request: OrderRequest) -> WhatIf:
        """Ask what one order would do to the account's margin. One message; nothing is placed.

        Raises:
            OrderRejectedError: the broker would refuse the order.
            ReadOnlyError: the connection is read-only; nothing was asked.
            BrokerError: there is no answer; it says nothing about the order.
        """
        ...

    def place_bracket(self, instrument: Instrument, legs: Sequence[OrderRequest]) -> Sequence[BrokerOrder]:
        """Send an entry with its exits as one group, of which everything is live or nothing, and wait for the word.

        Args:
            legs: the entry first; each exit names it in ``parent_id``.

        Returns:
            One order per leg, in their order. One that the broker refused while it took the others has the
            status ``BROKER_REJECTED``.

        Raises:
            OrderRejectedError: the group was refused; nothing of it is live.
            AmbiguousOrderError: sent, and not acknowledged in full.
            BrokerConnectionError: the group was not released; nothing of it is live.
        """
        ...

    def cancel_order(self, client_order_id: str) -> None:
        """Ask for the cancellation of every open order that carries ``client_order_id``."""
        ...

    def cancel_all_orders(self) -> None:
        """Ask for the cancellation of every open order, whoever placed it. Asks only: :meth:`open_orders` confirms.

        Raises:
            ReadOnlyError: the connection is read-only; nothing was asked.
            BrokerConnectionError: nothing was asked.
        """
        ...

    def open_orders(self) -> Sequence[BrokerOrder]:
        """All open orders of the account, of every API client, asked for afresh."""
        ...

    def completed_orders(self) -> Sequence[BrokerOrder]:
        """Orders of the account that were completed recently (at IBKR: today)."""
        ...

    def executions(self) -> Sequence[Execution]:
        """Recent executions of the account with their commissions (at IBKR: today's), asked for afresh."""
        ...

    def positions(self) -> Sequence[Position]:
        """The account's holdings, asked for afresh. An error raises; it is never "flat"."""
        ...

    def account_summary(self) -> AccountSummary:
        """The account's money figures."""
        ...
