"""The ledger as tables: one row per order or fill, in the columns of the contracts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trading_platform.execution.tables import executions_table, intents_table, orders_table
from trading_platform.schemas.base import validate
from trading_platform.schemas.orders import Executions, OrderIntents, Orders
from trading_platform.storage.ledger import Ledger, Tick
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    STRATEGY,
    TICK,
    approve,
    make_execution,
    make_intent,
    make_tick,
    reject,
    start,
)

SESSION = "2024-03-05"


def record(ledger: Ledger, tick: Tick | None = None) -> None:
    """AAPL approved, IBM rejected."""
    tick = tick or make_tick()
    bought, refused = make_intent("AAPL", tick=tick), make_intent("IBM", tick=tick)
    ledger.record_tick(tick, [(bought, approve(bought)), (refused, reject(refused))])


def fill(ledger: Ledger) -> None:
    intent = make_intent("AAPL")
    start(ledger, intent)
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)


def test_intents_show_what_risk_said_of_each(ledger):
    record(ledger)
    frame = validate(OrderIntents, intents_table(ledger, ACCOUNT, STRATEGY, [SESSION]))
    assert list(zip(frame["symbol"], frame["is_approved"], frame["reasons"], strict=True)) == [
        ("AAPL", True, ""),
        ("IBM", False, "max_notional: 1702.5 is above 1000"),
    ]
    assert list(frame["notional_usd"]) == [1702.5, 1702.5]
    assert set(frame["tick_utc"]) == {pd.Timestamp(TICK)}


def test_orders_are_what_risk_approved_with_what_became_of_it(ledger):
    record(ledger)
    waiting = validate(Orders, orders_table(ledger, ACCOUNT, STRATEGY, [SESSION]))
    assert list(waiting["symbol"]) == ["AAPL"]
    assert list(waiting["status"]) == ["approved"]
    assert list(waiting["perm_id"]) == [0]
    assert waiting["average_price_usd"].isna().all()
    fill(ledger)
    (row,) = validate(Orders, orders_table(ledger, ACCOUNT, STRATEGY, [SESSION])).to_dict("records")
    assert (row["status"], row["filled_quantity"], row["average_price_usd"]) == ("filled", 10.0, 170.5)
    assert row["slippage_bps"] == pytest.approx((170.5 - 170.25) / 170.25 * 10_000)


def test_executions_carry_strategy_and_commission(ledger):
    record(ledger)
    fill(ledger)
    ledger.record_executions([make_execution(2, symbol="MSFT", commission=None)], at=NOW, run_id=RUN)
    frame = validate(Executions, executions_table(ledger, ACCOUNT))
    assert list(frame["strategy"]) == [STRATEGY, ""]
    assert frame["commission_usd"].iloc[0] == 1.0
    assert np.isnan(frame["commission_usd"].iloc[1])
    assert frame["ts_utc"].is_monotonic_increasing


def test_only_the_wanted_sessions_and_strategy_are_in_the_tables(ledger):
    record(ledger)
    other = replace(make_tick(TICK.replace(day=6)), session="2024-03-06")
    intent = replace(make_intent("AAPL", tick=other), session="2024-03-06")
    ledger.record_tick(other, [(intent, approve(intent))])
    assert len(intents_table(ledger, ACCOUNT, STRATEGY, ["2024-03-06"])) == 1
    assert len(intents_table(ledger, ACCOUNT, STRATEGY, ["2024-03-06", SESSION])) == 3
    assert len(intents_table(ledger, ACCOUNT, STRATEGY, ["2024-03-07"])) == 0
    assert len(intents_table(ledger, ACCOUNT, "tsla", [SESSION])) == 0


@pytest.mark.parametrize(
    ("model", "make"),
    [
        (OrderIntents, lambda ledger: intents_table(ledger, ACCOUNT, STRATEGY, [SESSION])),
        (Orders, lambda ledger: orders_table(ledger, ACCOUNT, STRATEGY, [SESSION])),
        (Executions, lambda ledger: executions_table(ledger, ACCOUNT)),
    ],
)
def test_an_empty_ledger_makes_empty_tables_that_keep_their_contract(ledger, model, make):
    frame = validate(model, make(ledger))
    assert len(frame) == 0
    assert list(frame.columns) == list(model.to_schema().columns)
