"""Orders as values: what is asked for, what the broker says of it, what was executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

Side = Literal["BUY", "SELL"]
OrderType = Literal["MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC"]
TimeInForce = Literal["DAY", "GTC", "IOC", "GTD"]

LIMIT_ORDERS = frozenset({"LMT", "STP LMT", "LOC"})
STOP_ORDERS = frozenset({"STP", "STP LMT", "TRAIL"})
CLOSE_ORDERS = frozenset({"MOC", "LOC"})


class OrderStatus(str, Enum):
    """The states of an order in the ledger. ``UNKNOWN``: it was sent and the answer never came."""

    CREATED = "created"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    BROKER_REJECTED = "broker_rejected"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more is expected of the order. Only a late fill can still change it (see ``state``)."""
        return self in _TERMINAL


_TERMINAL = {
    OrderStatus.REJECTED,
    OrderStatus.FILLED,
    OrderStatus.CANCELLED,
    OrderStatus.EXPIRED,
    OrderStatus.BROKER_REJECTED,
}


@dataclass(frozen=True)
class OrderRequest:
    """One order to be placed. ``client_order_id`` travels to the broker as ``orderRef``.

    Prices are in the instrument's currency; ``limit_price`` is set for LMT, STP LMT and LOC, ``stop_price`` for STP,
    STP LMT and TRAIL, where it is the stop's first price. A TRAIL follows the market by ``trail_amount`` or by
    ``trail_percent``. ``good_till_utc`` (whole seconds) is set for GTD. The exits of a bracket name their entry in
    ``parent_id`` and share an ``oca_group``, of which at most one fills.
    """

    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: OrderType = "MKT"
    time_in_force: TimeInForce = "DAY"
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    good_till_utc: datetime | None = None
    parent_id: str = ""
    oca_group: str = ""

    @property
    def is_exit(self) -> bool:
        """Whether it is an exit of a bracket: it waits for its entry, and one of them ends the others."""
        return bool(self.oca_group)

    @property
    def group(self) -> str:
        """What is decided, started and sent together: the name of the bracket's entry, or the order's own."""
        return self.oca_group or self.client_order_id


@dataclass(frozen=True)
class OrderIntent:
    """What a strategy wants to trade at one tick, sized; not yet allowed by risk.

    ``decision_price`` is the price the decision was made at; ``tick_utc`` the tick it belongs to, which names
    the order; ``session`` the ISO date of the session; ``target_weight`` and ``confidence`` are the signal's.
    ``replaces`` names the strategy's working orders that must be over before this one is sent, and
    ``position_quantity`` is the strategy's holding that it was planned on.
    """

    request: OrderRequest
    strategy: str
    account: str
    session: str
    tick_utc: datetime
    as_of_utc: datetime
    decision_price: Decimal
    target_weight: float
    confidence: float
    reason: str
    replaces: tuple[str, ...] = ()
    position_quantity: Decimal | None = None

    @property
    def client_order_id(self) -> str:
        """The order's name: a pure function of strategy, symbol, tick and revision."""
        return self.request.client_order_id

    @property
    def notional_usd(self) -> Decimal:
        """Quantity times decision price, unsigned."""
        return self.request.quantity * self.decision_price


UNEVALUABLE = "can't be evaluated"
"""How the reason of a control that lacked a number begins."""


@dataclass(frozen=True)
class ControlResult:
    """The verdict of one risk control with the numbers it used.

    ``reason`` is empty when the control passed; otherwise a sentence that names limit and value.
    """

    control: str
    is_passed: bool
    reason: str
    numbers: Mapping[str, str]

    @property
    def reason_code(self) -> str:
        """Short and stable: the control's name, with ``:unevaluable`` when it lacked a number to judge by."""
        return f"{self.control}:unevaluable" if self.reason.startswith(UNEVALUABLE) else self.control


@dataclass(frozen=True)
class RiskDecision:
    """All controls' verdicts on one intent. Approved only if every control passed."""

    client_order_id: str
    results: tuple[ControlResult, ...]

    @property
    def is_approved(self) -> bool:
        """Whether every control passed; no control at all is no approval."""
        return bool(self.results) and all(result.is_passed for result in self.results)

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """The codes of the controls that did not pass, one per sentence in :attr:`reasons`."""
        return tuple(result.reason_code for result in self.results if not result.is_passed)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the controls that did not pass."""
        return tuple(f"{result.control}: {result.reason}" for result in self.results if not result.is_passed)


@dataclass(frozen=True)
class WhatIf:
    """The broker's own forecast of what an order would do to the account's margin, in the base currency.

    The order was only asked about and never placed. ``refusal`` is the broker's reason why it would not take it; then
    there are no figures. ``equity_with_loan`` is what counts against the initial margin.
    """

    client_order_id: str
    init_margin_before: Decimal | None = None
    init_margin_after: Decimal | None = None
    maint_margin_before: Decimal | None = None
    maint_margin_after: Decimal | None = None
    equity_with_loan_before: Decimal | None = None
    equity_with_loan_after: Decimal | None = None
    commission: Decimal | None = None
    refusal: str = ""


@dataclass(frozen=True)
class BrokerOrder:
    """The broker's view of one order: open or completed.

    ``perm_id`` is IBKR's durable id (0 while it is not known). ``order_id`` is only valid within one
    client session and is 0 for completed orders. ``raw_status`` keeps the broker's own word.
    """

    client_order_id: str
    perm_id: int
    order_id: int
    client_id: int
    account: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: str
    time_in_force: str
    limit_price: Decimal | None
    stop_price: Decimal | None
    status: OrderStatus
    raw_status: str
    filled_quantity: Decimal
    average_fill_price: Decimal | None
    message: str = ""


@dataclass(frozen=True)
class Execution:
    """One fill. ``commission`` is ``None`` until the broker's commission report has arrived."""

    execution_id: str
    client_order_id: str
    perm_id: int
    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal | None
    realized_pnl: Decimal | None
    ts_utc: datetime


@dataclass(frozen=True)
class Position:
    """A holding at the broker. ``quantity`` is signed; ``average_price`` is IBKR's ``avgCost`` with commissions."""

    account: str
    symbol: str
    quantity: Decimal
    average_price: Decimal


@dataclass(frozen=True)
class AccountSummary:
    """Money figures of the account in its base currency, as the broker reports them."""

    account: str
    currency: str
    net_liquidation: Decimal
    total_cash: Decimal
    gross_position_value: Decimal
    available_funds: Decimal
    buying_power: Decimal
    ts_utc: datetime


@dataclass(frozen=True)
class Quote:
    """Top of the book. Any price may be ``None``; ``ts_utc`` is when it was last updated.

    ``is_halted`` tells whether the exchange has halted trading; ``None`` where the broker does not say.
    """

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    ts_utc: datetime
    is_delayed: bool = False
    is_halted: bool | None = None
