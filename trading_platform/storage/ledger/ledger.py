"""The ledger: everything about orders that must not be lost or doubled, in PostgreSQL.

Every method is one transaction. None reads a clock: the instant (``at``, tz-aware) is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal

from trading_platform.domain.orders.model import (
    AccountSummary,
    BrokerOrder,
    Execution,
    OrderIntent,
    OrderStatus,
    Position,
    RiskDecision,
)
from trading_platform.domain.orders.risk.context import EquityMarks, Submission
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.storage.ledger import fills, halts, history, orders, schema, snapshots, submission
from trading_platform.storage.ledger.database import Database
from trading_platform.storage.ledger.lease import SubmissionLease, hold_lease
from trading_platform.storage.ledger.model import (
    BrokerOrderResult,
    DecisionStage,
    EquitySnapshot,
    Fill,
    Halt,
    LedgerOrder,
    OrderEvent,
    StoredDecision,
    SubmissionStart,
    Tick,
    TickRecord,
)


class Ledger:
    """The order ledger at ``url`` (``postgresql+psycopg2://…``). Connects when first used; thread-safe.

    Every method may raise ``LedgerUnavailableError`` (PostgreSQL does not answer) and ``LedgerSchemaError`` (the
    database has not been migrated); both say what to do.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def close(self) -> None:
        """Close the pooled connections."""
        self._database.dispose()

    def is_current(self) -> bool:
        """Whether the database is at this code's schema."""
        with self._database.transaction(needs_schema=False) as connection:
            return schema.current_revision(connection) == schema.HEAD_REVISION

    def migrate(self, revision: str = "head") -> None:
        """Bring the database to ``revision``. Cheap when it is there already; safe for many processes at once."""
        if revision == "head" and self.is_current():
            return
        with self._database.transaction(needs_schema=False) as connection:
            schema.upgrade(connection, revision)
        self._database.forget_schema()

    def downgrade(self, revision: str) -> None:
        """Undo the migrations after ``revision``; "base" removes the ledger with everything in it."""
        with self._database.transaction(needs_schema=False) as connection:
            schema.downgrade(connection, revision)
        self._database.forget_schema()

    def record_tick(
        self,
        tick: Tick,
        intents: Sequence[tuple[OrderIntent, RiskDecision]],
        *,
        cancels: Sequence[str] = (),
        signal_version: str | None = None,
        model_version: str | None = None,
    ) -> TickRecord:
        """Store one decision with its intents, each approved or rejected as decided. The first one wins.

        If the tick is there already, nothing is stored and the stored record is returned with ``is_new=False``,
        whatever the arguments say: a re-run of the same moment can't decide anew. Approved orders of earlier
        ticks that nobody has sent yet expire.

        Args:
            cancels: working orders of the strategy that are to be called off without another in their place.
            signal_version: names the signals that the intents were made of; ``None`` for orders without signals.
            model_version: names the model that decided; ``None`` where none did.

        Raises:
            ValueError: an intent or decision does not belong to the tick.
            LedgerRefusedError: an intent violates a constraint (quantity, prices).
        """
        with self._database.transaction() as connection:
            is_new = orders.insert_tick(
                connection, tick, intents, cancels=cancels, signal_version=signal_version, model_version=model_version
            )
            stored = tick if is_new else orders.select_tick(connection, tick.account, tick.strategy, tick.tick_utc)
            found = orders.select_orders(connection, tick.account, strategy=tick.strategy, tick_utc=tick.tick_utc)
            called_off = orders.select_cancels(connection, tick.account, tick.strategy, tick.tick_utc)
        return TickRecord(stored or tick, tuple(found), is_new, tuple(called_off))

    def tick(self, account: str, strategy: str, tick_utc: datetime) -> TickRecord | None:
        """The stored decision of a tick, or ``None``."""
        with self._database.transaction() as connection:
            stored = orders.select_tick(connection, account, strategy, tick_utc)
            if stored is None:
                return None
            found = orders.select_orders(connection, account, strategy=strategy, tick_utc=tick_utc)
            called_off = orders.select_cancels(connection, account, strategy, tick_utc)
        return TickRecord(stored, tuple(found), is_new=False, cancels=tuple(called_off))

    def has_newer_tick(self, account: str, strategy: str, tick_utc: datetime) -> bool:
        """Whether the strategy has decided again since ``tick_utc``."""
        with self._database.transaction() as connection:
            return orders.has_newer_tick(connection, account, strategy, tick_utc)

    def orders(
        self,
        account: str,
        *,
        strategy: str | None = None,
        session: str | None = None,
        first_session: str | None = None,
        tick_utc: datetime | None = None,
        statuses: Collection[OrderStatus] | None = None,
        client_order_ids: Collection[str] | None = None,
    ) -> list[LedgerOrder]:
        """Orders that satisfy every given condition, by tick and client order id.

        Sessions are ISO dates; ``first_session`` is the earliest that counts.
        """
        with self._database.transaction() as connection:
            return orders.select_orders(
                connection,
                account,
                strategy=strategy,
                session=session,
                first_session=first_session,
                tick_utc=tick_utc,
                statuses=statuses,
                client_order_ids=client_order_ids,
            )

    def submissions_since(self, account: str, since: datetime) -> list[Submission]:
        """Orders handed to the broker at or after ``since``, whatever became of them, oldest first."""
        with self._database.transaction() as connection:
            return submission.select_submissions(connection, account, since)

    def order_events(self, account: str, client_order_ids: Collection[str] | None = None) -> list[OrderEvent]:
        """The history of the orders, oldest event first."""
        with self._database.transaction() as connection:
            return history.select_events(connection, account, client_order_ids)

    def risk_decisions(
        self,
        account: str,
        *,
        client_order_ids: Collection[str] | None = None,
        stage: DecisionStage | None = None,
    ) -> list[StoredDecision]:
        """Risk decisions, oldest first."""
        with self._database.transaction() as connection:
            return history.select_decisions(connection, account, client_order_ids=client_order_ids, stage=stage)

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Let one process at a time do ``what``, for the length of a ``with`` block; the others wait.

        Raises:
            LedgerUnavailableError: PostgreSQL does not answer.
        """
        return self._database.alone(what)

    def submission_lease(
        self, account: str, *, holder: str, now: Callable[[], datetime], wait_seconds: float
    ) -> AbstractContextManager[SubmissionLease]:
        """Hold the account's submission lease for the length of a ``with`` block; see ``lease.hold_lease``."""
        with self._database.transaction():
            pass  # an unmigrated database is named here, not by a missing table inside the lease
        return hold_lease(self._database, account, holder=holder, now=now, wait_seconds=wait_seconds)

    def begin_submission(
        self,
        account: str,
        client_order_id: str,
        *,
        decision: RiskDecision,
        token: int,
        holder: str,
        at: datetime,
        run_id: str,
        is_reducing: bool = False,
        exits: Sequence[RiskDecision] = (),
    ) -> SubmissionStart:
        """Persist that the order is about to be sent, together with the risk decision made at submission.

        One transaction decides: the lease's fencing token is current, the order is approved (or ``submitting`` and
        proved unsent by the caller), no newer tick exists, and no halt is active unless ``is_reducing``. ``exits`` are
        the decisions on the exits of its bracket: they start with it, in the same transaction, or nothing does.

        Raises:
            UnknownOrderError: no such order.
        """
        if decision.client_order_id != client_order_id:
            msg = f"the decision of {decision.client_order_id} was handed in for {client_order_id}"
            raise ValueError(msg)
        with self._database.transaction() as connection:
            return submission.start(
                connection,
                account,
                [decision, *exits],
                token=token,
                holder=holder,
                at=at,
                run_id=run_id,
                is_reducing=is_reducing,
            )

    def record_refusal(self, account: str, decision: RiskDecision, *, at: datetime, run_id: str) -> None:
        """Store a risk decision made at submission that did not let the order pass. The order stays approved."""
        with self._database.transaction() as connection:
            history.insert_decisions(connection, account, [decision], stage="submission", at=at, run_id=run_id)

    def move(
        self,
        account: str,
        client_order_id: str,
        to: OrderStatus,
        *,
        at: datetime,
        run_id: str,
        message: str,
        raw_status: str = "",
        only_from: OrderStatus | None = None,
        only_if: LedgerOrder | None = None,
    ) -> bool:
        """Move an order to another status and log why. Returns whether it moved.

        Args:
            only_from: leave the order alone if it has another status by now.
            only_if: leave the order alone if anything about it is not as it was then.

        Raises:
            UnknownOrderError: no such order.
            IllegalTransitionError: ``to`` may not follow the order's status.
        """
        with self._database.transaction() as connection:
            order = orders.lock_order(connection, account, client_order_id)
            if only_from is not None and order.status is not only_from:
                return False
            if only_if is not None and order != only_if:
                return False
            orders.change_order(connection, order, to, at=at, run_id=run_id, message=message, raw_status=raw_status)
        return True

    def record_unsent(self, account: str, client_order_id: str, *, at: datetime, run_id: str, message: str) -> None:
        """Note that the holder of a ``submitting`` order knows that it did not send it. The status stays.

        Raises:
            UnknownOrderError: no such order.
            LedgerRefusedError: the order is not ``submitting``.
        """
        with self._database.transaction() as connection:
            submission.note_unsent(connection, account, client_order_id, at=at, run_id=run_id, message=message)

    def record_broker_order(
        self, account: str, broker_order: BrokerOrder, *, at: datetime, run_id: str
    ) -> BrokerOrderResult:
        """Take the broker's word about an order into the ledger as far as the state machine permits."""
        with self._database.transaction() as connection:
            return submission.apply_broker_order(connection, account, broker_order, at=at, run_id=run_id)

    def record_broker_orders(
        self, account: str, broker_orders: Sequence[BrokerOrder], *, at: datetime, run_id: str
    ) -> list[BrokerOrderResult]:
        """Take many words of the broker into the ledger, in turn. Those that are no news cost one query together."""
        with self._database.transaction() as connection:
            known = submission.select_without_news(connection, account, broker_orders)
        return [
            known.get(index) or self.record_broker_order(account, broker_order, at=at, run_id=run_id)
            for index, broker_order in enumerate(broker_orders)
        ]

    def record_executions(self, executions: Sequence[Execution], *, at: datetime, run_id: str) -> int:
        """Store executions, late commissions included, and bring their orders up to date. Returns how many are new.

        Executions of orders that the ledger does not know (manual trades) are stored too, without a strategy.

        Raises:
            FillConflictError: an execution id is known with other numbers.
        """
        with self._database.transaction() as connection:
            new = fills.insert_executions(connection, executions, at=at, run_id=run_id)
            for account in sorted({execution.account for execution in new}):
                own = [execution for execution in new if execution.account == account]
                submission.apply_fills(connection, account, own, at=at, run_id=run_id)
        return len(new)

    def fills(
        self,
        account: str,
        *,
        strategy: str | None = None,
        since: datetime | None = None,
        client_order_ids: Collection[str] | None = None,
    ) -> list[Fill]:
        """Fills by time, of every execution the newest correction."""
        with self._database.transaction() as connection:
            return fills.select_fills(
                connection, account, strategy=strategy, since=since, client_order_ids=client_order_ids
            )

    def strategy_position(self, account: str, strategy: str) -> dict[str, Decimal]:
        """Signed quantity per symbol that the strategy's fills sum up to; flat symbols are left out."""
        with self._database.transaction() as connection:
            return fills.positions(connection, account, strategy)

    def open_quantity(self, account: str, strategy: str | None = None) -> dict[str, Decimal]:
        """Signed quantity per symbol that is under way: position plus this is where the strategy may end.

        Orders in doubt (submitting, unknown) count in full.
        """
        with self._database.transaction() as connection:
            return fills.open_quantities(connection, account, strategy)

    def working_orders(self, account: str, strategy: str | None = None) -> list[WorkingOrder]:
        """Orders that may still add to a position: live, being sent, of unknown fate, or filled beyond known fills."""
        with self._database.transaction() as connection:
            return fills.working_orders(connection, account, strategy)

    def positions_from_fills(self, account: str) -> dict[str, Decimal]:
        """Signed quantity per symbol that all fills of the account sum up to; flat symbols are left out."""
        with self._database.transaction() as connection:
            return fills.positions(connection, account)

    def record_positions(self, account: str, positions: Sequence[Position], *, at: datetime, run_id: str) -> None:
        """Store a snapshot of the broker's holdings."""
        with self._database.transaction() as connection:
            snapshots.insert_positions(connection, account, positions, at=at, run_id=run_id)

    def latest_positions(self, account: str) -> list[Position]:
        """The broker's holdings at the newest snapshot, by symbol."""
        with self._database.transaction() as connection:
            return snapshots.latest_positions(connection, account)

    def record_equity(self, summary: AccountSummary, *, run_id: str) -> None:
        """Store the account's money figures; a second report of the same instant changes nothing."""
        with self._database.transaction() as connection:
            snapshots.insert_equity(connection, summary, run_id=run_id)

    def equity_history(self, account: str, *, since: datetime | None = None) -> list[EquitySnapshot]:
        """Equity snapshots, oldest first."""
        with self._database.transaction() as connection:
            return snapshots.select_equity(connection, account, since=since)

    def equity_marks(self, account: str, *, session_start: datetime, peak_since: datetime) -> EquityMarks | None:
        """Equity at the session's start and the highest since ``peak_since``; ``None`` without any reading.

        The start is the last reading up to ``session_start``, or the first one after it.
        """
        with self._database.transaction() as connection:
            return snapshots.select_equity_marks(
                connection, account, session_start=session_start, peak_since=peak_since
            )

    def active_halts(self, account: str) -> list[Halt]:
        """Halts in force for the account, those for all accounts included, oldest first."""
        with self._database.transaction() as connection:
            return halts.select_active(connection, account)

    def halt_history(self, account: str) -> list[Halt]:
        """Every halt that ever concerned the account, oldest first."""
        with self._database.transaction() as connection:
            return halts.select_all(connection, account)

    def halt(self, scope: str, *, reason: str, who: str, at: datetime) -> Halt:
        """Stop new orders of an account, or of all (``"*"``). From this commit on none becomes ``submitting``.

        Raises:
            LedgerRefusedError: no reason or no name given.
        """
        with self._database.transaction() as connection:
            return halts.insert_halt(connection, scope, reason=reason, who=who, at=at)

    def clear_halt(self, halt_id: int, *, reason: str, who: str, at: datetime) -> Halt:
        """Clear one halt.

        Raises:
            LedgerRefusedError: no such active halt, or no reason or name given.
        """
        with self._database.transaction() as connection:
            return halts.clear(connection, halt_id, reason=reason, who=who, at=at)
