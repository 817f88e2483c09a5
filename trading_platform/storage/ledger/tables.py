"""The ledger's tables as SQLAlchemy sees them. Their truth, triggers included, is in ``storage/migrations``.

Every table is keyed by account, so that paper, live and as-of worlds can share one database: the same strategy
at the same tick gives the same client order id in each of them.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

UTC = timezone.utc


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """``TIMESTAMPTZ`` that refuses naive datetimes and always returns UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            msg = f"{value!r} has no time zone: the ledger stores instants only"
            raise ValueError(msg)
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


def _money(name: str, *, nullable: bool = False) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric(), nullable=nullable)


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _instant(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, UtcDateTime(), nullable=nullable, primary_key=primary_key)


metadata = sa.MetaData()

order_status_transitions = sa.Table(
    "order_status_transitions",
    metadata,
    _text("from_status", primary_key=True),
    _text("to_status", primary_key=True),
)

strategy_ticks = sa.Table(
    "strategy_ticks",
    metadata,
    _text("account", primary_key=True),
    _text("strategy", primary_key=True),
    _instant("tick_utc", primary_key=True),
    _text("session"),
    _instant("decided_at"),
    _text("dagster_run_id"),
    _text("code_version"),
    _text("world"),
)

order_intents = sa.Table(
    "order_intents",
    metadata,
    _text("account", primary_key=True),
    _text("client_order_id", primary_key=True),
    _text("strategy"),
    _text("symbol"),
    _text("side"),
    _money("quantity"),
    _text("order_type"),
    _text("time_in_force"),
    _money("limit_price", nullable=True),
    _money("stop_price", nullable=True),
    _money("decision_price"),
    sa.Column("target_weight", sa.Double(), nullable=False),
    sa.Column("confidence", sa.Double(), nullable=False),
    _text("reason"),
    _text("session"),
    _instant("tick_utc"),
    _instant("as_of_utc"),
    _text("status"),
    sa.Column("perm_id", sa.BigInteger(), nullable=True),
    _money("filled_quantity"),
    _money("average_fill_price", nullable=True),
    _text("dagster_run_id"),
    _text("code_version", nullable=True),
    _text("signal_version", nullable=True),
    _text("model_version", nullable=True),
    sa.Column("submission_token", sa.BigInteger(), nullable=True),
    _text("submission_holder", nullable=True),
    _instant("submitting_at", nullable=True),
    _instant("created_at"),
    _instant("updated_at"),
    _money("trail_amount", nullable=True),
    _money("trail_percent", nullable=True),
    _instant("good_till_utc", nullable=True),
    _text("parent_id", nullable=True),
    _text("oca_group", nullable=True),
    _money("position_quantity", nullable=True),
    sa.Column(
        "arrived_quantity",
        sa.Numeric(),
        nullable=False,
        server_default="0",
        comment="sum of its known fills; filled_quantity can be ahead, for a status can come before its execution",
    ),
    sa.ForeignKeyConstraint(
        ["account", "parent_id"],
        ["order_intents.account", "order_intents.client_order_id"],
        name="order_intents_parent_fkey",
    ),
    sa.ForeignKeyConstraint(
        ["account", "strategy", "tick_utc"],
        ["strategy_ticks.account", "strategy_ticks.strategy", "strategy_ticks.tick_utc"],
        name="order_intents_tick_fkey",
    ),
    sa.Index("order_intents_tick", "account", "strategy", "tick_utc"),
    sa.Index("order_intents_session", "account", "session"),
    sa.Index(
        "order_intents_alive",
        "account",
        postgresql_where=sa.text(
            "status IN ('created', 'approved', 'submitting', 'submitted', 'partially_filled', 'unknown')"
        ),
    ),
    sa.Index("order_intents_awaiting", "account", postgresql_where=sa.text("filled_quantity > arrived_quantity")),
)

order_replacements = sa.Table(
    "order_replacements",
    metadata,
    _text("account", primary_key=True),
    _text("strategy", primary_key=True),
    _instant("tick_utc", primary_key=True),
    _text("client_order_id", primary_key=True),
    sa.Column(
        "replaced_by", sa.Text(), nullable=True, comment="the order that waits until this one is over; null: called off"
    ),
    sa.ForeignKeyConstraint(
        ["account", "strategy", "tick_utc"],
        ["strategy_ticks.account", "strategy_ticks.strategy", "strategy_ticks.tick_utc"],
        name="order_replacements_tick_fkey",
    ),
    sa.ForeignKeyConstraint(
        ["account", "client_order_id"],
        ["order_intents.account", "order_intents.client_order_id"],
        name="order_replacements_old_fkey",
    ),
    sa.ForeignKeyConstraint(
        ["account", "replaced_by"],
        ["order_intents.account", "order_intents.client_order_id"],
        name="order_replacements_new_fkey",
    ),
    sa.Index("order_replacements_new", "account", "replaced_by"),
)

risk_decisions = sa.Table(
    "risk_decisions",
    metadata,
    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
    _text("account"),
    _text("client_order_id"),
    _text("stage"),
    sa.Column("is_approved", sa.Boolean(), nullable=False),
    sa.Column("results", JSONB(), nullable=False),
    _instant("decided_at"),
    _text("dagster_run_id"),
    sa.ForeignKeyConstraint(
        ["account", "client_order_id"],
        ["order_intents.account", "order_intents.client_order_id"],
        name="risk_decisions_order_fkey",
    ),
    sa.Index("risk_decisions_order", "account", "client_order_id"),
)

order_events = sa.Table(
    "order_events",
    metadata,
    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
    _text("account"),
    _text("client_order_id"),
    _text("from_status", nullable=True),
    _text("to_status"),
    _text("raw_status"),
    sa.Column("perm_id", sa.BigInteger(), nullable=True),
    _money("filled_quantity"),
    _text("message"),
    _instant("ts_utc"),
    _text("dagster_run_id"),
    sa.ForeignKeyConstraint(
        ["account", "client_order_id"],
        ["order_intents.account", "order_intents.client_order_id"],
        name="order_events_order_fkey",
    ),
    sa.Index("order_events_order", "account", "client_order_id"),
)


def _fill_columns() -> list[sa.Column[Any]]:
    return [
        _text("account", primary_key=True),
        _text("execution_id", primary_key=True),
        sa.Column(
            "series",
            sa.Text(),
            nullable=False,
            comment="execution_id without its correction suffix: .02 supersedes .01",
        ),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("client_order_id", nullable=True),
        _text("strategy", nullable=True),
        sa.Column("perm_id", sa.BigInteger(), nullable=True),
        _text("symbol"),
        _text("side"),
        _money("quantity"),
        _money("price"),
        _money("commission", nullable=True),
        _money("realized_pnl", nullable=True),
        _instant("ts_utc"),
        _instant("recorded_at"),
        _text("dagster_run_id"),
    ]


fills = sa.Table(
    "fills",
    metadata,
    *_fill_columns(),
    sa.Index("fills_order", "account", "client_order_id"),
    sa.Index("fills_time", "account", "ts_utc"),
    sa.Index("fills_series", "account", "series", "revision"),
)

effective_fills = sa.Table("effective_fills", sa.MetaData(), *_fill_columns())
"""A view: of every execution the newest correction, without those that were superseded."""

position_snapshots = sa.Table(
    "position_snapshots",
    metadata,
    _text("account", primary_key=True),
    _instant("ts_utc", primary_key=True),
    _text("symbol", primary_key=True),
    _money("quantity"),
    _money("average_price"),
    _text("dagster_run_id"),
)

equity_snapshots = sa.Table(
    "equity_snapshots",
    metadata,
    _text("account", primary_key=True),
    _instant("ts_utc", primary_key=True),
    _text("currency"),
    _money("net_liquidation"),
    _money("total_cash"),
    _money("gross_position_value"),
    _text("dagster_run_id"),
)

halts = sa.Table(
    "halts",
    metadata,
    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
    sa.Column("scope", sa.Text(), nullable=False, comment="an account, or * for all"),
    _text("reason"),
    _text("who"),
    _instant("set_at"),
    _instant("cleared_at", nullable=True),
    _text("cleared_by", nullable=True),
    _text("clear_reason", nullable=True),
    sa.Index("halts_active", "scope", postgresql_where=sa.text("cleared_at IS NULL")),
)

submission_leases = sa.Table(
    "submission_leases",
    metadata,
    _text("account", primary_key=True),
    _text("holder"),
    sa.Column("fencing_token", sa.BigInteger(), nullable=False),
    _instant("acquired_at"),
    _instant("expires_at"),
    _instant("released_at", nullable=True),
)
