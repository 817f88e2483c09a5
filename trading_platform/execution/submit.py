"""The only place an order leaves from.

Under the account's submission lease: look once for every reference at the broker and adopt what is there; then, for
each approved intent of the tick, check every risk control again → persist that the order is about to be sent
(approved → submitting, one transaction that also looks at halts, newer ticks and the lease's fencing token) → place
it → record the answer with its ``permId``. One look under the lease is enough for all: only the lease's holder moves
orders to submitting, and only who moved an order may send it.

Exactly once rests on three things. An order's name is a pure function of the decision. Only one run can ever
move it from approved to submitting, since a database transaction does. And what was sent without a recorded
answer is never sent again blindly:

* An answer that is lost or unreadable makes the order *unknown*. Unknown orders are never sent again; the broker's
  lists decide (``reconcile``), or a person.
* An order found *submitting* belongs to a run that died in between. It is looked for at the broker and adopted if
  found. If not, it is sent again only when it is **proved** that it never went out, which takes all of:

  1. open orders, completed orders and executions were all obtained afresh, under our own lease, and none has it;
  2. at least ``settle_seconds`` passed since it became submitting, so that a message the dead run wrote in its
     last moment has been read by the gateway before we ask;
  3. the run that held it can't send it any more: it gave its lease back in order (it does so only when it knows the
     fate of every order it touched), or it said that it did not send it, or its process is gone from this machine and
     what it left with the kernel has been delivered or given up: ``in_flight_seconds``, 0 over loopback;
  4. its tick is the one being submitted and the newest of its strategy (otherwise it expires unsent), and every
     risk control passes again.

  Without the proof it becomes unknown. Not sending is always allowed; sending twice never is.

A bracket is one thing in all of this: its orders start in one transaction, go out as one group of which everything is
live or nothing, and are proved unsent together.

An order that replaces others waits for them: they are cancelled, and the broker's lists must say that they are over,
with all their fills, before it starts (``call_off``). If a fill came in between, the strategy does not hold any more
what the order was planned on: it expires unsent, and the next tick decides anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.brokers.base import (
    Broker,
    BrokerError,
)
from trading_platform.clock import Clock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, OrderStatus, RiskDecision
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.execution.broker_view import BrokerView, record_view, require_account
from trading_platform.execution.call_off import CONFIRM_SECONDS, call_off
from trading_platform.execution.closing import IN_FLIGHT_SECONDS
from trading_platform.execution.holder import holder_name, is_proved_dead
from trading_platform.execution.report import OrderOutcome, Outcome, SubmissionReport
from trading_platform.execution.sending import Sending
from trading_platform.storage.ledger import Ledger, LedgerOrder, UnknownTickError
from trading_platform.storage.ledger.model import IN_DOUBT, SubmissionStart, Tick

SETTLE_SECONDS = 2.0
LEASE_WAIT_SECONDS = 15.0

Guard = Callable[[OrderIntent], RiskDecision]

_ALIVE_OR_FILLED = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)


def submit_tick(
    ledger: Ledger,
    broker: Broker,
    instruments: Mapping[str, Instrument],
    *,
    account: str,
    strategy: str,
    tick_utc: datetime,
    guard: Guard,
    clock: Clock,
    run_id: str,
    lease_wait_seconds: float = LEASE_WAIT_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
    in_flight_seconds: float = IN_FLIGHT_SECONDS,
    confirm_seconds: float = CONFIRM_SECONDS,
) -> SubmissionReport:
    """Send the approved orders of a recorded tick that have not been sent yet.

    Args:
        instruments: by symbol; an order in any other symbol is refused.
        guard: all risk controls on one intent, with the state of this moment. What it raises ends the call.
        lease_wait_seconds: how long to wait for another run that is submitting for the account.
        settle_seconds: see above, point 2. Real seconds.
        in_flight_seconds: see above, point 3, by the platform's clock.
        confirm_seconds: how long to wait until the broker lists what is replaced as over. Real seconds.

    Raises:
        UnknownTickError: the ledger has no such tick.
        AccountMismatchError: the broker is connected to another account.
        LeaseHeldError: another run was submitting all the time; nothing was sent.
        LedgerUnavailableError: PostgreSQL does not answer. An order under way is found by the next run.
        BrokerError: the broker's lists could not be had; nothing was sent.
    """
    require_account(broker, account)
    record = ledger.tick(account, strategy, tick_utc)
    if record is None:
        msg = f"the ledger has no tick {tick_utc.isoformat()} of {strategy} in account {account}: record it first"
        raise UnknownTickError(msg)
    token: int | None = None
    outcomes: dict[str, OrderOutcome] = {}
    called_off: tuple[str, ...] = ()
    not_called_off: tuple[str, ...] = ()
    if record.cancels or any(order.status in (OrderStatus.APPROVED, *IN_DOUBT) for order in record.orders):
        with ledger.submission_lease(
            account, holder=holder_name(run_id), now=clock.now, wait_seconds=lease_wait_seconds
        ) as lease:
            submission = _Submission(
                ledger=ledger,
                broker=broker,
                lease=lease,
                clock=clock,
                run_id=run_id,
                instruments=instruments,
                guard=guard,
                tick=record.tick,
                confirm_seconds=confirm_seconds,
                in_flight=timedelta(seconds=in_flight_seconds),
            )
            called_off, not_called_off = submission.call_off(record.cancels)
            token, outcomes = lease.token, submission.run(settle_seconds)
    orders = ledger.orders(account, strategy=strategy, tick_utc=tick_utc)
    decided = {
        d.decision.client_order_id: d.decision
        for d in ledger.risk_decisions(
            account, client_order_ids=[order.client_order_id for order in orders], stage="decision"
        )
    }
    return SubmissionReport(
        account,
        strategy,
        tick_utc,
        token,
        tuple(
            _as_it_stands(outcomes[order.client_order_id], order)
            if order.client_order_id in outcomes
            else _standing(order, decided.get(order.client_order_id))
            for order in orders
        ),
        called_off,
        not_called_off,
    )


@dataclass(kw_only=True)
class _Submission(Sending):
    """One call's work under a held lease: what may be sent, and when."""

    instruments: Mapping[str, Instrument]
    guard: Guard
    tick: Tick
    confirm_seconds: float
    in_flight: timedelta

    def call_off(self, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Cancel what the tick wants gone without another in its place, unless the strategy has decided since.

        Returns the orders that are over by now, and why others are not.
        """
        if not names or self.ledger.has_newer_tick(self.account, self.tick.strategy, self.tick.tick_utc):
            return (), ()
        left = self._called_off(names)
        over = self.ledger.orders(self.account, client_order_ids=names)
        return tuple(order.client_order_id for order in over if order.status.is_terminal), left

    def _called_off(self, names: Sequence[str]) -> tuple[str, ...]:
        return call_off(
            self.ledger,
            self.broker,
            self.account,
            names,
            clock=self.clock,
            run_id=self.run_id,
            confirm_seconds=self.confirm_seconds,
        )

    def run(self, settle_seconds: float) -> dict[str, OrderOutcome]:
        """Clear up what earlier runs left behind, then place what is approved. Returns the outcomes of both."""
        left_behind = self.ledger.orders(self.account, statuses=[OrderStatus.SUBMITTING])
        if left_behind:
            self._let_settle(left_behind, settle_seconds)
        view = BrokerView.fetch(self.broker, self.account)
        ours = {order.client_order_id for order in self._tick_orders()}
        doubtful = {order.client_order_id for order in self.ledger.orders(self.account, statuses=IN_DOUBT)}
        record_view(self.ledger, view, self.account, at=self.clock.now(), run_id=self.run_id, only=ours | doubtful)
        repeatable = self._resolve_left_behind(view)
        for legs in _groups(self._tick_orders()):
            sendable = [o for o in legs if o.status is OrderStatus.APPROVED or o.client_order_id in repeatable]
            known = [order for order in legs if view.knows(order.client_order_id)]
            if sendable == legs and not known:
                self._submit(legs)
            for order in sendable if known else ():
                self.note(order, "not_sent", order.status, f"{known[0].client_order_id} of its bracket is out already")
        return self.outcomes

    def _tick_orders(self) -> list[LedgerOrder]:
        return self.ledger.orders(self.account, strategy=self.tick.strategy, tick_utc=self.tick.tick_utc)

    def _let_settle(self, orders: list[LedgerOrder], settle_seconds: float) -> None:
        newest = max(order.submitting_at or order.updated_at for order in orders)
        rest = timedelta(seconds=settle_seconds) - (self.clock.now() - newest)
        if rest > timedelta(0):
            time.sleep(min(rest.total_seconds(), settle_seconds))

    def _resolve_left_behind(self, view: BrokerView) -> set[str]:
        """Decide the fate of orders found submitting. Returns those of this tick that are proved unsent."""
        repeatable: set[str] = set()
        left = self.ledger.orders(self.account, statuses=[OrderStatus.SUBMITTING])
        doubtful = {order.intent.request.group for order in left if not self._is_proved_unsent(order, view)}
        for order in left:
            name = order.client_order_id
            if view.knows(name):
                continue
            if order.intent.request.group in doubtful:
                why = "sent or not, its run can't be proved dead and the broker does not list it: reconcile"
                self.move(order, OrderStatus.UNKNOWN, why)
            elif (order.intent.strategy, order.intent.tick_utc) == (self.tick.strategy, self.tick.tick_utc):
                repeatable.add(name)
            elif self.ledger.has_newer_tick(self.account, order.intent.strategy, order.intent.tick_utc):
                self.move(order, OrderStatus.EXPIRED, "proved unsent, and its tick is over")
        return repeatable

    def _is_proved_unsent(self, order: LedgerOrder, view: BrokerView) -> bool:
        return not view.knows(order.client_order_id) and self._can_holder_send_no_more(order)

    def _can_holder_send_no_more(self, order: LedgerOrder) -> bool:
        if order.submission_holder is None:
            return True  # its holder said that it did not send it
        previous = self.lease.previous
        if previous is not None and previous.is_released and previous.token == order.submission_token:
            return True
        began = order.submitting_at or order.updated_at
        return self.clock.now() - began >= self.in_flight and is_proved_dead(order.submission_holder)

    def _submit(self, legs: Sequence[LedgerOrder]) -> None:
        """Judge, clear the way, start and send one order, or a bracket's entry with its exits."""
        entry = legs[0]
        if self.trouble:
            self.note_all(legs, "not_sent", self.trouble)
            return
        instrument = self.instruments.get(entry.intent.request.symbol)
        if instrument is None:
            self._refuse(legs, f"{entry.intent.request.symbol} is not among the instruments")
            return
        decisions = [self._judge(order) for order in legs]
        refusals = [decision for decision in decisions if not decision.is_approved]
        for decision in refusals:
            self.ledger.record_refusal(self.account, decision, at=self.clock.now(), run_id=self.run_id)
        if refusals:
            reasons = tuple(reason for decision in refusals for reason in decision.reasons)
            self._refuse(legs, *(reasons or ("no risk control was evaluated",)))
        elif self._is_way_clear(legs) and self._begin(legs, decisions):
            self.place(legs, instrument)

    def _judge(self, order: LedgerOrder) -> RiskDecision:
        decision = self.guard(order.intent)
        if decision.client_order_id != order.client_order_id:
            msg = f"the guard judged {decision.client_order_id} when asked about {order.client_order_id}"
            raise ValueError(msg)
        return decision

    def _is_way_clear(self, legs: Sequence[LedgerOrder]) -> bool:
        """Whether what the order replaces is over, and the strategy still holds what it was planned on."""
        intent = legs[0].intent
        if not intent.replaces:
            return True
        if self.ledger.has_newer_tick(self.account, intent.strategy, intent.tick_utc):
            self._refuse(legs, SubmissionStart.SUPERSEDED.value)
            return False
        try:
            left = self._called_off(intent.replaces)
        except BrokerError as error:
            left = (f"what it replaces is not confirmed over: {error}",)
        if left:
            self.note_all(legs, "not_sent", *left)
            return False
        held = self.ledger.strategy_position(self.account, intent.strategy).get(intent.request.symbol, Decimal(0))
        planned = intent.position_quantity
        if planned is None or held != planned:
            why = f"it was planned on a holding of {planned}, and {held:f} is held after a fill of what it replaces"
            for order in legs:
                self.move(order, OrderStatus.EXPIRED, f"never sent: {why}", only_from=order.status)
                self.note(order, "refused", OrderStatus.EXPIRED, why)
            return False
        return True

    def _refuse(self, legs: Sequence[LedgerOrder], *reasons: str) -> None:
        """An approved order stays approved, for a later run of the same tick; one proved unsent ends here."""
        for order in legs:
            status = order.status
            if status is OrderStatus.SUBMITTING:
                status = OrderStatus.EXPIRED
                self.move(order, status, f"proved unsent, and refused now: {'; '.join(reasons)}")
            self.note(order, "refused", status, *reasons)

    def _begin(self, legs: Sequence[LedgerOrder], decisions: Sequence[RiskDecision]) -> bool:
        self.lease.renew(self.clock.now())
        started = self._start(legs, decisions, is_reducing=False)
        if started is SubmissionStart.HALTED and self._is_reducing(legs[0].intent):
            started = self._start(legs, decisions, is_reducing=True)
        if started is SubmissionStart.STARTED:
            return True
        if started is SubmissionStart.HALTED:
            halts = self.ledger.active_halts(self.account)
            self._refuse(legs, *([f"halted: {halt.reason}" for halt in halts] or [started.value]))
        elif started is SubmissionStart.SUPERSEDED:
            self._refuse(legs, started.value)
        else:
            self.note_all(legs, "not_sent", started.value)
        return False

    def _start(
        self, legs: Sequence[LedgerOrder], decisions: Sequence[RiskDecision], *, is_reducing: bool
    ) -> SubmissionStart:
        return self.ledger.begin_submission(
            self.account,
            legs[0].client_order_id,
            decision=decisions[0],
            exits=decisions[1:],
            token=self.lease.token,
            holder=self.lease.holder,
            at=self.clock.now(),
            run_id=self.run_id,
            is_reducing=is_reducing,
        )

    def _is_reducing(self, intent: OrderIntent) -> bool:
        """Whether the order can only bring strategy and account closer to flat; a halt lets those through."""
        context = RiskContext(
            as_of_utc=self.clock.now(),
            limits=Limits(),
            account=None,
            quotes={},
            instruments={},
            strategy_positions=self.ledger.strategy_position(self.account, intent.strategy),
            account_positions=self.ledger.positions_from_fills(self.account),
            working=tuple(
                order
                for order in self.ledger.working_orders(self.account)
                if order.client_order_id != intent.client_order_id
            ),
            is_market_open=None,
            halts=None,
            quarantined=None,
            signal_time_utc=None,
        )
        return is_reducing(intent, context)


def _groups(orders: Sequence[LedgerOrder]) -> list[list[LedgerOrder]]:
    """Single orders, and the orders of a bracket together with the entry first."""
    groups: dict[str, list[LedgerOrder]] = {}
    for order in orders:
        groups.setdefault(order.intent.request.group, []).append(order)
    return [sorted(legs, key=lambda order: order.intent.request.is_exit) for legs in groups.values()]


def _as_it_stands(outcome: OrderOutcome, order: LedgerOrder) -> OrderOutcome:
    """The outcome with the ledger's last word: reconciliation may have learned meanwhile that the order lives."""
    if outcome.outcome in ("unknown", "rejected") and order.status in _ALIVE_OR_FILLED:
        outcome = replace(outcome, outcome="placed", reasons=())
    return replace(outcome, status=order.status, perm_id=order.perm_id)


def _standing(order: LedgerOrder, decision: RiskDecision | None) -> OrderOutcome:
    """The outcome of an order that this call did not touch."""
    outcome: Outcome
    if order.status is OrderStatus.REJECTED:
        outcome, reasons = "refused", decision.reasons if decision is not None else ()
    elif order.status is OrderStatus.BROKER_REJECTED:
        outcome, reasons = "rejected", ("the broker rejected it in an earlier run",)
    elif order.status in IN_DOUBT:
        outcome, reasons = "unknown", ("its fate is not known and it is never sent again blindly: reconcile",)
    elif order.submitting_at is None or (order.status is OrderStatus.EXPIRED and order.perm_id is None):
        outcome, reasons = "not_sent", (f"it is {order.status.value} and was never sent",)
    else:
        outcome, reasons = "already_placed", ("an earlier run of the same tick placed it",)
    return OrderOutcome(
        order.client_order_id, order.intent.request.symbol, outcome, order.status, order.perm_id, reasons
    )
