"""What the assets ``order_intents`` and ``orders`` do: guard the run, decide the tick, send it.

The run is judged first (``domain.orders.guards``): a backfill, a past session, a closed market decide and
send nothing, and say so. Then the tick is decided once (``decide``) and sent once (``submit``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from importlib import metadata
from math import isnan
from typing import TYPE_CHECKING, Any

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.guards import SubmissionAttempt, refusals
from trading_platform.domain.orders.model import ControlResult, OrderIntent, RiskDecision
from trading_platform.domain.orders.risk.books import approve
from trading_platform.domain.orders.risk.context import Halt, RiskContext
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision, Skip, decision_at
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.closing import in_flight_seconds
from trading_platform.execution.decide import decide_tick
from trading_platform.execution.observe import observe
from trading_platform.execution.report import SubmissionReport
from trading_platform.execution.submit import SETTLE_SECONDS, submit_tick
from trading_platform.execution.versions import signal_version
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

FILL_WAIT_SECONDS = 3.0
"""How long a run looks for fills after sending; later ones are the executions sensor's."""


@dataclass(frozen=True)
class OrderRun:
    """One Dagster run of one strategy's orders.

    ``connect`` opens the broker connection when first needed; ``quarantined`` looks up the symbols with bars that
    failed validation in the session; ``newest_bars`` each symbol's newest bar that has ended, ``None`` if unknown;
    ``signals_run_id`` names the Dagster run that made the session's signals. ``fill_wait_seconds`` is how long to look
    for fills after sending, ``settle_seconds`` see ``submit``; both are real seconds.
    """

    spec: StrategySpec
    sessions: tuple[str, ...]
    run_id: str
    run_tags: Mapping[str, str]
    settings: Settings
    clock: Clock
    instruments: Mapping[str, Instrument]
    ledger: Ledger
    connect: Callable[[], Broker]
    quarantined: Callable[[], frozenset[str]]
    log: Callable[[str], object]
    newest_bars: Callable[[], Mapping[str, datetime] | None] = lambda: None
    signals_run_id: Callable[[], str | None] = lambda: None
    fill_wait_seconds: float = FILL_WAIT_SECONDS
    settle_seconds: float = SETTLE_SECONDS

    @cached_property
    def calendar(self) -> TradingCalendar:
        """The strategy's calendar."""
        return get_calendar(self.spec.calendar)

    @property
    def account(self) -> str:
        """The account the orders go to; asked of the broker only if the settings don't name it."""
        return self.settings.ibkr_account or self.connect().account

    def refusals(self, now: datetime, context: RiskContext | None = None) -> tuple[str, ...]:
        """Reasons why this run may not trade at ``now``; with a ``context``, prices and halts are judged too."""
        account = self.account if context is None else self.connect().account
        return refusals(
            SubmissionAttempt(
                strategy=self.spec.name,
                run_tags=self.run_tags,
                partition_keys=self.sessions,
                current_session=self.calendar.session_at(now),
                now=now,
                symbols=() if context is None else self.spec.universe,
                quotes={} if context is None else context.quotes,
                max_price_age=timedelta(seconds=self.spec.limits.max_price_age_seconds),
                halts=tuple(Halt(halt.reason, halt.set_at) for halt in self.ledger.active_halts(account)),
                mode=self.settings.mode,
                account=account,
                configured_account=self.settings.ibkr_account,
                is_read_only=self.settings.read_only,
                live_confirmation=self.settings.live_confirmation,
            )
        )


@dataclass(frozen=True)
class Decided:
    """What became of the decision: ``outcome`` in words, ``skipped`` the signals that need no order."""

    account: str
    outcome: str
    skipped: list[dict[str, Any]]


@dataclass(frozen=True)
class Sent:
    """What became of the submission. ``refusals`` are the reasons why nothing was sent, if nothing was."""

    account: str
    outcome: str
    new_orders: int
    refusals: tuple[str, ...]


def decide_current_tick(run: OrderRun, signals: pd.DataFrame) -> Decided:
    """Decide the current tick from its rows in ``signals``, unless this run may not or the tick is decided.

    Without signals of the tick nothing is decided, so that a run that has them still can: this one may have begun
    in the tick before, or on an older table.
    """
    now = run.clock.now()
    reasons = run.refusals(now)
    due = decision_at(run.spec, run.calendar, now)
    if reasons or isinstance(due, Skip):
        return Decided(run.account, f"nothing decided: {_sentences(reasons, due)}", [])
    at_tick = signals[signals["tick_utc"] == due.tick_utc] if len(signals) else signals
    if at_tick.empty:
        return Decided(run.account, f"nothing decided: no signals of the tick {due.tick_utc:%Y-%m-%d %H:%M} UTC", [])
    decided = decide_tick(
        run.ledger,
        run.connect(),
        run.spec,
        [_signal(row) for row in at_tick.to_dict("records")],
        due,
        instruments=run.instruments,
        quarantined=run.quarantined(),
        newest_bars=run.newest_bars(),
        signal_time_utc=at_tick["as_of_utc"].max().to_pydatetime(),
        clock=run.clock,
        run_id=run.run_id,
        code_version=_code_version(),
        world=run.settings.world.name,
        signal_version=str(signal_version(run.signals_run_id(), at_tick)),
    )
    tick = decided.record.tick
    if decided.record.is_new:
        outcome = f"tick {tick.tick_utc:%Y-%m-%d %H:%M} UTC decided: {len(decided.record.orders)} intents"
    else:
        outcome = f"tick {tick.tick_utc:%Y-%m-%d %H:%M} UTC was decided at {tick.decided_at:%H:%M:%S} UTC already"
    return Decided(run.account, outcome, [_readable(asdict(skip)) for skip in decided.skipped])


def submit_current_tick(run: OrderRun) -> Sent:
    """Send the approved intents of the current tick, each exactly once, and look for their fills for a moment."""
    now = run.clock.now()
    reasons = run.refusals(now)
    due = decision_at(run.spec, run.calendar, now)
    if reasons or isinstance(due, Skip):
        return Sent(run.account, f"nothing sent: {_sentences(reasons, due)}", 0, reasons)
    record = run.ledger.tick(run.account, run.spec.name, due.tick_utc)
    if record is None:
        why = f"the tick {due.tick_utc:%Y-%m-%d %H:%M} UTC has not been decided"
        return Sent(run.account, f"nothing sent: {why}", 0, (why,))
    if not record.orders and not record.cancels:
        return Sent(run.account, "nothing to send: the tick has no intents", 0, ())
    broker = run.connect()
    report = submit_tick(
        run.ledger,
        broker,
        run.instruments,
        account=broker.account,
        strategy=run.spec.name,
        tick_utc=due.tick_utc,
        guard=_Guard(run, due),
        clock=run.clock,
        run_id=run.run_id,
        settle_seconds=run.settle_seconds,
        in_flight_seconds=in_flight_seconds(run.settings.ibkr_host),
    )
    await_fills(
        run.ledger,
        broker,
        report,
        clock=run.clock,
        run_id=run.run_id,
        wait_seconds=run.fill_wait_seconds,
    )
    return Sent(broker.account, _outcome(report), report.new_orders, ())


class _Guard:
    """All guards and risk controls once more, right before each order leaves.

    Market and account are observed at the first order, when the lease is held; orders that passed count for
    the next ones.
    """

    def __init__(self, run: OrderRun, due: Decision) -> None:
        self._run = run
        self._due = due
        self._context: RiskContext | None = None

    def __call__(self, intent: OrderIntent) -> RiskDecision:
        if self._context is None:
            self._context = observe(
                self._run.ledger,
                self._run.connect(),
                self._run.spec,
                self._run.instruments,
                now=self._run.clock.now(),
                quarantined=self._run.quarantined(),
                signal_time_utc=intent.as_of_utc,
                bars=due_bars(
                    self._run.spec,
                    self._run.newest_bars(),
                    tick_utc=intent.tick_utc,
                    as_of_utc=intent.as_of_utc,
                ),
            )
        now = self._run.clock.now()
        context = self._context.at(now)
        refused = self._run.refusals(now, context)
        (decision,) = decide([intent], context)
        if refused:
            guard = ControlResult("RunGuards", is_passed=False, reason="; ".join(refused), numbers={})
            return RiskDecision(intent.client_order_id, (*decision.results, guard))
        if decision.is_approved:
            self._context = approve(intent, self._context)
        return decision


@lru_cache(maxsize=1)
def _code_version() -> str:
    return metadata.version("trading-platform")


def _signal(row: Mapping[Any, Any]) -> Signal:
    return Signal(
        symbol=row["symbol"],
        side=row["side"],
        target_weight=float(row["target_weight"]),
        confidence=float(row["confidence"]),
        price=float(row["price"]),
        reason=row["reason"],
        volatility=_number(row.get("volatility")),
        atr=_number(row.get("atr")),
    )


def _number(value: Any) -> float | None:
    """A cell that may be null."""
    return None if value is None or isnan(value) else float(value)


def _sentences(reasons: tuple[str, ...], due: Decision | Skip) -> str:
    return "; ".join(reasons) or (due.reason if isinstance(due, Skip) else "")


def _readable(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "" if value is None else str(value) for name, value in record.items()}


def _outcome(report: SubmissionReport) -> str:
    """E.g. "1 placed; 1 already_placed (momentum.AAPL…: filled)"."""
    parts = [f"{len(report.called_off)} called off ({', '.join(report.called_off)})"] if report.called_off else []
    parts += report.not_called_off
    for kind in ("placed", "already_placed", "refused", "rejected", "unknown", "not_sent"):
        found = report.of(kind)
        if found:
            whys = "; ".join(f"{one.client_order_id}: {', '.join(one.reasons)}" for one in found if one.reasons)
            parts.append(f"{len(found)} {kind.replace('_', ' ')}" + (f" ({whys})" if whys else ""))
    return "; ".join(parts) or "no orders"
