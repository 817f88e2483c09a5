"""From signals to decided orders: size them, judge them, persist them. Sends nothing.

A tick is decided once. Whoever comes second, a re-run of the same moment or a run beside this one, is given
the stored decision, whatever the market says by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.intents import SkippedSignal, build_intents
from trading_platform.domain.orders.risk.cutting import judge, judge_again
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision
from trading_platform.execution.observe import equity_of, observe
from trading_platform.execution.what_if import ask_what_ifs
from trading_platform.storage.ledger import Ledger, Tick, TickRecord


@dataclass(frozen=True)
class DecidedTick:
    """The stored decision, and why symbols without an order have none (known only to the run that decided)."""

    record: TickRecord
    skipped: tuple[SkippedSignal, ...]
    equity_usd: Decimal | None


def decide_tick(
    ledger: Ledger,
    broker: Broker,
    spec: StrategySpec,
    signals: Sequence[Signal],
    decision: Decision,
    *,
    instruments: Mapping[str, Instrument],
    quarantined: frozenset[str],
    signal_time_utc: datetime | None,
    clock: Clock,
    run_id: str,
    code_version: str,
    world: str,
    newest_bars: Mapping[str, datetime] | None = None,
    signal_version: str | None = None,
    model_version: str | None = None,
) -> DecidedTick:
    """Decide the tick, unless it has been decided before.

    Args:
        signals: the strategy's signals at the tick, at most one per symbol.
        decision: session, tick and the moment of the decision, which the intents carry.
        instruments: every instrument the platform knows, by symbol.
        quarantined: symbols whose bars failed validation in the session.
        signal_time_utc: when the signals were made; ``None`` when there are none.
        newest_bars: start of each symbol's newest bar that has ended, tz-aware UTC; ``None``: not known.
        clock: asked once everything was gathered. Hundreds of quotes take a while at the broker's pace, and ages
            are judged at the moment they are known, not at the one the asking began.
        signal_version: names the signals, for tracing; see ``execution.versions``.
        model_version: names the model that made them; ``None`` where a rule did.

    Raises:
        BrokerError: the broker's account can't be read; nothing was stored.
        LedgerError: the ledger can't be reached; nothing was stored.
    """
    stored = ledger.tick(broker.account, spec.name, decision.tick_utc)
    if stored is not None:
        return DecidedTick(stored, (), None)
    context = observe(
        ledger,
        broker,
        spec,
        instruments,
        now=decision.as_of_utc,
        quarantined=quarantined,
        signal_time_utc=signal_time_utc,
        bars=due_bars(spec, newest_bars, tick_utc=decision.tick_utc, as_of_utc=decision.as_of_utc),
    )
    context = context.at(clock.now())
    plan = build_intents(
        signals,
        spec,
        equity=equity_of(context),
        positions=context.strategy_positions,
        working=context.working,
        quotes=context.quotes,
        instruments=context.instruments,
        tick=decision.tick_utc,
        as_of=decision.as_of_utc,
        session=decision.session,
        account=broker.account,
    )
    judged = judge(plan.intents, context, spec)
    what_ifs = ask_what_ifs(broker, instruments, judged, context)
    if what_ifs:
        judged = judge_again(judged, replace(context, what_ifs=what_ifs))
    tick = Tick(
        account=broker.account,
        strategy=spec.name,
        tick_utc=decision.tick_utc,
        session=decision.session.isoformat(),
        decided_at=decision.as_of_utc,
        dagster_run_id=run_id,
        code_version=code_version,
        world=world,
    )
    record = ledger.record_tick(
        tick,
        judged,
        cancels=plan.cancels,
        signal_version=signal_version,
        model_version=model_version,
    )
    return DecidedTick(record, plan.skipped, equity_of(context))
