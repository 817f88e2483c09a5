"""The paper gateway's values: contracts, order tickets, orders, executions, and what changes are announced."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from trading_platform.domain.instruments import SecurityType

Action = Literal["BUY", "SELL"]

LIVE_STATUSES = ("PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel")
DONE_STATUSES = ("Filled", "Cancelled", "Inactive")


@dataclass(frozen=True)
class Contract:
    """One contract of the paper market, in TWS's terms.

    ``listing`` names what the market has for it, where that is not its symbol: a ticker can be two contracts', of two
    currencies, and it can change.
    """

    con_id: int
    symbol: str
    security_type: SecurityType
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str
    long_name: str
    min_tick: Decimal
    min_size: Decimal
    size_increment: Decimal
    calendar: str
    time_zone: str
    data_origin: str
    market_rule: int = 0
    listing: str = ""

    @property
    def listed_as(self) -> str:
        """The name under which the market has its prices."""
        return self.listing or self.symbol


@dataclass(frozen=True)
class OrderTicket:
    """The fields of a placeOrder message that the paper market honours.

    ``order_type`` is TWS's (MKT, LMT, STP, STP LMT, TRAIL, MOC, LOC); ``good_till`` is set for GTD only.
    ``oca_type``: 1 cancel with block, 2 and 3 reduce. A TRAIL's ``aux_price`` is the amount it trails by, unless
    it trails by ``trailing_percent``; ``trail_stop_price`` is its first stop price, if the client names one.
    """

    action: Action
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    time_in_force: str = "DAY"
    oca_group: str = ""
    oca_type: int = 1
    account: str = ""
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_rth: bool = False
    what_if: bool = False
    good_till: datetime | None = None
    trailing_percent: Decimal | None = None
    trail_stop_price: Decimal | None = None


@dataclass
class PaperOrder:
    """One order in the paper market. ``(client_id, order_id)`` is its key, ``perm_id`` its durable name.

    ``working_since`` is when it began to take part in matching: ``None`` while the market is closed to it, while
    it waits for its parent, and before it is transmitted. ``trail_stop`` is where a TRAIL's stop has got to.
    """

    client_id: int
    order_id: int
    perm_id: int
    contract: Contract
    ticket: OrderTicket
    status: str = "PendingSubmit"
    filled: Decimal = Decimal(0)
    average_fill_price: Decimal = Decimal(0)
    last_fill_price: Decimal = Decimal(0)
    is_triggered: bool = False
    is_transmitted: bool = False
    submitted_at: datetime | None = None
    working_since: datetime | None = None
    completed_at: datetime | None = None
    completed_status: str = ""
    why_held: str = ""
    trail_stop: Decimal | None = None

    @property
    def remaining(self) -> Decimal:
        """Quantity not filled yet."""
        return self.ticket.quantity - self.filled

    @property
    def is_done(self) -> bool:
        """Whether the order is in a final state."""
        return self.status in DONE_STATUSES


@dataclass(frozen=True)
class PaperExecution:
    """One fill with its commission report. ``cumulative`` and ``average_price`` are after this fill."""

    exec_id: str
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    contract: Contract
    action: Action
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    average_price: Decimal
    commission: Decimal
    realized_pnl: Decimal | None
    ts_utc: datetime
    exchange: str


@dataclass
class Holding:
    """A position of the paper account. ``average_cost`` includes commissions, as IBKR's does.

    ``realized_pnl`` is the current session's, as in IBKR's portfolio.
    """

    contract: Contract
    quantity: Decimal
    average_cost: Decimal
    realized_pnl: Decimal = Decimal(0)


@dataclass(frozen=True)
class WhatIf:
    """What an order would do to the account, in its base currency, with an estimate of its commission."""

    init_margin_before: Decimal
    init_margin_after: Decimal
    maint_margin_before: Decimal
    maint_margin_after: Decimal
    equity_with_loan_before: Decimal
    equity_with_loan_after: Decimal
    commission: Decimal

    @property
    def init_margin_change(self) -> Decimal:
        """Change of the initial margin requirement."""
        return self.init_margin_after - self.init_margin_before

    @property
    def maint_margin_change(self) -> Decimal:
        """Change of the maintenance margin requirement."""
        return self.maint_margin_after - self.maint_margin_before

    @property
    def equity_with_loan_change(self) -> Decimal:
        """Change of the equity that carries margin."""
        return self.equity_with_loan_after - self.equity_with_loan_before


class AccountPnl(NamedTuple):
    """Profit and loss of the account. ``daily`` and ``realized`` count from the start of each market's session."""

    daily: Decimal
    unrealized: Decimal
    realized: Decimal


class PositionPnl(NamedTuple):
    """Profit and loss of one position; ``value`` is the signed quantity at the last price."""

    quantity: Decimal
    daily: Decimal
    unrealized: Decimal
    realized: Decimal
    value: Decimal


@dataclass(frozen=True)
class OrderChanged:
    """An order is new or changed: send openOrder and orderStatus."""

    order: PaperOrder


@dataclass(frozen=True)
class Executed:
    """A fill: send execDetails, then the commission report."""

    order: PaperOrder
    execution: PaperExecution


@dataclass(frozen=True)
class HoldingChanged:
    """A position changed: send position and portfolio updates to subscribers."""

    holding: Holding


@dataclass(frozen=True)
class OrderError:
    """An error message about an order, e.g. 201 rejected, 202 cancelled, 10147 not found."""

    client_id: int
    order_id: int
    code: int
    text: str


Announcement = OrderChanged | Executed | HoldingChanged | OrderError
"""Everything that matching can tell the sessions, in the order in which it must be sent."""


@dataclass(frozen=True)
class Bar:
    """One bar of the paper market. ``ts_utc`` is its start; daily bars carry midnight UTC of the session's date."""

    ts_utc: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    wap: float
    trade_count: int


@dataclass(frozen=True)
class TopOfBook:
    """Bid, ask and last with sizes at one instant. ``ts_utc`` is the instant of the last trade."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int
    previous_close: Decimal
    ts_utc: datetime


@dataclass(frozen=True)
class Headline:
    """One news headline. ``provider`` is a TWS news provider code."""

    article_id: str
    provider: str
    ts_utc: datetime
    text: str
    body: str = field(default="")
