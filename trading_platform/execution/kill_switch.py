"""Stop everything: a halt in the ledger first, then every open order cancelled at the broker and confirmed.

The order matters. From the moment the halt is committed no order that opens or adds to a holding becomes
``submitting`` (``storage.ledger.halts.freeze``), so what can still reach the broker was ``submitting`` before, and is
waited for. Whatever fails on the way is reported and does not keep the rest from being tried: without the ledger the
broker's orders are cancelled all the same, without the broker the halt stands.

A halt that the platform sets by itself has ``who`` = :data:`PLATFORM`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from trading_platform.brokers.base import Broker, BrokerError
from trading_platform.clock import Clock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import BrokerOrder, OrderStatus
from trading_platform.execution.broker_view import BrokerView, record_view, require_account
from trading_platform.execution.flatten import FlattenReport, flatten_positions
from trading_platform.execution.holder import is_proved_dead
from trading_platform.execution.reconcile import ReconcileReport
from trading_platform.storage.ledger import Halt, Ledger, LedgerError, LedgerOrder
from trading_platform.storage.ledger.model import IN_DOUBT

PLATFORM = "platform"
RUN_ID = "kill-switch"
CONFIRM_SECONDS = 20.0
POLL_SECONDS = 0.5
_BROKEN = "broken reconciliation"
_AND = "; "


class NoReasonError(ValueError):
    """The kill switch was turned without saying why."""


@dataclass(frozen=True)
class KillReport:
    """What turning the switch on achieved. Orders are named by client order id, or by perm id if they have none.

    ``halt`` is None if the ledger could not be told. ``cancelled``: open before, not open any more, asked of the
    broker afresh. ``still_open``: not confirmed within the time. ``in_doubt``: the ledger can't rule out that they
    live and the broker does not list them. ``troubles``: what could not be done at all, in sentences.
    """

    account: str
    halt: Halt | None
    cancelled: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    flattened: FlattenReport | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the halt stands, nothing is open or in doubt, and positions are flat if that was asked."""
        is_flat = self.flattened is None or self.flattened.is_flat
        return self.halt is not None and is_flat and not (self.still_open or self.in_doubt or self.troubles)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report in words, what went wrong included."""
        halted = (
            f"halted {self.halt.scope} since {self.halt.set_at:%Y-%m-%d %H:%M:%S} UTC, by {self.halt.who}: "
            f"{self.halt.reason}"
            if self.halt
            else "NOT halted"
        )
        flattened = self.flattened.sentences if self.flattened is not None else ()
        return (
            halted,
            *([] if self.troubles else [f"open orders cancelled and confirmed: {len(self.cancelled)}"]),
            *(f"order {name} is NOT confirmed cancelled: look at the broker" for name in self.still_open),
            *(f"order {name}: its fate is not known, the broker does not list it" for name in self.in_doubt),
            *self.troubles,
            *flattened,
        )


def engage(
    ledger: Ledger | None,
    broker: Broker | None,
    *,
    account: str,
    reason: str,
    who: str,
    clock: Clock,
    scope: str | None = None,
    flatten: bool = False,
    instruments: Callable[[], Mapping[str, Instrument]] | None = None,
    confirm_seconds: float = CONFIRM_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> KillReport:
    """Turn the switch on.

    The cancellation concerns every open order of the broker's login, those placed by hand included. Turned on twice
    for the same reason by the same person, the first halt is kept and everything else is done again.

    Args:
        ledger: ``None`` if there is none to be had: the broker's orders are cancelled all the same.
        broker: ``None`` if there is none: then only the halt is set.
        account: the account whose orders must end.
        scope: what the halt covers; the account, unless it is ``"*"`` for all.
        flatten: also bring the strategies' positions to zero, by reducing orders that pass risk control.
        instruments: what may be traded, by symbol; needed to flatten, and asked for when all else is done.
        confirm_seconds: the longest wait, in real seconds, until no order is open.

    Raises:
        NoReasonError: ``reason`` or ``who`` is blank; nothing was done.
    """
    _require_words(reason, who)
    troubles: list[str] = []
    halt = _halt(ledger, scope or account, reason, who, clock, troubles)
    if broker is None:
        troubles.append("no broker could be reached: open orders were NOT cancelled. Cancel them at the broker")
        return KillReport(account, halt, troubles=tuple(troubles))
    stopping = _Stopping(ledger if halt is not None else None, broker, account, clock, troubles)
    stopping.cancel_everything(confirm_seconds, poll_seconds)
    flattened = None
    if flatten:
        if ledger is None or halt is None or instruments is None or stopping.still_open or stopping.in_doubt:
            troubles.append("positions were not flattened: first every order must be known to have ended")
        else:
            flattened = _flatten(ledger, broker, account, reason, clock, instruments, troubles)
    return KillReport(
        account,
        halt,
        cancelled=tuple(sorted(stopping.seen - stopping.still_open)),
        still_open=tuple(sorted(stopping.still_open)),
        in_doubt=tuple(stopping.in_doubt),
        troubles=tuple(troubles),
        flattened=flattened,
    )


def release(ledger: Ledger, *, scope: str, reason: str, who: str, at: datetime) -> tuple[Halt, ...]:
    """Turn the switch off: clear every active halt of ``scope`` (an account, or ``"*"``). Returns those cleared.

    A halt of all accounts is not cleared by clearing an account's.

    Raises:
        NoReasonError: ``reason`` or ``who`` is blank; nothing was cleared.
        LedgerError: the ledger can't be reached, or somebody else cleared one of them at this moment.
    """
    _require_words(reason, who)
    active = [halt for halt in ledger.active_halts(scope) if halt.scope == scope]
    return tuple(ledger.clear_halt(halt.halt_id, reason=reason, who=who, at=at) for halt in active)


def engage_on_breach(
    ledger: Ledger, broker: Broker, *, account: str, breaches: Sequence[str], clock: Clock
) -> KillReport | None:
    """Turn the switch on by itself because limits were breached, each named by a sentence.

    Nothing happens without a breach, or while the account is halted already: a person may be at work on it.
    """
    if not breaches or ledger.active_halts(account):
        return None
    return engage(ledger, broker, account=account, reason=_AND.join(breaches), who=PLATFORM, clock=clock)


def engage_on_broken_reconciliation(
    ledger: Ledger, broker: Broker, report: ReconcileReport, *, clock: Clock
) -> KillReport | None:
    """Turn the switch on by itself if ledger and broker contradict each other.

    Not for what a person has looked at: the causes of a halt that was set here and cleared since do not set another.
    """
    accepted = {
        cause
        for halt in ledger.halt_history(report.account)
        if halt.who == PLATFORM and halt.cleared_at is not None
        for cause in halt.reason.removeprefix(f"{_BROKEN}: ").split(_AND)
    }
    causes = [cause for cause in causes_to_halt(ledger, report) if cause not in accepted]
    breaches = [f"{_BROKEN}: {_AND.join(causes)}"] if causes else []
    return engage_on_breach(ledger, broker, account=report.account, breaches=breaches, clock=clock)


def causes_to_halt(ledger: Ledger, report: ReconcileReport) -> tuple[str, ...]:
    """Why a reconciliation is broken: orders doubled or contradicted, and positions that trading can't explain.

    A difference in a symbol that the platform has never ordered in the account is somebody else's: a holding from
    before the ledger, a transfer, a trade by hand. It is reported by reconciliation and halts nothing. The other
    differences are named by how much the broker has more or less, which trading on does not change.
    """
    own = {order.intent.request.symbol for order in ledger.orders(report.account) if order.submitting_at is not None}
    return (
        *report.contradictions,
        *(
            f"order {name} is at the broker {len(perm_ids)} times ({', '.join(map(str, perm_ids))})"
            for name, perm_ids in report.duplicates.items()
        ),
        *(
            f"position {difference.symbol}: the broker has {_signed(difference.at_broker - difference.from_fills)} "
            "against the ledger's fills"
            for difference in report.position_differences
            if difference.symbol in own
        ),
    )


@dataclass
class _Stopping:
    """Cancelling until nothing is left. ``ledger`` is None when it does not answer."""

    ledger: Ledger | None
    broker: Broker
    account: str
    clock: Clock
    troubles: list[str]
    seen: set[str] = field(default_factory=set)
    still_open: set[str] = field(default_factory=set)
    in_doubt: list[str] = field(default_factory=list)

    def cancel_everything(self, confirm_seconds: float, poll_seconds: float) -> None:
        """Ask for it again and again, since an order can still have been on its way, until none is open."""
        deadline = time.monotonic() + confirm_seconds
        try:
            require_account(self.broker, self.account)
            self._look(is_first=True)
            self.broker.cancel_all_orders()
            while self._look() or self._is_being_sent():
                if time.monotonic() >= deadline:
                    break
                time.sleep(poll_seconds)
                self.broker.cancel_all_orders()
        except BrokerError as error:
            self.troubles.append(f"open orders are NOT confirmed cancelled: {error}")
        self._record()

    def _look(self, *, is_first: bool = False) -> bool:
        """Ask for the open orders. Returns whether there are any."""
        try:
            found = {_name(order) for order in self.broker.open_orders() if order.account == self.account}
        except BrokerError:
            if not is_first:
                raise
            return False  # not to be able to see them is no reason not to cancel them
        self.seen |= found
        self.still_open = found
        return bool(found)

    def _is_being_sent(self) -> bool:
        """Whether a living run may be about to send an order that it was allowed to send before the halt."""
        return any(
            order.submission_holder is not None and not is_proved_dead(order.submission_holder)
            for order in self._ledger_orders(OrderStatus.SUBMITTING)
        )

    def _ledger_orders(self, *statuses: OrderStatus) -> Sequence[LedgerOrder]:
        if self.ledger is None:
            return ()
        try:
            return self.ledger.orders(self.account, statuses=statuses)
        except LedgerError as error:
            self._lose_ledger(error)
            return ()

    def _record(self) -> None:
        """Take what became of the orders into the ledger, and see what it still can't rule out."""
        if self.ledger is None:
            return
        try:
            view = BrokerView.fetch(self.broker, self.account)
            record_view(self.ledger, view, self.account, at=self.clock.now(), run_id=RUN_ID)
        except BrokerError as error:
            self.troubles.append(f"what was cancelled is not in the ledger yet: {error}. Materialize `account` later")
        except LedgerError as error:
            self._lose_ledger(error)
        self.in_doubt = [
            order.client_order_id
            for order in self._ledger_orders(*IN_DOUBT)
            if order.status is OrderStatus.UNKNOWN or order.submission_holder is not None
            if order.client_order_id not in self.still_open
        ]

    def _lose_ledger(self, error: LedgerError) -> None:
        self.ledger = None
        self.troubles.append(f"the ledger does not know yet what was cancelled: {error}")


def _halt(ledger: Ledger | None, scope: str, reason: str, who: str, clock: Clock, troubles: list[str]) -> Halt | None:
    if ledger is None:
        troubles.append("the ledger could not be reached: new orders are NOT halted. Stop the schedules, and try again")
        return None
    try:
        for halt in ledger.active_halts(scope):
            if (halt.scope, halt.reason, halt.who) == (scope, reason, who):
                return halt
        return ledger.halt(scope, reason=reason, who=who, at=clock.now())
    except LedgerError as error:
        troubles.append(f"new orders are NOT halted: {error}")
        return None


def _flatten(
    ledger: Ledger,
    broker: Broker,
    account: str,
    reason: str,
    clock: Clock,
    instruments: Callable[[], Mapping[str, Instrument]],
    troubles: list[str],
) -> FlattenReport | None:
    try:
        return flatten_positions(
            ledger, broker, account=account, reason=reason, instruments=instruments(), clock=clock, run_id=RUN_ID
        )
    except Exception as error:  # noqa: BLE001 - the halt stands and must be reported, whatever this is
        troubles.append(f"positions were not flattened, or not all: {error}")
        return None


def _require_words(reason: str, who: str) -> None:
    if not reason.strip() or not who.strip():
        msg = "the kill switch needs a reason and a name: say why it is turned"
        raise NoReasonError(msg)


def _name(order: BrokerOrder) -> str:
    return order.client_order_id or f"perm {order.perm_id}"


def _signed(quantity: Decimal) -> str:
    return f"{quantity.normalize():+f}"
