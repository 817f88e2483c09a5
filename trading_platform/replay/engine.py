"""The replay: one platform clock, stepped through the ticks that schedules would start.

At each tick it calls what the assets of an agent's job call, in their order, with a real ledger, client and gateway:

* ``ingest.bars.fetch_bars`` → ``validate_feed`` → features → signals;
* ``execution.trade``: ``decide_current_tick``, ``submit_current_tick``;
* ``reconcile``, the equity's reading, and the kill switch on what the two find.

Between ticks the gateway plays its minutes. Before a tick, while orders are working, and at each session's close the
broker's word is read into the ledger, for the sensor ``open_orders``, which looks every half minute, does not run here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.backtest.moments import CloseMoment, TickMoment, moments
from trading_platform.domain.backtest.record import DecidedIntent, EquityReading, OrderOutcome, Record, TickOutcome
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.feed import feature_names
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.domain.signals.decide import signals_at, signals_table
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.signals.model import Strategy
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.execution.breaches import loss_breaches
from trading_platform.execution.kill_switch import KillReport, engage_on_breach, engage_on_broken_reconciliation
from trading_platform.execution.reconcile import reconcile
from trading_platform.execution.trade import OrderRun, decide_current_tick, submit_current_tick
from trading_platform.replay.bars import FeedMemory
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger
from trading_platform.storage.ledger.model import WORKING

ACCOUNT = re.compile(r"DUR\d{8}")
"""What replay accounts are called. No account at IBKR is: theirs are DU and digits, or U and digits."""
MAIN_CALENDAR = "XNYS"
"""The day of the daily loss begins with its open."""


class NotAReplayAccountError(Exception):
    """A replay was about to work on an account that is not a replay's. Nothing was asked and nothing was sent."""


@dataclass(frozen=True)
class ReplayWorld:
    """A world of the replay's own: nothing in it is the platform's of today.

    ``advance`` moves the one clock of platform and gateway to an instant (tz-aware UTC) and lets the gateway's orders
    meet the market up to it.
    """

    settings: Settings
    clock: Clock
    advance: Callable[[datetime], None]
    broker: Broker
    ledger: Ledger
    instruments: Mapping[str, Instrument]
    account_limits: AccountLimits
    quality: DataQuality


class Replay:
    """Strategies in one replay world, over the sessions from ``first`` to ``last``, both included.

    Raises:
        NotAReplayAccountError: the broker is connected to an account that is not a replay's.
    """

    def __init__(self, specs: Sequence[StrategySpec], first: date, last: date, world: ReplayWorld) -> None:
        account = world.broker.account
        if not ACCOUNT.fullmatch(account) or world.settings.ibkr_account != account or world.settings.mode != "paper":
            msg = (
                f"a replay trades in a paper account of its own, called DUR and a date, and never in {account or '?'}: "
                "start it with `trading-platform replay`, which brings its own gateway"
            )
            raise NotAReplayAccountError(msg)
        self._account = account
        self._world = world
        self._first, self._last = first, last
        self._specs = {spec.name: spec for spec in specs}
        self._strategies: dict[str, Strategy] = {spec.name: load_strategy(spec) for spec in specs}
        self._feeds = {
            feed.name: FeedMemory(
                feed,
                feature_names(self._specs[name] for name in feed.strategies),
                world.instruments,
                world.quality,
                world.broker,
                first,
            )
            for feed in feeds_of(specs, ())
        }
        self._outcomes: list[TickOutcome] = []
        self._notes: list[str] = []

    def run(self, progress: Callable[[datetime, int], None] | None = None) -> Record:
        """Step through all of it.

        Args:
            progress: called after each tick with its instant and the number of ticks so far.

        Raises:
            BrokerError: the gateway failed.
            LedgerError: the ledger failed.
        """
        self._read_equity("start")
        for moment in moments(tuple(self._specs.values()), self._first, self._last):
            self._world.advance(moment.at)
            run_id = f"replay:{moment.at:%Y%m%dT%H%M}"
            if self._world.ledger.orders(self._account, statuses=WORKING):
                self._reconcile(run_id)
            if isinstance(moment, CloseMoment):
                self._read_equity(run_id)
                continue
            self._outcomes.append(self._tick(moment, run_id))
            self._settle(run_id)
            if progress is not None:
                progress(moment.at, len(self._outcomes))
        return self._record()

    def _tick(self, moment: TickMoment, run_id: str) -> TickOutcome:
        spec, due = self._specs[moment.strategy], moment.decision
        view = self._feeds[spec.feed].at(due.session, moment.at)
        strategy = self._strategies[spec.name]
        signals = signals_at(spec, strategy, view.features, due) if view.features is not None else []
        if not signals:
            return TickOutcome(spec.name, due, note="no signals")
        run = OrderRun(
            spec=spec,
            sessions=(due.session.isoformat(),),
            run_id=f"{run_id}:{spec.name}",
            run_tags={},
            settings=self._world.settings,
            clock=self._world.clock,
            instruments=self._world.instruments,
            ledger=self._world.ledger,
            connect=lambda: self._world.broker,
            quarantined=lambda: view.discredited,
            newest_bars=lambda: view.newest_bars,
            log=lambda _: None,
            fill_wait_seconds=0.0,
        )
        decided = decide_current_tick(run, signals_table(spec, signals, due))
        is_decided = decided.outcome.startswith("tick ")
        if is_decided:
            submit_current_tick(run)
        return TickOutcome(spec.name, due, tuple(signals), note="" if is_decided else decided.outcome)

    def _settle(self, run_id: str) -> None:
        self._reconcile(run_id)
        self._read_equity(run_id)

    def _reconcile(self, run_id: str) -> None:
        world = self._world
        report = reconcile(world.ledger, world.broker, account=self._account, clock=world.clock, run_id=run_id)
        self._note_kill(engage_on_broken_reconciliation(world.ledger, world.broker, report, clock=world.clock))

    def _read_equity(self, run_id: str) -> None:
        world = self._world
        summary = world.broker.account_summary()
        world.ledger.record_equity(summary, run_id=run_id)
        found = loss_breaches(
            world.ledger, summary, world.account_limits, get_calendar(MAIN_CALENDAR), now=world.clock.now()
        )
        killed = engage_on_breach(world.ledger, world.broker, account=self._account, breaches=found, clock=world.clock)
        self._note_kill(killed)

    def _note_kill(self, killed: KillReport | None) -> None:
        if killed is not None:
            reason = killed.halt.reason if killed.halt is not None else "; ".join(killed.sentences)
            self._notes.append(f"{self._world.clock.now():%Y-%m-%d %H:%M} UTC: the kill switch was turned on: {reason}")

    def _record(self) -> Record:
        """Everything that happened, read from the ledger."""
        ledger, account = self._world.ledger, self._account
        orders = ledger.orders(account)
        verdicts = {d.decision.client_order_id: d.decision for d in ledger.risk_decisions(account, stage="decision")}
        refused: dict[str, tuple[str, ...]] = {
            stored.decision.client_order_id: stored.decision.reasons
            for stored in ledger.risk_decisions(account, stage="submission")
            if not stored.decision.is_approved
        }
        by_tick: dict[tuple[str, datetime], list[DecidedIntent]] = {}
        for order in orders:
            key = (order.intent.strategy, order.intent.tick_utc)
            by_tick.setdefault(key, []).append(DecidedIntent(order.intent, verdicts[order.client_order_id]))
        ticks = []
        for outcome in self._outcomes:
            intents = tuple(by_tick.get((outcome.strategy, outcome.decision.tick_utc), ()))
            names = {one.intent.client_order_id for one in intents}
            ticks.append(
                TickOutcome(
                    outcome.strategy,
                    outcome.decision,
                    outcome.signals,
                    intents,
                    refused={name: why for name, why in refused.items() if name in names},
                    note=outcome.note,
                )
            )
        return Record(
            account=account,
            first=self._first,
            last=self._last,
            ticks=tuple(ticks),
            orders=tuple(
                OrderOutcome(order.intent, order.status, order.filled_quantity, order.average_fill_price)
                for order in orders
                if order.status is not OrderStatus.REJECTED
            ),
            fills=tuple(fill.execution for fill in ledger.fills(account)),
            readings=tuple(
                EquityReading(p.ts_utc, p.net_liquidation, p.total_cash, p.gross_position_value)
                for p in ledger.equity_history(account)
            ),
            positions=dict(sorted(ledger.positions_from_fills(account).items())),
            quarantined_bars=sum(feed.quarantined for feed in self._feeds.values()),
            notes=tuple(self._notes),
        )
