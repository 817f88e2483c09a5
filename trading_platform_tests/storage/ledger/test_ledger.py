"""The ledger's promises: the first decision wins, history is complete, positions follow from fills alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_platform.domain.orders.model import AccountSummary, OrderStatus, Position
from trading_platform.domain.orders.state import IllegalTransitionError
from trading_platform.storage.ledger import (
    FillConflictError,
    LeaseHeldError,
    LeaseLostError,
    Ledger,
    LedgerRefusedError,
    UnknownOrderError,
)
from trading_platform.storage.ledger.fills import split_execution_id
from trading_platform.storage.ledger.model import BrokerOrderEffect, SubmissionStart
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    STRATEGY,
    TICK,
    approve,
    make_broker_order,
    make_execution,
    make_intent,
    make_tick,
    record,
    reject,
    start,
)
from trading_platform_tests.storage.ledger.faults import cut_lease_connections


def status_of(ledger: Ledger, symbol: str = "AAPL") -> OrderStatus:
    (order,) = ledger.orders(ACCOUNT, client_order_ids=[make_intent(symbol).client_order_id])
    return order.status


def test_a_tick_comes_back_as_it_was_stored(ledger):
    tick, intent, other = make_tick(), make_intent(), make_intent("IBM", side="SELL", quantity="2.5")
    stored = ledger.record_tick(tick, [(intent, approve(intent)), (other, reject(other))])
    assert stored.is_new
    assert stored.tick == tick
    assert [order.intent for order in stored.orders] == [intent, other]
    assert [order.status for order in stored.orders] == [OrderStatus.APPROVED, OrderStatus.REJECTED]
    assert ledger.tick(ACCOUNT, STRATEGY, TICK) == replace(stored, is_new=False)
    assert [d.decision for d in ledger.risk_decisions(ACCOUNT)] == [approve(intent), reject(other)]
    assert {order.code_version for order in stored.orders} == {"abc123"}


def test_the_first_decision_of_a_tick_wins(ledger):
    record(ledger)
    changed = make_intent(quantity="99")
    again = ledger.record_tick(make_tick(run_id="run-2"), [(changed, approve(changed))])
    assert not again.is_new
    assert again.tick.dagster_run_id == RUN
    assert [order.intent.request.quantity for order in again.orders] == [Decimal(10)]
    assert len(ledger.order_events(ACCOUNT)) == 2


def test_a_tick_without_intents_is_a_decision_too(ledger):
    assert ledger.record_tick(make_tick(), []).is_new
    assert record(ledger).orders == ()


def test_of_many_transactions_that_record_one_tick_at_once_one_wins(ledger):
    barrier = threading.Barrier(6)

    def decide(number: int) -> bool:
        intent = make_intent(quantity=str(number + 1))
        barrier.wait()
        return ledger.record_tick(make_tick(run_id=f"run-{number}"), [(intent, approve(intent))]).is_new

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(decide, range(6))) == [False] * 5 + [True]
    (order,) = ledger.orders(ACCOUNT)
    assert order.dagster_run_id == f"run-{order.intent.request.quantity - 1}"


def test_a_tick_with_one_bad_intent_is_not_stored_at_all(ledger):
    good, bad = make_intent(), make_intent("IBM", quantity="0")
    with pytest.raises(LedgerRefusedError, match="quantity"):
        ledger.record_tick(make_tick(), [(good, approve(good)), (bad, approve(bad))])
    assert ledger.tick(ACCOUNT, STRATEGY, TICK) is None


def test_intents_of_another_tick_are_refused(ledger):
    intent = make_intent(tick=make_tick(strategy="other"))
    with pytest.raises(ValueError, match="another account, strategy, tick or session"):
        ledger.record_tick(make_tick(), [(intent, approve(intent))])


def test_accounts_are_worlds_apart_even_with_the_same_order_ids(ledger):
    record(ledger)
    other = make_tick(account="DU20130228")
    assert record(ledger, tick=other).is_new
    assert len(ledger.orders(ACCOUNT)) == 1
    assert len(ledger.orders("DU20130228")) == 1


def test_a_new_tick_expires_what_was_approved_and_never_sent(ledger):
    record(ledger, ("AAPL", "IBM"))
    start(ledger, make_intent("IBM"))
    record(ledger, tick=make_tick(TICK + timedelta(minutes=5)))
    assert status_of(ledger, "AAPL") is OrderStatus.EXPIRED
    assert status_of(ledger, "IBM") is OrderStatus.SUBMITTING


def test_every_change_leaves_an_event(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_broker_order(ACCOUNT, make_broker_order(intent), at=NOW, run_id="run-2")
    ledger.record_executions([make_execution(1, intent, quantity="4")], at=NOW, run_id="run-3")
    ledger.record_executions([make_execution(2, intent, quantity="6")], at=NOW, run_id="run-3")
    assert [event.to_status.value for event in ledger.order_events(ACCOUNT)] == [
        "created",
        "approved",
        "submitting",
        "submitted",
        "partially_filled",
        "filled",
    ]
    assert [event.dagster_run_id for event in ledger.order_events(ACCOUNT)][-3:] == ["run-2", "run-3", "run-3"]


def test_repeated_words_of_the_broker_change_nothing(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    word = make_broker_order(intent)
    effects = [ledger.record_broker_order(ACCOUNT, word, at=NOW, run_id=RUN).effect for _ in range(3)]
    assert effects == [BrokerOrderEffect.UPDATED, BrokerOrderEffect.UNCHANGED, BrokerOrderEffect.UNCHANGED]
    assert len(ledger.order_events(ACCOUNT)) == 4


def test_illegal_transitions_raise_in_python_too(ledger):
    record(ledger)
    with pytest.raises(IllegalTransitionError):
        ledger.move(
            ACCOUNT, make_intent().client_order_id, OrderStatus.FILLED, at=NOW, run_id=RUN, message="no such way"
        )
    with pytest.raises(UnknownOrderError):
        ledger.move(ACCOUNT, "nobody", OrderStatus.FILLED, at=NOW, run_id=RUN, message="")


def test_a_live_word_about_an_ended_order_is_a_contradiction_and_an_execution_is_proof(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_broker_order(ACCOUNT, make_broker_order(intent, OrderStatus.CANCELLED), at=NOW, run_id=RUN)
    word = ledger.record_broker_order(ACCOUNT, make_broker_order(intent), at=NOW, run_id=RUN)
    assert word.effect is BrokerOrderEffect.CONTRADICTION
    assert status_of(ledger) is OrderStatus.CANCELLED
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)
    assert status_of(ledger) is OrderStatus.FILLED


def test_an_order_cancelled_after_a_partial_fill_stays_cancelled(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    cancelled = make_broker_order(intent, OrderStatus.CANCELLED, filled="4")
    execution = make_execution(1, intent, quantity="4")
    for _ in range(2):
        ledger.record_executions([execution], at=NOW, run_id=RUN)
        ledger.record_broker_order(ACCOUNT, cancelled, at=NOW, run_id=RUN)
    assert status_of(ledger) is OrderStatus.CANCELLED
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {}
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(4)}


def test_an_approved_order_that_the_broker_has_never_stays_approved(ledger):
    record(ledger, ("AAPL", "IBM"))
    ledger.record_broker_order(ACCOUNT, make_broker_order(make_intent()), at=NOW, run_id=RUN)
    vague = make_broker_order(make_intent("IBM"), OrderStatus.UNKNOWN)
    ledger.record_broker_order(ACCOUNT, vague, at=NOW, run_id=RUN)
    assert status_of(ledger, "AAPL") is OrderStatus.SUBMITTED
    assert status_of(ledger, "IBM") is OrderStatus.UNKNOWN


def test_a_changed_perm_id_is_noted(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    for perm_id in (7001, 7002):
        ledger.record_broker_order(ACCOUNT, make_broker_order(intent, perm_id=perm_id), at=NOW, run_id=RUN)
    assert "changed from 7001 to 7002" in ledger.order_events(ACCOUNT)[-1].message


def test_executions_count_once_and_commissions_may_come_later(ledger):
    record(ledger)
    intent = make_intent()
    without = make_execution(1, intent, commission=None)
    assert ledger.record_executions([without, without], at=NOW, run_id=RUN) == 1
    assert ledger.fills(ACCOUNT)[0].execution.commission is None
    with_commission = replace(without, commission=Decimal("1.25"), realized_pnl=Decimal(3))
    assert ledger.record_executions([with_commission], at=NOW, run_id=RUN) == 0
    assert ledger.record_executions([without], at=NOW, run_id=RUN) == 0
    (fill,) = ledger.fills(ACCOUNT, strategy=STRATEGY)
    assert fill.execution == with_commission


def test_a_known_execution_with_other_numbers_is_refused(ledger):
    ledger.record_executions([make_execution(1)], at=NOW, run_id=RUN)
    with pytest.raises(FillConflictError, match="reset"):
        ledger.record_executions([make_execution(1, price="1"), make_execution(2)], at=NOW, run_id=RUN)
    assert len(ledger.fills(ACCOUNT)) == 1


def test_manual_trades_count_for_the_account_and_for_no_strategy(ledger):
    record(ledger)
    ledger.record_executions(
        [make_execution(1, make_intent()), make_execution(2, quantity="3", side="SELL")], at=NOW, run_id=RUN
    )
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}
    assert ledger.positions_from_fills(ACCOUNT) == {"AAPL": Decimal(7)}
    assert [fill.strategy for fill in ledger.fills(ACCOUNT)] == [STRATEGY, None]


def test_a_correction_supersedes_the_execution_it_corrects(ledger):
    first, corrected = make_execution(1, quantity="10"), make_execution(1, quantity="8", revision=2)
    ledger.record_executions([corrected], at=NOW, run_id=RUN)
    ledger.record_executions([first], at=NOW, run_id=RUN)
    assert ledger.positions_from_fills(ACCOUNT) == {"AAPL": Decimal(8)}
    assert [fill.execution for fill in ledger.fills(ACCOUNT)] == [corrected]


@pytest.mark.parametrize(
    ("execution_id", "expected"),
    [
        ("0000e0d5.6582a1b2.01.01", ("0000e0d5.6582a1b2.01", 1)),
        ("0000e0d5.6582a1b2.01.02", ("0000e0d5.6582a1b2.01", 2)),
        ("0000e0d5.6582a1b2.02.01", ("0000e0d5.6582a1b2.02", 1)),
        ("manual-7", ("manual-7", 1)),
        ("a.02", ("a.02", 1)),
    ],
)
def test_only_ids_of_ibkrs_form_have_corrections(execution_id, expected):
    assert split_execution_id(execution_id) == expected


def test_what_is_working_or_in_doubt_counts_as_open(ledger):
    record(ledger, ("AAPL", "IBM", "MSFT"))
    for symbol in ("AAPL", "IBM"):
        start(ledger, make_intent(symbol))
    ledger.move(ACCOUNT, make_intent("IBM").client_order_id, OrderStatus.UNKNOWN, at=NOW, run_id=RUN, message="lost")
    ledger.record_executions([make_execution(1, make_intent(), quantity="4")], at=NOW, run_id=RUN)
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {"AAPL": Decimal(6), "IBM": Decimal(10)}
    assert [order.symbol for order in ledger.working_orders(ACCOUNT)] == ["AAPL", "IBM"]


def test_a_fill_that_is_announced_but_has_not_arrived_is_still_open(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_broker_order(ACCOUNT, make_broker_order(intent, OrderStatus.FILLED, filled="10"), at=NOW, run_id=RUN)
    assert status_of(ledger) is OrderStatus.FILLED
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {}
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": Decimal(10)}
    assert ledger.open_quantity(ACCOUNT, STRATEGY) == {}


def test_two_runs_that_bring_a_fill_each_at_once_count_both(ledger, ledger_url):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    engine = sa.create_engine(ledger_url)
    with engine.connect() as locking, ThreadPoolExecutor(2) as runs:
        locking.execute(sa.text("SELECT FROM order_intents FOR UPDATE"))
        bringing = [
            runs.submit(ledger.record_executions, [make_execution(number, intent, quantity="5")], at=NOW, run_id=RUN)
            for number in (1, 2)
        ]
        with engine.connect() as watching:  # until both have stored their fill and wait for the order
            while (watching.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")) or 0) < 2:
                watching.rollback()
        locking.rollback()
    engine.dispose()
    assert [one.result() for one in bringing] == [1, 1]
    (order,) = ledger.orders(ACCOUNT)
    assert (order.status, order.filled_quantity, order.arrived_quantity) == (OrderStatus.FILLED, 10, 10)
    assert ledger.working_orders(ACCOUNT) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_position_plus_open_quantity_is_what_was_asked_for_however_fills_arrive(ledger_url, data):
    ledger = Ledger(ledger_url)
    account = f"DU{uuid.uuid4().int}"
    tick = make_tick(account=account)
    intent = make_intent(quantity="100", tick=tick)
    ledger.record_tick(tick, [(intent, approve(intent))])
    start(ledger, intent)
    parts = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    executions = [make_execution(i, intent, quantity=str(part)) for i, part in enumerate(parts)]
    for execution in data.draw(st.permutations(executions * 2)):
        ledger.record_executions([execution], at=NOW, run_id=RUN)
        position = ledger.strategy_position(account, STRATEGY).get("AAPL", Decimal(0))
        opened = ledger.open_quantity(account, STRATEGY).get("AAPL", Decimal(0))
        assert position + opened == 100
    assert ledger.positions_from_fills(account) == {"AAPL": Decimal(sum(parts))}
    (order,) = ledger.orders(account)
    assert order.filled_quantity == sum(parts)
    assert order.status is (OrderStatus.FILLED if sum(parts) == 100 else OrderStatus.PARTIALLY_FILLED)
    ledger.close()


def test_halts_stop_an_account_or_all_and_clearing_needs_a_reason(ledger):
    mine = ledger.halt(ACCOUNT, reason="fat finger", who="me", at=NOW)
    everyone = ledger.halt("*", reason="exchange down", who="me", at=NOW)
    assert ledger.active_halts(ACCOUNT) == [mine, everyone]
    assert ledger.active_halts("DU2") == [everyone]
    with pytest.raises(LedgerRefusedError):
        ledger.clear_halt(mine.halt_id, reason=" ", who="me", at=NOW)
    cleared = ledger.clear_halt(mine.halt_id, reason="checked", who="you", at=NOW)
    assert (cleared.cleared_by, cleared.clear_reason) == ("you", "checked")
    assert ledger.active_halts(ACCOUNT) == [everyone]
    assert ledger.halt_history(ACCOUNT) == [cleared, everyone]
    with pytest.raises(LedgerRefusedError, match="no active halt"):
        ledger.clear_halt(mine.halt_id, reason="again", who="you", at=NOW)
    with pytest.raises(LedgerRefusedError):
        ledger.halt("*", reason="", who="me", at=NOW)


def test_a_submission_starts_only_under_the_current_token_without_halt_and_in_the_newest_tick(ledger):
    record(ledger)
    intent = make_intent()

    def begin(token: int, **options: bool) -> SubmissionStart:
        return ledger.begin_submission(
            ACCOUNT,
            intent.client_order_id,
            decision=approve(intent),
            token=token,
            holder="h",
            at=NOW,
            run_id=RUN,
            **options,
        )

    with ledger.submission_lease(ACCOUNT, holder="h", now=lambda: NOW, wait_seconds=1) as lease:
        assert begin(lease.token - 1) is SubmissionStart.FENCED
        halt = ledger.halt("*", reason="stop", who="me", at=NOW)
        assert begin(lease.token) is SubmissionStart.HALTED
        ledger.clear_halt(halt.halt_id, reason="go", who="me", at=NOW)
        assert begin(lease.token) is SubmissionStart.STARTED
        ledger.move(ACCOUNT, intent.client_order_id, OrderStatus.UNKNOWN, at=NOW, run_id=RUN, message="")
        assert begin(lease.token) is SubmissionStart.NOT_APPROVED
    assert [d.stage for d in ledger.risk_decisions(ACCOUNT, stage="submission")] == ["submission"] * 4


def test_a_reducing_order_may_start_under_a_halt(ledger):
    record(ledger)
    intent = make_intent()
    ledger.halt(ACCOUNT, reason="stop", who="me", at=NOW)
    with ledger.submission_lease(ACCOUNT, holder="h", now=lambda: NOW, wait_seconds=1) as lease:
        started = ledger.begin_submission(
            ACCOUNT,
            intent.client_order_id,
            decision=approve(intent),
            token=lease.token,
            holder="h",
            at=NOW,
            run_id=RUN,
            is_reducing=True,
        )
    assert started is SubmissionStart.STARTED


def test_one_holder_at_a_time_and_tokens_grow(ledger):
    def lease(account: str = ACCOUNT, wait: float = 0.0):
        return ledger.submission_lease(account, holder="run 7 here", now=lambda: NOW, wait_seconds=wait)

    with lease() as first:
        with pytest.raises(LeaseHeldError, match="run 7 here"), lease():
            pass
        with lease("DU2") as other:
            assert other.token == 1
    with lease() as second:
        assert second.token == first.token + 1
        assert second.previous is not None
        assert second.previous.is_released
        second.is_in_doubt = True
    with lease() as third:
        assert third.previous is not None
        assert not third.previous.is_released


def test_one_process_at_a_time_is_alone_and_other_matters_do_not_wait(ledger, ledger_url):
    inside, most, lock = 0, 0, threading.Lock()

    def enter(_: int) -> None:
        nonlocal inside, most
        other = Ledger(ledger_url)
        with other.alone("this"):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1
        other.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))
    assert most == 1
    with ledger.alone("this"), ledger.alone("that"):
        pass


def test_whoever_dies_alone_lets_the_next_one_in(ledger, ledger_url):
    program = (
        "import sys, time; from trading_platform.storage.ledger import Ledger\n"
        "with Ledger(sys.argv[1]).alone('this'):\n    print('in', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, ledger_url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "in\n"
    holder.kill()
    holder.communicate()
    with ledger.alone("this"):
        pass


def test_a_lease_whose_connection_was_cut_is_lost(ledger, ledger_url):
    with ledger.submission_lease(ACCOUNT, holder="h", now=lambda: NOW, wait_seconds=1) as lease:
        lease.renew(NOW)
        cut_lease_connections(ledger_url)
        with pytest.raises(LeaseLostError, match="nothing more was sent"):
            lease.renew(NOW)
    with ledger.submission_lease(ACCOUNT, holder="h", now=lambda: NOW, wait_seconds=1) as lease:
        assert lease.previous is not None
        assert not lease.previous.is_released


def test_equity_and_positions_are_kept_as_snapshots(ledger):
    summary = AccountSummary(
        ACCOUNT, "USD", Decimal("1000000.55"), Decimal(900000), Decimal("100000.55"), Decimal(1), Decimal(1), NOW
    )
    ledger.record_equity(summary, run_id=RUN)
    ledger.record_equity(summary, run_id=RUN)
    ledger.record_equity(replace(summary, ts_utc=NOW + timedelta(1)), run_id=RUN)
    assert [point.ts_utc for point in ledger.equity_history(ACCOUNT)] == [NOW, NOW + timedelta(1)]
    assert ledger.equity_history(ACCOUNT)[0].net_liquidation == Decimal("1000000.55")
    assert len(ledger.equity_history(ACCOUNT, since=NOW + timedelta(hours=1))) == 1

    held = [Position(ACCOUNT, "AAPL", Decimal(10), Decimal(170)), Position(ACCOUNT, "IBM", Decimal(-5), Decimal(150))]
    ledger.record_positions(ACCOUNT, held, at=NOW, run_id=RUN)
    assert ledger.latest_positions(ACCOUNT) == held
    ledger.record_positions(ACCOUNT, held[1:], at=NOW + timedelta(1), run_id=RUN)
    assert ledger.latest_positions(ACCOUNT) == held[1:]


def test_submissions_are_listed_from_a_moment_on_whatever_became_of_them(ledger):
    record(ledger, ("AAPL", "IBM"))
    assert ledger.submissions_since(ACCOUNT, NOW - timedelta(1)) == []
    start(ledger, make_intent())
    ledger.move(ACCOUNT, make_intent().client_order_id, OrderStatus.BROKER_REJECTED, at=NOW, run_id=RUN, message="no")
    (sent,) = ledger.submissions_since(ACCOUNT, NOW)
    assert (sent.client_order_id, sent.strategy, sent.quantity, sent.sent_utc) == (
        make_intent().client_order_id,
        "momentum",
        Decimal(10),
        NOW,
    )
    assert ledger.submissions_since(ACCOUNT, NOW + timedelta(microseconds=1)) == []
    assert ledger.submissions_since("DU9", NOW) == []


def test_equity_marks_are_the_start_of_the_session_and_the_peak_of_the_window(ledger):
    def marks() -> tuple[Decimal, Decimal] | None:
        found = ledger.equity_marks(ACCOUNT, session_start=NOW, peak_since=NOW - timedelta(days=30))
        return None if found is None else (found.session_start_usd, found.peak_usd)

    summary = AccountSummary(ACCOUNT, "USD", Decimal(9), Decimal(0), Decimal(0), Decimal(1), Decimal(1), NOW)
    assert marks() is None
    for days, equity, expected in (
        (2, 7, (7, 7)),  # none before the session: the first one after stands for it
        (1, 6, (6, 7)),
        (0, 5, (5, 7)),
        (-3, 8, (5, 8)),
        (-40, 9, (5, 8)),
    ):
        reading = replace(summary, net_liquidation=Decimal(equity), ts_utc=NOW + timedelta(days))
        ledger.record_equity(reading, run_id=RUN)
        assert marks() == expected
