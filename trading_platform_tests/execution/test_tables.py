"""The ledger as tables: one row per order or fill, in the columns of the contracts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.orders.model import ControlResult, RiskDecision
from trading_platform.domain.orders.risk.context import UnevaluableError
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.execution.tables import (
    executions_table,
    intents_table,
    orders_table,
    refusal_counts,
    risk_decisions_table,
)
from trading_platform.schemas.base import validate
from trading_platform.schemas.orders import Executions, OrderIntents, Orders, RiskDecisions
from trading_platform.storage.ledger import Ledger, Tick
from trading_platform_tests.domain.orders.builders import context
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
SIGNALS, MODEL = "signals-run#0123456789ab", "momentum/3"


def record(ledger: Ledger, tick: Tick | None = None) -> None:
    """AAPL approved, IBM rejected."""
    tick = tick or make_tick()
    bought, refused = make_intent("AAPL", tick=tick), make_intent("IBM", tick=tick)
    ledger.record_tick(
        tick, [(bought, approve(bought)), (refused, reject(refused))], signal_version=SIGNALS, model_version=MODEL
    )


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


def test_a_blotters_row_has_limit_commission_reasons_and_the_last_word_on_it(ledger):
    record(ledger)
    (row,) = orders_table(ledger, ACCOUNT, STRATEGY, [SESSION]).to_dict("records")
    assert row["sent_at_utc"] is pd.NaT
    assert np.isnan(row["commission_usd"])
    fill(ledger)
    (row,) = validate(Orders, orders_table(ledger, ACCOUNT, STRATEGY, [SESSION])).to_dict("records")
    assert (row["commission_usd"], row["decision_price_usd"], row["reason"]) == (1.0, 170.25, "test")
    assert row["sent_at_utc"] == pd.Timestamp(NOW)
    assert row["note"] == "proved by executions"


@pytest.mark.parametrize(
    "table",
    [
        lambda ledger: intents_table(ledger, ACCOUNT, STRATEGY, [SESSION]),
        lambda ledger: orders_table(ledger, ACCOUNT, STRATEGY, [SESSION]),
        lambda ledger: executions_table(ledger, ACCOUNT),
    ],
    ids=["intents", "orders", "executions"],
)
def test_every_row_says_which_run_signals_model_and_code_made_it(ledger, table):
    record(ledger)
    fill(ledger)
    row = table(ledger).iloc[0]
    assert (row["decided_by_run"], row["signal_version"], row["model_version"], row["code_version"]) == (
        RUN,
        SIGNALS,
        MODEL,
        "abc123",
    )


def test_fills_by_hand_have_no_origin_and_say_who_recorded_them(ledger):
    ledger.record_executions([make_execution(2, symbol="MSFT")], at=NOW, run_id="later")
    (row,) = validate(Executions, executions_table(ledger, ACCOUNT)).to_dict("records")
    assert (row["session"], row["decided_by_run"], row["signal_version"], row["recorded_by_run"]) == (
        "",
        "",
        "",
        "later",
    )
    assert np.isnan(row["slippage_bps"])


def test_risk_decisions_are_a_row_per_refusing_control_and_one_per_approval(ledger):
    record(ledger)
    intent = make_intent("AAPL")
    passed = ControlResult("MaxOrderNotional", True, "", {"limit_usd": "5000"})
    halted = ControlResult("NoHalt", False, "stop", {"halts": "1"})
    blind = ControlResult("FreshPrice", False, "can't be evaluated: no quote", {})
    at_the_door = RiskDecision(intent.client_order_id, (passed, halted, blind))
    for _ in range(2):  # two runs, at the same moment
        ledger.record_refusal(ACCOUNT, at_the_door, at=NOW, run_id="run-2")
    frame = validate(RiskDecisions, risk_decisions_table(ledger, ACCOUNT, STRATEGY, [SESSION]))
    told = frame[["symbol", "stage", "attempt", "is_approved", "reason_code", "controls_asked", "dagster_run_id"]]
    assert sorted(told.itertuples(index=False, name=None)) == [
        ("AAPL", "decision", 1, True, "approved", 1, RUN),
        ("AAPL", "submission", 1, False, "FreshPrice:unevaluable", 3, "run-2"),
        ("AAPL", "submission", 1, False, "NoHalt", 3, "run-2"),
        ("AAPL", "submission", 2, False, "FreshPrice:unevaluable", 3, "run-2"),
        ("AAPL", "submission", 2, False, "NoHalt", 3, "run-2"),
        ("IBM", "decision", 1, False, "max_notional", 1, RUN),
    ]
    numbers = dict(zip(frame["symbol"] + frame["reason_code"], frame["numbers"].map(json.loads), strict=True))
    assert numbers["AAPLNoHalt"] == {"halts": "1"}
    assert numbers["AAPLapproved"] == {"max_notional": {"limit": "50000"}}
    assert list(frame.loc[frame["is_approved"], "reason"]) == [""]


def test_a_control_that_breaks_is_told_from_one_that_says_no():
    """The code's suffix hangs on the words that ``decide`` begins such a reason with."""

    class Broken:
        def evaluate(self, intent, context):
            msg = "no quote"
            raise UnevaluableError(msg)

    (decision,) = decide([make_intent()], context(), [Broken()])
    assert [result.reason_code for result in decision.results] == ["Broken:unevaluable"]


def test_refusals_are_counted_by_session_and_code_each_order_once(ledger):
    record(ledger)
    intent = make_intent("AAPL")
    halted = RiskDecision(intent.client_order_id, (ControlResult("NoHalt", False, "stop", {}),))
    for _ in range(3):
        ledger.record_refusal(ACCOUNT, halted, at=NOW, run_id=RUN)
    assert refusal_counts(ledger, ACCOUNT, first_session="2024-03-01") == {SESSION: {"max_notional": 1, "NoHalt": 1}}
    assert refusal_counts(ledger, ACCOUNT, first_session=SESSION, strategy="tsla") == {}
    assert refusal_counts(ledger, ACCOUNT, first_session="2024-03-06") == {}


def test_a_session_without_refusals_is_counted_as_such(ledger):
    intent = make_intent()
    ledger.record_tick(make_tick(), [(intent, approve(intent))])
    assert refusal_counts(ledger, ACCOUNT, first_session=SESSION) == {SESSION: {}}


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
        (RiskDecisions, lambda ledger: risk_decisions_table(ledger, ACCOUNT, STRATEGY, [SESSION])),
    ],
)
def test_an_empty_ledger_makes_empty_tables_that_keep_their_contract(ledger, model, make):
    frame = validate(model, make(ledger))
    assert len(frame) == 0
    assert list(frame.columns) == list(model.to_schema().columns)
