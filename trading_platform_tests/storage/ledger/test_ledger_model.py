"""The real ledger on the real PostgreSQL, operation by operation against a reference model."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from trading_platform.domain.orders.model import Execution, OrderStatus
from trading_platform.domain.orders.state import IllegalTransitionError
from trading_platform.storage.ledger import FillConflictError, Ledger, LedgerRefusedError
from trading_platform.storage.ledger.model import BrokerOrderEffect, SubmissionStart
from trading_platform_tests.storage.ledger.builders import (
    NOW,
    TICK,
    approve,
    make_broker_order,
    make_execution,
    make_intent,
    make_tick,
    reject,
)
from trading_platform_tests.storage.ledger.reference_model import Model, Order, may_follow

STARTS = {
    SubmissionStart.STARTED: "started",
    SubmissionStart.FENCED: "fenced",
    SubmissionStart.NOT_APPROVED: "refused",
    SubmissionStart.SUPERSEDED: "superseded",
    SubmissionStart.HALTED: "halted",
}
EFFECTS = {
    BrokerOrderEffect.UPDATED: "updated",
    BrokerOrderEffect.UNCHANGED: "unchanged",
    BrokerOrderEffect.CONTRADICTION: "contradiction",
}
WORDS = ("submitted", "partially_filled", "filled", "cancelled", "expired", "broker_rejected", "unknown")
STATUSES = tuple(status.value for status in OrderStatus)
picks = st.integers(0, 10_000)
strategies = st.sampled_from(("alpha", "beta"))
quantities = st.integers(1, 10).map(Decimal)
commissions = st.sampled_from((None, Decimal(1), Decimal("0.35")))


class LedgerMachine(RuleBasedStateMachine):
    """Each example has an account of its own in one database."""

    url = ""

    @initialize()
    def open_account(self) -> None:
        """An account with a lease and a first tick."""
        self.account = f"DU{uuid.uuid4().hex[:12]}"
        self.ledger = Ledger(self.url)
        self.model = Model()
        self.numbers = 0
        self.tokens = [0]
        self.take_lease()
        self.decide("alpha", [True, True, False], is_repeated=False, side=0)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()

    def pick(self, number: int) -> Order:
        """One of the orders, mostly a new one: most of what can happen to an order happens early."""
        orders = list(self.model.orders.values())
        return orders[-1 - number % min(len(orders), 4 if number % 5 else len(orders))]

    @rule(strategy=strategies, approvals=st.lists(st.booleans(), max_size=3), is_repeated=st.booleans(), side=picks)
    def decide(self, strategy: str, approvals: list[bool], is_repeated: bool, side: int) -> None:
        number = self.model.newest.get(strategy, 0) + (0 if is_repeated else 1)
        tick = make_tick(TICK + timedelta(minutes=number), strategy, self.account)
        intents, orders = [], []
        for symbol, is_approved in zip(("AAPL", "IBM", "MSFT"), approvals, strict=False):
            buys = (side + len(orders)) % 2 == 0
            intent = make_intent(symbol, side="BUY" if buys else "SELL", tick=tick)
            intents.append((intent, approve(intent) if is_approved else reject(intent)))
            status = "approved" if is_approved else "rejected"
            orders.append(
                Order(
                    intent.client_order_id,
                    strategy,
                    number,
                    symbol,
                    1 if buys else -1,
                    Decimal(10),
                    status,
                    ["created", status],
                )
            )
        assert self.ledger.record_tick(tick, intents).is_new == self.model.tick(strategy, number, orders)

    @rule()
    def take_lease(self) -> None:
        with self.ledger.submission_lease(self.account, holder="h", now=lambda: NOW, wait_seconds=1) as lease:
            self.model.token += 1
            assert lease.token == self.model.token
            self.tokens.append(lease.token)

    @rule(which=picks, token=picks, is_stale=st.booleans(), is_reducing=st.booleans(), times=st.integers(1, 2))
    def start(self, which: int, token: int, is_stale: bool, is_reducing: bool, times: int) -> None:
        order = self.pick(which)
        used = self.tokens[token % len(self.tokens)] if is_stale and token % 3 == 0 else self.model.token
        for _ in range(times):
            self.start_once(order, used, is_reducing=is_reducing)

    def start_once(self, order: Order, used: int, *, is_reducing: bool) -> None:
        started = self.ledger.begin_submission(
            self.account,
            order.name,
            decision=approve(self.intent(order)),
            token=used,
            holder="h",
            at=NOW,
            run_id="run",
            is_reducing=is_reducing,
        )
        assert STARTS[started] == self.model.begin(order, used, is_reducing=is_reducing)

    @rule(
        which=picks,
        status=st.sampled_from(WORDS),
        filled=st.integers(0, 10),
        perm_id=st.integers(1, 2),
        twice=st.booleans(),
    )
    def hear(self, which: int, status: str, filled: int, perm_id: int, twice: bool) -> None:
        order = self.pick(which)
        word = make_broker_order(self.intent(order), OrderStatus(status), perm_id=perm_id, filled=str(filled))
        for _ in range(1 + twice):
            result = self.ledger.record_broker_order(self.account, word, at=NOW, run_id="run")
            expected = self.model.word(order, status, Decimal(filled), perm_id, word.average_fill_price)
            assert EFFECTS[result.effect] == expected

    @rule(which=picks, quantity=quantities, commission=commissions, copies=st.integers(1, 2))
    def fill(self, which: int, quantity: Decimal, commission: Decimal | None, copies: int) -> None:
        order = self.pick(which)
        self.numbers += 1
        quantity = min(quantity, order.quantity - order.arrived)
        if quantity > 0:
            self.execute(order, self.numbers, 1, quantity, commission, copies)

    @rule(
        which=picks,
        what=st.sampled_from(("repeat", "correct", "contradict")),
        quantity=quantities,
        commission=commissions,
    )
    def tell_again(self, which: int, what: str, quantity: Decimal, commission: Decimal | None) -> None:
        order = self.pick(which)
        if not order.fills:
            return
        series = max(order.fills)
        revision = max(order.fills[series])
        known = order.fills[series][revision][0]
        if what == "repeat":
            self.execute(order, series, revision, known, commission, 1)
        elif what == "correct":
            self.execute(order, series, revision + 1, min(quantity, known), commission, 1)
        else:
            with pytest.raises(FillConflictError):
                self.ledger.record_executions(
                    [self.execution(order, series, revision, known + 1, commission)], at=NOW, run_id="run"
                )

    def execute(
        self, order: Order, series: int, revision: int, quantity: Decimal, commission: Decimal | None, copies: int
    ) -> None:
        execution = self.execution(order, series, revision, quantity, commission)
        new = self.ledger.record_executions([execution] * copies, at=NOW, run_id="run")
        fact = (series, revision, quantity, execution.price, commission, execution.perm_id)
        assert new == self.model.executed(order, fact)

    def execution(
        self, order: Order, series: int, revision: int, quantity: Decimal, commission: Decimal | None
    ) -> Execution:
        made = make_execution(series, self.intent(order), quantity=str(quantity), commission=None, revision=revision)
        return replace(made, commission=commission)

    @rule(which=picks, to=st.sampled_from(STATUSES))
    def move(self, which: int, to: str) -> None:
        order = self.pick(which)
        if self.model.move(order, to):
            assert self.ledger.move(self.account, order.name, OrderStatus(to), at=NOW, run_id="run", message="moved")
        else:
            with pytest.raises(IllegalTransitionError):
                self.ledger.move(self.account, order.name, OrderStatus(to), at=NOW, run_id="run", message="moved")

    @rule(which=picks, to=st.sampled_from(STATUSES))
    def write_behind_its_back(self, which: int, to: str) -> None:
        """The database itself refuses what the model does not allow; what it allows is rolled back here."""
        order = self.pick(which)
        statement = "UPDATE order_intents SET status = :to WHERE account = :account AND client_order_id = :name"
        is_refused = not self.is_possible(statement, to=to, account=self.account, name=order.name)
        assert is_refused == (to != order.status and not may_follow(order.status, to))

    @rule(
        statement=st.sampled_from(
            (
                "UPDATE order_events SET message = 'x' WHERE account = :account",
                "DELETE FROM order_events WHERE account = :account",
                "DELETE FROM order_intents WHERE account = :account",
                "UPDATE order_intents SET quantity = quantity + 1 WHERE account = :account",
                "UPDATE strategy_ticks SET world = 'x' WHERE account = :account",
                "UPDATE risk_decisions SET is_approved = true WHERE account = :account",
            )
        )
    )
    def rewrite_history(self, statement: str) -> None:
        assert not self.is_possible(statement, account=self.account)

    def is_possible(self, statement: str, **values: str) -> bool:
        with engine_of(self.url).connect() as connection:
            try:
                connection.execute(sa.text(statement), values)
            except sa.exc.DBAPIError:
                return False
            finally:
                connection.rollback()
        return True

    @rule()
    def halt(self) -> None:
        halt = self.ledger.halt(self.account, reason="drawn", who="model", at=NOW)
        self.model.halts.add(halt.halt_id)

    @rule()
    def clear(self) -> None:
        """Clear every halt."""
        for halt_id in self.model.halts:
            self.ledger.clear_halt(halt_id, reason="drawn", who="model", at=NOW)
        self.model.halts.clear()

    @rule(which=picks)
    def say_that_it_was_not_sent(self, which: int) -> None:
        order = self.pick(which)
        note = {"at": NOW, "run_id": "run", "message": "not sent"}
        if order.status == "submitting":
            self.ledger.record_unsent(self.account, order.name, **note)
            order.history.append("submitting")
        else:
            with pytest.raises(LedgerRefusedError):
                self.ledger.record_unsent(self.account, order.name, **note)

    @invariant()
    def they_agree(self) -> None:
        for order in self.ledger.orders(self.account):
            theirs = self.model.orders[order.client_order_id]
            assert order.status.value == theirs.status
            assert (order.filled_quantity, order.perm_id) == (theirs.filled, theirs.perm_id)
            assert order.submission_token == theirs.token
            assert len(theirs.starts) == len(set(theirs.starts)), "started twice under one lease"
        assert self.ledger.positions_from_fills(self.account) == self.model.positions()
        assert self.ledger.open_quantity(self.account) == self.model.open_quantity()

    @rule()
    def read_everything(self) -> None:
        """Every event in its order, and the money; now and then, since it is much."""
        histories: dict[str, list[str]] = {}
        for event in self.ledger.order_events(self.account):
            histories.setdefault(event.client_order_id, []).append(event.to_status.value)
        assert histories == {name: order.history for name, order in self.model.orders.items()}
        executions = [fill.execution for fill in self.ledger.fills(self.account)]
        signs = {"BUY": -1, "SELL": 1}
        cash = sum((signs[e.side] * e.quantity * e.price - (e.commission or 0) for e in executions), Decimal(0))
        assert cash == self.model.cash()

    def intent(self, order: Order):
        tick = make_tick(TICK + timedelta(minutes=order.tick), order.strategy, self.account)
        return make_intent(order.symbol, side="BUY" if order.side > 0 else "SELL", tick=tick)


_engines: dict[str, sa.Engine] = {}


def engine_of(url: str) -> sa.Engine:
    """One engine for what is written past the ledger."""
    return _engines.setdefault(url, sa.create_engine(url))


def test_the_ledger_agrees_with_the_reference_model(ledger_url: str) -> None:
    LedgerMachine.url = ledger_url
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=20,
            stateful_step_count=35,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    engine_of(ledger_url).dispose()
