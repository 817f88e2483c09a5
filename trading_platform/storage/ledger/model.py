"""The ledger's records as values. Timestamps are tz-aware UTC; quantities and money are ``Decimal``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

from trading_platform.domain.orders.model import (
    BrokerOrder,
    Execution,
    OrderIntent,
    OrderStatus,
    RiskDecision,
)

DecisionStage = Literal["decision", "submission"]

ALL_ACCOUNTS = "*"
"""Scope of a halt that concerns every account."""

IN_DOUBT = (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)
"""Statuses of an order that may or may not be at the broker."""

WORKING = (OrderStatus.SUBMITTING, OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.UNKNOWN)
"""Statuses in which the rest of an order can still be filled."""


@dataclass(frozen=True)
class Tick:
    """One decision of one strategy: the key is (account, strategy, tick_utc).

    ``session`` is the ISO date of the exchange session; ``world`` names the clock the decision was made by
    ("now", "as-of-2013-02-28").
    """

    account: str
    strategy: str
    tick_utc: datetime
    session: str
    decided_at: datetime
    dagster_run_id: str
    code_version: str
    world: str


@dataclass(frozen=True)
class LedgerOrder:
    """An intent with what became of it.

    ``arrived_quantity`` is what the known fills sum up to, ``filled_quantity`` that or what the broker's status says,
    whichever is larger.
    ``submission_token`` and ``submission_holder`` name the lease under which it was handed to the broker.
    """

    intent: OrderIntent
    status: OrderStatus
    perm_id: int | None
    filled_quantity: Decimal
    arrived_quantity: Decimal
    average_fill_price: Decimal | None
    dagster_run_id: str
    code_version: str | None
    signal_version: str | None
    model_version: str | None
    submission_token: int | None
    submission_holder: str | None
    submitting_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def client_order_id(self) -> str:
        """The order's name, also at the broker (``orderRef``)."""
        return self.intent.client_order_id


@dataclass(frozen=True)
class TickRecord:
    """A stored tick with its orders, sorted by client order id. ``is_new``: this call stored it.

    ``cancels``: working orders that the tick wants called off without another in their place.
    """

    tick: Tick
    orders: tuple[LedgerOrder, ...]
    is_new: bool
    cancels: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredDecision:
    """One risk decision, made when the tick was decided or again right before the order was sent."""

    decision: RiskDecision
    stage: DecisionStage
    decided_at: datetime
    dagster_run_id: str


@dataclass(frozen=True)
class OrderEvent:
    """One line of an order's history; never changed. ``from_status`` is ``None`` for the first."""

    client_order_id: str
    from_status: OrderStatus | None
    to_status: OrderStatus
    raw_status: str
    perm_id: int | None
    filled_quantity: Decimal
    message: str
    ts_utc: datetime
    dagster_run_id: str


@dataclass(frozen=True)
class Fill:
    """One execution as recorded. ``strategy`` is ``None`` when the order is not the platform's (a manual trade)."""

    execution: Execution
    strategy: str | None
    recorded_at: datetime
    dagster_run_id: str


@dataclass(frozen=True)
class EquitySnapshot:
    """The account's money at one instant, in its base currency."""

    account: str
    ts_utc: datetime
    currency: str
    net_liquidation: Decimal
    total_cash: Decimal
    gross_position_value: Decimal


@dataclass(frozen=True)
class Halt:
    """A stop of new orders for one account or, with scope ``*``, for all. Active while ``cleared_at`` is ``None``."""

    halt_id: int
    scope: str
    reason: str
    who: str
    set_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None
    clear_reason: str | None


class SubmissionStart(Enum):
    """Whether an order may be handed to the broker now. Only ``STARTED`` permits it."""

    STARTED = "started"
    NOT_APPROVED = "it is no longer approved: another run has taken it"
    SUPERSEDED = "a newer tick of the strategy exists: this decision is out of date"
    HALTED = "a halt is active"
    FENCED = "another run holds the account's submission lease"


class BrokerOrderEffect(Enum):
    """What a broker's word about an order did to the ledger."""

    UNKNOWN_ORDER = "the ledger does not know the order"
    UNCHANGED = "nothing new"
    UPDATED = "recorded"
    CONTRADICTION = "the ledger says otherwise and only an execution could prove it wrong"


@dataclass(frozen=True)
class BrokerOrderResult:
    """The effect of one broker order on the ledger, with the status the ledger holds afterwards."""

    broker_order: BrokerOrder
    effect: BrokerOrderEffect
    status: OrderStatus | None
