"""What a connection to IBKR needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trading_platform.brokers.base import AccountMismatchError
from trading_platform.domain.instruments import BrokerNames
from trading_platform.domain.orders.guards import live_confirmation

TradingMode = Literal["paper", "live"]


@dataclass(frozen=True)
class IBKRConfig:
    """Where the gateway is, whose account it must be, and how long to wait. Safe by default: paper.

    Ports: TWS 7497 paper, 7496 live; IB Gateway 4002 paper, 4001 live. ``account`` of ``None`` takes the only
    account offered. ``client_id_span`` ids from ``client_id`` on are tried in turn while one is in use. All
    durations are seconds. ``read_attempts`` counts the first one; orders have only one.
    ``max_messages_per_second`` is what is sent at most (IBKR allows 50; 0: no limit, which only a paper gateway without
    pacing bears). ``names`` are the platform's names of the broker's contracts. Mode live needs ``live_confirmation``,
    the sentence that ``domain.orders.guards.live_confirmation`` asks for.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 10
    client_id_span: int = 1
    account: str | None = None
    mode: TradingMode = "paper"
    live_confirmation: str | None = None
    read_only: bool = False
    connect_timeout_seconds: float = 10.0
    request_timeout_seconds: float = 30.0
    read_attempts: int = 4
    retry_wait_seconds: float = 0.5
    pacing_wait_seconds: float = 5.0
    max_retry_wait_seconds: float = 30.0
    commission_wait_seconds: float = 2.0
    max_messages_per_second: int = 45
    names: BrokerNames = field(default_factory=BrokerNames)

    @property
    def address(self) -> str:
        """``host:port``, for messages."""
        return f"{self.host}:{self.port}"


def is_paper_account(account: str) -> bool:
    """Whether the account id is a paper account's: those start with D (DU…, DF…)."""
    return account.upper().startswith("D")


def check_mode(config: IBKRConfig) -> None:
    """Refuse a configuration that contradicts itself, before any socket is opened.

    Raises:
        AccountMismatchError: paper mode with a live account; live mode with a paper account, with none, or without
            the typed confirmation for this very account.
    """
    if config.account is not None:
        _check_kind(config.account, config.mode)
        _check_confirmation(config, config.account)
    elif config.mode == "live":
        msg = "mode is live, but no account is configured: name the live account in TRADING_PLATFORM_IBKR_ACCOUNT"
        raise AccountMismatchError(msg)


def choose_account(config: IBKRConfig, offered: list[str]) -> str:
    """The account to trade, of those that the gateway offers.

    Raises:
        AccountMismatchError: the configured account is not offered, several are offered and none is
            configured, or the account does not fit the mode.
    """
    names = ", ".join(offered)
    if config.account is not None:
        if config.account not in offered:
            msg = (
                f"account {config.account} is configured, but the gateway at {config.address} is logged in to "
                f"{names}: correct TRADING_PLATFORM_IBKR_ACCOUNT, or the host and port"
            )
            raise AccountMismatchError(msg)
        account = config.account
    elif len(offered) == 1:
        account = offered[0]
    else:
        msg = (
            f"the gateway at {config.address} offers several accounts ({names}) and none is configured: "
            "name one in TRADING_PLATFORM_IBKR_ACCOUNT"
        )
        raise AccountMismatchError(msg)
    check_mode(config)
    _check_kind(account, config.mode)
    return account


def _check_kind(account: str, mode: TradingMode) -> None:
    if mode == "paper" and not is_paper_account(account):
        msg = (
            f"mode is paper, but {account} is a live account (paper accounts start with D): nothing was sent. "
            "Connect to a paper login, or set TRADING_PLATFORM_MODE=live if real money is meant"
        )
        raise AccountMismatchError(msg)
    if mode == "live" and is_paper_account(account):
        msg = (
            f"mode is live, but {account} is a paper account: nothing was sent. "
            "Set TRADING_PLATFORM_MODE=paper, or connect to the live login"
        )
        raise AccountMismatchError(msg)


def _check_confirmation(config: IBKRConfig, account: str) -> None:
    wanted = live_confirmation(account)
    if config.mode == "live" and config.live_confirmation != wanted:
        msg = (
            f"mode is live, but nobody confirmed account {account}: nothing was sent. If real money is meant, set "
            f"TRADING_PLATFORM_LIVE_CONFIRMATION to exactly: {wanted}"
        )
        raise AccountMismatchError(msg)
