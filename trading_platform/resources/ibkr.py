"""The broker as a Dagster resource: thin and lazy. Nothing is imported or connected before its first use."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

if TYPE_CHECKING:
    from trading_platform.brokers.ibkr.client import IBKRBroker


class IBKRResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it provides itself
    """One account at Interactive Brokers, or at the paper gateway. Paper unless ``mode`` says live.

    In a Dagster run the connection opens at the first call and closes at the end of the run; elsewhere use
    :meth:`connect`. Errors are those of ``trading_platform.brokers.base``.
    """

    host: str = Field(default="127.0.0.1", description="Host of TWS, IB Gateway or the paper gateway.")
    port: int = Field(description="Its API port: TWS 7497 paper, 7496 live; IB Gateway 4002 paper, 4001 live.")
    client_id: int = Field(default=10, description="API client id; each connection at a time needs its own.")
    client_id_span: int = Field(default=1, ge=1, description="Ids from client_id on to try while one is in use.")
    account: str | None = Field(default=None, description="Account id; unset: the only account offered. Live needs it.")
    mode: str = Field(default="paper", description="paper or live. Paper refuses every account that is not D….")
    live_confirmation: str | None = Field(
        default=None, description="With mode live: the sentence `I trade real money in <account>`."
    )
    read_only: bool = Field(default=False, description="Refuse every order and every cancellation.")
    connect_timeout_seconds: float = Field(default=10.0, gt=0, description="Longest wait for a usable connection.")
    request_timeout_seconds: float = Field(default=30.0, gt=0, description="Longest wait for an answer.")
    read_attempts: int = Field(default=4, ge=1, description="Attempts of a read. An order has one.")
    retry_wait_seconds: float = Field(default=0.5, gt=0, description="First back-off of a read; it doubles.")

    strategies: str | None = Field(default=None, description="Directory with universe.yaml; unset: the shipped one.")
    clock_offset_seconds: float = Field(default=0.0, description="The platform's clock, by which tickers are resolved.")

    _broker: IBKRBroker | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @field_validator("mode")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ("paper", "live"):
            msg = f"mode is {value!r}: use paper or live"
            raise ValueError(msg)
        return value

    @property
    def broker(self) -> IBKRBroker:
        """The broker; it connects at its first call."""
        with self._lock:
            if self._broker is None:
                from trading_platform.brokers.ibkr.client import IBKRBroker
                from trading_platform.brokers.ibkr.config import IBKRConfig
                from trading_platform.clock import SystemClock
                from trading_platform.specs.universe import load_universe

                today = SystemClock(timedelta(seconds=self.clock_offset_seconds)).now().date()
                self._broker = IBKRBroker(
                    IBKRConfig(
                        host=self.host,
                        port=self.port,
                        client_id=self.client_id,
                        client_id_span=self.client_id_span,
                        account=self.account or None,
                        mode=cast(Literal["paper", "live"], self.mode),
                        live_confirmation=self.live_confirmation,
                        read_only=self.read_only,
                        connect_timeout_seconds=self.connect_timeout_seconds,
                        request_timeout_seconds=self.request_timeout_seconds,
                        read_attempts=self.read_attempts,
                        retry_wait_seconds=self.retry_wait_seconds,
                        names=load_universe(Path(self.strategies) if self.strategies else None).on(today).names,
                    )
                )
            return self._broker

    @contextmanager
    def connect(self) -> Generator[IBKRBroker, None, None]:
        """Connect now (once, without retries), hand out the broker, and close at the end."""
        try:
            self.broker.connect()
            yield self.broker
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection if there is one. The next use opens a new one."""
        with self._lock:
            broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[IBKRResource, None, None]:
        """Dagster's life cycle: the connection does not outlive the run."""
        try:
            yield self
        finally:
            self.close()
