"""Positions, account values and P&L on the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.paper_gateway.messages.contracts import short_contract
from trading_platform.paper_gateway.messages.ids import Outgoing
from trading_platform.paper_gateway.model import AccountPnl, Contract, Holding, PositionPnl

if TYPE_CHECKING:
    from trading_platform.paper_gateway.wire import Field


def position(account: str, holding: Holding) -> list[Field]:
    """One position."""
    return [Outgoing.POSITION, 3, account, *_positioned(holding.contract), holding.quantity, holding.average_cost]


def position_end() -> list[Field]:
    """No more positions."""
    return [Outgoing.POSITION_END, 1]


def position_multi(request_id: int, account: str, holding: Holding) -> list[Field]:
    """One position, in answer to a request by account and model."""
    head: list[Field] = [Outgoing.POSITION_MULTI, 1, request_id, account, *_positioned(holding.contract)]
    return [*head, holding.quantity, holding.average_cost, ""]


def position_multi_end(request_id: int) -> list[Field]:
    """No more positions for the request."""
    return [Outgoing.POSITION_MULTI_END, 1, request_id]


def portfolio_value(account: str, holding: Holding, price: Decimal) -> list[Field]:
    """One position with its value at ``price``."""
    contract, quantity = holding.contract, holding.quantity
    listed = contract.primary_exchange or contract.exchange
    described = short_contract(contract, listed)
    unrealized = (price - holding.average_cost) * quantity if quantity else Decimal(0)
    return [
        Outgoing.PORTFOLIO_VALUE,
        8,
        *described,
        quantity,
        price,
        price * quantity,
        holding.average_cost,
        unrealized,
        holding.realized_pnl,
        account,
    ]


def account_value(tag: str, value: str, currency: str, account: str) -> list[Field]:
    """One account value."""
    return [Outgoing.ACCOUNT_VALUE, 2, tag, value, currency, account]


def account_update_time(clock: str) -> list[Field]:
    """When the account values were computed, "HH:MM"."""
    return [Outgoing.ACCOUNT_UPDATE_TIME, 1, clock]


def account_download_end(account: str) -> list[Field]:
    """The first batch of account values is complete."""
    return [Outgoing.ACCOUNT_DOWNLOAD_END, 1, account]


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> list[Field]:
    """One value of the account summary."""
    return [Outgoing.ACCOUNT_SUMMARY, 1, request_id, account, tag, value, currency]


def account_summary_end(request_id: int) -> list[Field]:
    """The account summary is complete."""
    return [Outgoing.ACCOUNT_SUMMARY_END, 1, request_id]


def account_update_multi(request_id: int, account: str, tag: str, value: str, currency: str) -> list[Field]:
    """One account value, in answer to a request by account and model."""
    return [Outgoing.ACCOUNT_UPDATE_MULTI, 1, request_id, account, "", tag, value, currency]


def account_update_multi_end(request_id: int) -> list[Field]:
    """No more account values for the request."""
    return [Outgoing.ACCOUNT_UPDATE_MULTI_END, 1, request_id]


def pnl(request_id: int, part: AccountPnl) -> list[Field]:
    """The account's profit and loss."""
    return [Outgoing.PNL, request_id, part.daily, part.unrealized, part.realized]


def pnl_single(request_id: int, part: PositionPnl) -> list[Field]:
    """One position's profit and loss, and its market value."""
    head: list[Field] = [Outgoing.PNL_SINGLE, request_id, part.quantity]
    return [*head, part.daily, part.unrealized, part.realized, part.value]


def _positioned(contract: Contract) -> list[Field]:
    return short_contract(contract, contract.primary_exchange or contract.exchange)
