"""What a session's record holds of a strategy: refusals by reason, fills, costs, and what made them."""

from __future__ import annotations

import pytest

from trading_platform.domain.orders.model import ControlResult, RiskDecision
from trading_platform.execution.session_activity import read_activity
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    STRATEGY,
    approve,
    make_execution,
    make_intent,
    make_tick,
    start,
)

SESSION = "2024-03-05"


def test_a_session_is_told_with_its_refusals_fills_and_costs(ledger):
    bought, refused, late = (make_intent(symbol) for symbol in ("AAPL", "IBM", "MSFT"))
    against = RiskDecision(
        refused.client_order_id,
        (
            ControlResult("MaxOrderNotional", False, "too much", {}),
            ControlResult("FreshPrice", False, "can't be evaluated: no quote", {}),
        ),
    )
    ledger.record_tick(
        make_tick(),
        [(bought, approve(bought)), (refused, against), (late, approve(late))],
        signal_version="signals-run#abc",
    )
    at_the_door = RiskDecision(late.client_order_id, (ControlResult("NoHalt", False, "halted", {}),))
    for _ in range(2):
        ledger.record_refusal(ACCOUNT, at_the_door, at=NOW, run_id=RUN)
    start(ledger, bought)
    ledger.record_executions([make_execution(1, bought)], at=NOW, run_id="fills-run")

    activity = read_activity(ledger, ACCOUNT, STRATEGY, SESSION)
    expected = {
        "intents": 3,
        "approved": 2,
        "refused": 1,
        "refused_at_submission": 1,
        "orders": 2,
        "filled_orders": 1,
        "fills": 1,
        "traded_notional_usd": 1705.0,
        "commissions_usd": 1.0,
        "slippage_usd": 2.5,
        "mean_slippage_bps": pytest.approx(2.5 / 1705 * 10_000),
        "refused.MaxOrderNotional": 1,
        "refused.FreshPrice.unevaluable": 1,
        "refused.NoHalt": 1,
        "orders_cancelled": 0,
    }
    assert {name: activity.metrics[name] for name in expected} == expected
    assert {name: len(frame) for name, frame in activity.tables.items()} == {
        "orders": 2,
        "risk_decisions": 7,
        "fills": 1,
    }
    assert activity.tags == {
        "decided_by_runs": RUN,
        "filled_by_runs": "fills-run",
        "signal_versions": "signals-run#abc",
        "model_versions": "",
        "code_versions": "abc123",
    }


def test_a_session_without_orders_has_counts_of_zero_and_no_means(ledger):
    activity = read_activity(ledger, ACCOUNT, STRATEGY, SESSION)
    assert set(activity.metrics.values()) == {0}
    assert "mean_slippage_bps" not in activity.metrics
    assert all(frame.empty for frame in activity.tables.values())
