"""The run around the orders: guards first, one decision, one submission, and a last look before each order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.trade import OrderRun, decide_current_tick, submit_current_tick
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.domain.orders.builders import spec
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, TICK

WHOLE = {"max_concentration_pct": 100}
SPEC = spec(
    name="momentum",
    universe=("AAPL", "IBM"),
    limits={"max_signal_age_seconds": 60, **WHOLE},
    account_limits={"max_sector_pct": 100, **WHOLE},
)
MakeRun = Callable[..., OrderRun]


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl", fills=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def make_run(ledger: Ledger, broker: QuotingBroker, clock: ManualClock) -> MakeRun:
    def make(**changes: Any) -> OrderRun:
        fields: dict[str, Any] = {
            "spec": SPEC,
            "sessions": ("2024-03-05",),
            "run_id": "run",
            "run_tags": {},
            "settings": Settings(_env_file=None, ibkr_account=ACCOUNT),
            "clock": clock,
            "instruments": {symbol: Instrument(symbol) for symbol in ("AAPL", "IBM")},
            "ledger": ledger,
            "connect": lambda: broker,
            "quarantined": frozenset,
            "log": print,
            "newest_bars": lambda: {symbol: TICK - timedelta(minutes=5) for symbol in ("AAPL", "IBM")},
        }
        return OrderRun(**(fields | changes))

    return make


def signals(*symbols: str, tick: datetime = TICK, as_of: datetime = NOW) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "symbol": symbol,
                "tick_utc": pd.Timestamp(tick),
                "as_of_utc": pd.Timestamp(as_of),
                "side": "LONG",
                "target_weight": 0.5,
                "confidence": 0.7,
                "price": 170.5,
                "reason": "up",
            }
            for symbol in symbols
        ]
    )


BOTH = signals("AAPL", "IBM")


def test_a_decided_tick_is_sent_and_filled(make_run, ledger, broker):
    decided = decide_current_tick(make_run(), BOTH)
    assert decided.outcome == "tick 2024-03-05 15:30 UTC decided: 2 intents"
    sent = submit_current_tick(make_run())
    assert (sent.account, sent.outcome, sent.new_orders, sent.refusals) == (ACCOUNT, "2 placed", 2, ())
    assert {order.status for order in ledger.orders(ACCOUNT)} == {OrderStatus.FILLED}
    assert len(broker.placed) == 2


def test_sending_again_places_nothing_and_says_why(make_run, broker):
    decide_current_tick(make_run(), BOTH)
    submit_current_tick(make_run())
    again = submit_current_tick(make_run())
    assert again.new_orders == 0
    assert again.outcome.startswith("2 already placed (momentum.AAPL.20240305T1530Z.r0: an earlier run")
    assert len(broker.placed) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"run_tags": {"dagster/backfill": "abc"}}, "backfills place no orders"),
        ({"sessions": ("2024-03-04",)}, "session 2024-03-04 is not the current one, 2024-03-05"),
        ({"sessions": ("2024-03-04", "2024-03-05")}, "the run covers 2 sessions"),
        ({"clock": ManualClock(NOW + timedelta(hours=6))}, "the market is closed"),
        ({"settings": Settings(_env_file=None, ibkr_account=ACCOUNT, read_only=True)}, "READ_ONLY"),
        ({"settings": Settings(_env_file=None, ibkr_account=ACCOUNT, mode="live")}, "is a paper account"),
        ({"settings": Settings(_env_file=None, ibkr_account="U123456")}, "is a live account and the mode is paper"),
    ],
)
def test_a_run_that_may_not_trade_neither_decides_nor_sends(make_run, ledger, broker, changes, reason):
    run = make_run(**changes)
    assert reason in decide_current_tick(run, BOTH).outcome
    sent = submit_current_tick(run)
    assert any(reason in refusal for refusal in sent.refusals)
    assert sent.new_orders == 0
    assert ledger.orders(ACCOUNT) == []
    assert broker.placed == []


def test_a_refused_run_does_not_even_connect(make_run):
    def connect() -> QuotingBroker:
        raise AssertionError

    run = make_run(run_tags={"dagster/backfill": "abc"}, connect=connect)
    assert "backfill" in decide_current_tick(run, BOTH).outcome
    assert submit_current_tick(run).refusals


@pytest.mark.parametrize("late", [signals("AAPL", tick=TICK - timedelta(minutes=5)), pd.DataFrame()])
def test_a_tick_without_signals_stays_undecided_for_the_run_that_has_them(make_run, broker, late):
    """A run that began in the last tick, or found no table, must not use this tick up."""
    assert decide_current_tick(make_run(), late).outcome == (
        "nothing decided: no signals of the tick 2024-03-05 15:30 UTC"
    )
    sent = submit_current_tick(make_run())
    assert sent.refusals == ("the tick 2024-03-05 15:30 UTC has not been decided",)
    assert decide_current_tick(make_run(), BOTH).outcome.endswith("decided: 2 intents")
    assert submit_current_tick(make_run()).new_orders == 2


def test_yesterdays_decision_is_not_sent_today(make_run, clock, broker):
    decide_current_tick(make_run(), BOTH)
    clock.set(NOW + timedelta(days=1))
    broker.now = clock.now()
    sent = submit_current_tick(make_run(sessions=("2024-03-06",)))
    assert "has not been decided" in sent.outcome
    assert broker.placed == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda broker, clock: broker.mute.update({"AAPL", "IBM"}), "no fresh price"),
        (lambda broker, clock: clock.advance(timedelta(seconds=55)) and setattr(broker, "now", NOW), None),
        (lambda broker, clock: clock.advance(timedelta(minutes=3)), "old, limit 60 s"),
    ],
)
def test_every_control_is_asked_again_before_an_order_leaves(make_run, broker, clock, spoil, reason):
    decide_current_tick(make_run(), BOTH)
    spoil(broker, clock)
    sent = submit_current_tick(make_run())
    if reason is None:
        assert sent.new_orders == 2
    else:
        assert sent.new_orders == 0
        assert reason in sent.outcome
        assert broker.placed == []


def test_bars_quarantined_after_the_decision_stop_their_symbol(make_run, broker):
    decide_current_tick(make_run(), BOTH)
    sent = submit_current_tick(make_run(quarantined=lambda: frozenset({"AAPL"})))
    assert sent.new_orders == 1
    assert "bars of AAPL are quarantined" in sent.outcome
    assert broker.placed == ["momentum.IBM.20240305T1530Z.r0"]


def test_orders_that_passed_count_for_the_next_ones(make_run, broker):
    """At submission too: two orders, of which the account can pay one."""
    decide_current_tick(make_run(), BOTH)
    broker.equity = type(broker.equity)(60_000)
    sent = submit_current_tick(make_run())
    assert sent.new_orders == 1
    assert "BuyingPower" in sent.outcome


def test_a_refused_order_may_be_sent_by_a_later_run_of_the_tick(make_run, ledger, broker):
    decide_current_tick(make_run(), BOTH)
    halt = ledger.halt(ACCOUNT, reason="odd", who="me", at=NOW)
    assert submit_current_tick(make_run()).new_orders == 0
    ledger.clear_halt(halt.halt_id, reason="fine", who="me", at=NOW)
    assert submit_current_tick(make_run()).new_orders == 2
    assert len(broker.placed) == 2


def test_a_tick_that_needs_no_order_is_told_from_one_that_was_refused(make_run):
    flat = BOTH.assign(side="FLAT", target_weight=0.0)
    decided = decide_current_tick(make_run(), flat)
    assert decided.outcome.endswith("decided: 0 intents")
    assert {skip["symbol"] for skip in decided.skipped} == {"AAPL", "IBM"}
    sent = submit_current_tick(make_run())
    assert (sent.outcome, sent.refusals) == ("nothing to send: the tick has no intents", ())
