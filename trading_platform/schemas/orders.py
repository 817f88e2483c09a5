"""Tables of the orders stage. The ledger is their source; these are what people and analyses read."""

from __future__ import annotations

from typing import get_args

import pandera.pandas as pa
from pandera.typing import Series

from trading_platform.domain.orders.model import OrderStatus, OrderType, TimeInForce
from trading_platform.schemas.base import SESSION_PATTERN, Table, UTCStamp

STATUSES = [status.value for status in OrderStatus]
SIDES = ["BUY", "SELL"]
SIGNAL_VERSION = "Signals it was made of: the Dagster run that made them, #, digest of the rows; empty: none"
MODEL_VERSION = "Model that decided; empty where a rule did"
CODE_VERSION = "Version of the platform that decided"
ORDER_TYPES = list(get_args(OrderType))
TIMES_IN_FORCE = list(get_args(TimeInForce))
ORDER_TYPE = "MKT, LMT, STP, STP LMT, TRAIL, MOC or LOC"


class OrderIntents(Table):
    """What a strategy asked to trade and what risk said of it. Key: client_order_id."""

    client_order_id: Series[str] = pa.Field(unique=True, description="The order's name, also the broker's orderRef")
    strategy: Series[str] = pa.Field(description="Strategy name")  # type: ignore[assignment]  # hides a helper for hypothesis
    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    tick_utc: Series[UTCStamp] = pa.Field(description="The tick it was decided at")
    side: Series[str] = pa.Field(isin=SIDES, description="BUY or SELL")
    quantity: Series[float] = pa.Field(gt=0, description="Shares or coins")
    wanted_quantity: Series[float] = pa.Field(gt=0, description="Quantity before it was cut to limits")
    cut_by: Series[str] = pa.Field(description="Control that the quantity was cut for; empty when it was not cut")
    order_type: Series[str] = pa.Field(isin=ORDER_TYPES, description=ORDER_TYPE)
    time_in_force: Series[str] = pa.Field(isin=TIMES_IN_FORCE, description="DAY, GTC, IOC or GTD")
    bracket: Series[str] = pa.Field(description="Of an exit: the name of its entry; else empty")
    limit_price: Series[float] = pa.Field(nullable=True, gt=0, description="Limit, USD")
    stop_price: Series[float] = pa.Field(nullable=True, gt=0, description="Stop, USD; of a trailing stop its first")
    replaces: Series[str] = pa.Field(description="Working orders that must be over before it is sent, by name")
    decision_price_usd: Series[float] = pa.Field(gt=0, description="Price the decision was made at")
    notional_usd: Series[float] = pa.Field(gt=0, description="Quantity times decision price")
    is_approved: Series[bool] = pa.Field(description="Whether every risk control passed")
    reason_codes: Series[str] = pa.Field(description="Codes of the failed controls; empty when approved")
    reasons: Series[str] = pa.Field(description="What the failed controls said; empty when approved")
    decided_by_run: Series[str] = pa.Field(description="Dagster run that decided the tick")
    signal_version: Series[str] = pa.Field(description=SIGNAL_VERSION)
    model_version: Series[str] = pa.Field(description=MODEL_VERSION)
    code_version: Series[str] = pa.Field(description=CODE_VERSION)


class RiskDecisions(Table):
    """Verdicts on intents, at the decision and again before sending. Key: client_order_id, stage, attempt, control.

    One row per control that refused, or one for the approval.
    """

    client_order_id: Series[str] = pa.Field(description="The order's name, also the broker's orderRef")
    account: Series[str] = pa.Field(description="Account; paper accounts start with D")
    strategy: Series[str] = pa.Field(description="Strategy name")  # type: ignore[assignment]  # hides a helper for hypothesis
    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    tick_utc: Series[UTCStamp] = pa.Field(description="The tick it was decided at")
    side: Series[str] = pa.Field(isin=SIDES, description="BUY or SELL")
    quantity: Series[float] = pa.Field(gt=0, description="Shares or coins")
    stage: Series[str] = pa.Field(
        isin=["decision", "submission"], description="decision: at the tick; submission: right before it was sent"
    )
    attempt: Series[int] = pa.Field(ge=1, description="1 for the first verdict of the stage, 2 for the next, …")
    decided_at_utc: Series[UTCStamp] = pa.Field(description="When it was judged")
    is_approved: Series[bool] = pa.Field(description="Whether every control passed")
    control: Series[str] = pa.Field(description="The control that refused; empty for an approval")
    reason_code: Series[str] = pa.Field(
        description="approved, the control's name, or the name with :unevaluable when it lacked a number"
    )
    reason: Series[str] = pa.Field(description="What the control said, with limit and value; empty for an approval")
    numbers: Series[str] = pa.Field(description="JSON of the numbers the verdict rests on; for an approval by control")
    controls_asked: Series[int] = pa.Field(ge=0, description="How many controls judged it")
    dagster_run_id: Series[str] = pa.Field(description="Dagster run that judged it")

    class Config:
        unique = ["client_order_id", "stage", "attempt", "control"]  # noqa: RUF012 - Pandera reads a plain class


class Orders(Table):
    """Orders as the ledger knows them. Key: client_order_id."""

    client_order_id: Series[str] = pa.Field(unique=True, description="The order's name, also the broker's orderRef")
    account: Series[str] = pa.Field(description="Account; paper accounts start with D")
    strategy: Series[str] = pa.Field(description="Strategy name")  # type: ignore[assignment]  # hides a helper for hypothesis
    symbol: Series[str] = pa.Field(description="Ticker")
    session: Series[str] = pa.Field(str_matches=SESSION_PATTERN, description="Exchange session, ISO date")
    tick_utc: Series[UTCStamp] = pa.Field(description="The tick it was decided at")
    side: Series[str] = pa.Field(isin=SIDES, description="BUY or SELL")
    quantity: Series[float] = pa.Field(gt=0, description="Shares or coins")
    order_type: Series[str] = pa.Field(isin=ORDER_TYPES, description=ORDER_TYPE)
    time_in_force: Series[str] = pa.Field(isin=TIMES_IN_FORCE, description="DAY, GTC, IOC or GTD")
    bracket: Series[str] = pa.Field(description="Of an exit: the name of its entry; else empty")
    status: Series[str] = pa.Field(isin=STATUSES, description="State in the ledger")
    perm_id: Series[int] = pa.Field(ge=0, description="IBKR's durable id; 0 while unknown")
    filled_quantity: Series[float] = pa.Field(ge=0, description="Shares or coins executed so far")
    average_price_usd: Series[float] = pa.Field(nullable=True, gt=0, description="Average fill price")
    slippage_bps: Series[float] = pa.Field(
        nullable=True, description="Fill price against decision price, in 1/100 percent; positive is a cost"
    )
    limit_price: Series[float] = pa.Field(nullable=True, gt=0, description="Limit, USD")
    decision_price_usd: Series[float] = pa.Field(gt=0, description="Price the decision was made at")
    commission_usd: Series[float] = pa.Field(nullable=True, description="Of its fills so far; null without a report")
    sent_at_utc: Series[UTCStamp] = pa.Field(nullable=True, description="When it was handed to the broker")
    reason: Series[str] = pa.Field(description="Why the strategy wanted it")
    note: Series[str] = pa.Field(description="What broker or platform last said of it")
    decided_by_run: Series[str] = pa.Field(description="Dagster run that decided the tick")
    signal_version: Series[str] = pa.Field(description=SIGNAL_VERSION)
    model_version: Series[str] = pa.Field(description=MODEL_VERSION)
    code_version: Series[str] = pa.Field(description=CODE_VERSION)


class Executions(Table):
    """Fills as the broker reported them. Key: account, execution_id."""

    execution_id: Series[str] = pa.Field(description="IBKR execution id")
    client_order_id: Series[str] = pa.Field(description="The order's name; empty when placed elsewhere")
    perm_id: Series[int] = pa.Field(ge=0, description="IBKR's durable order id")
    account: Series[str] = pa.Field(description="Account")
    strategy: Series[str] = pa.Field(description="Strategy name; empty when placed elsewhere")  # type: ignore[assignment]  # hides a helper for hypothesis
    symbol: Series[str] = pa.Field(description="Ticker")
    side: Series[str] = pa.Field(isin=SIDES, description="BUY or SELL")
    quantity: Series[float] = pa.Field(gt=0, description="Shares or coins")
    price_usd: Series[float] = pa.Field(gt=0, description="Fill price")
    commission_usd: Series[float] = pa.Field(nullable=True, description="Null until the commission report came")
    ts_utc: Series[UTCStamp] = pa.Field(description="When it was executed, broker's clock")
    session: Series[str] = pa.Field(description="Session of its order, ISO date; empty when placed elsewhere")
    slippage_bps: Series[float] = pa.Field(
        nullable=True, description="Price against the order's decision price, in 1/100 percent; positive is a cost"
    )
    recorded_by_run: Series[str] = pa.Field(description="Dagster run that took it into the ledger")
    decided_by_run: Series[str] = pa.Field(description="Dagster run that decided its order; empty: placed elsewhere")
    signal_version: Series[str] = pa.Field(description=SIGNAL_VERSION)
    model_version: Series[str] = pa.Field(description=MODEL_VERSION)
    code_version: Series[str] = pa.Field(description=CODE_VERSION)

    class Config:
        unique = ["account", "execution_id"]  # noqa: RUF012 - Pandera reads a plain class
