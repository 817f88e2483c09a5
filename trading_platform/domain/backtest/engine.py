"""The backtest: the strategies' own code, sizing, guards and risk controls over a market in memory.

At each tick it does what the assets and ``execution.trade`` do for a live account: bars, validation, features, signals,
guards, intents, risk; then every guard and control once more, order by order, before it is placed. What differs is
behind :class:`~.market.Market` and :class:`~.exchange.Exchange`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from trading_platform.domain.backtest.account import RATE_WINDOW, AccountHistory
from trading_platform.domain.backtest.exchange import Exchange, UnsupportedOrderError
from trading_platform.domain.backtest.feeds import FeatureView, FeedHistory
from trading_platform.domain.backtest.market import Market
from trading_platform.domain.backtest.moments import CloseMoment, TickMoment, moments, start_of
from trading_platform.domain.backtest.record import DecidedIntent, OrderOutcome, Record, TickOutcome
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.feed import feature_names
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import newest_bars
from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.orders.guards import SubmissionAttempt, refusals
from trading_platform.domain.orders.intents import build_intents
from trading_platform.domain.orders.model import OrderIntent, RiskDecision
from trading_platform.domain.orders.risk.books import approve
from trading_platform.domain.orders.risk.breaches import breaches
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, Halt, RiskContext, SessionHours
from trading_platform.domain.orders.risk.cutting import judge
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.domain.signals.decide import signals_at
from trading_platform.domain.signals.loading import load_strategy
from trading_platform.domain.signals.model import Signal, Strategy
from trading_platform.domain.signals.spec import StrategySpec

MAIN_CALENDAR = "XNYS"
"""The day of the daily loss begins with its open, as for a live account."""


@dataclass(frozen=True)
class Plan:
    """What to backtest: strategies over the sessions from ``first`` to ``last``, both included.

    ``instruments`` are all the platform knows, by symbol; ``quality`` says which bars are believed. ``cash`` is what
    the account begins with, USD.
    """

    specs: Sequence[StrategySpec]
    first: date
    last: date
    instruments: Mapping[str, Instrument]
    account_limits: AccountLimits
    quality: DataQuality
    account: str = "DBACKTEST"
    cash: Decimal = Decimal(1_000_000)


def run_backtest(plan: Plan, market: Market, progress: Callable[[datetime, int], None] | None = None) -> Record:
    """Step the strategies through the sessions.

    Args:
        plan: what to run.
        market: what they see.
        progress: called after each tick with its instant and the number of ticks so far.

    Raises:
        StrategyError: a spec does not fit its strategy.
        UnsupportedOrderError: an order of a kind that is not simulated.
    """
    return _Backtest(plan, market).run(progress)


class _Backtest:
    def __init__(self, plan: Plan, market: Market) -> None:
        self._plan = plan
        self._market = market
        self._specs = {spec.name: spec for spec in plan.specs}
        self._strategies: dict[str, Strategy] = {spec.name: load_strategy(spec) for spec in plan.specs}
        self._start = start_of(plan.specs, plan.first, plan.last)
        self._moments = list(moments(plan.specs, plan.first, plan.last))
        due: dict[str, list[tuple[date, datetime]]] = {}
        for moment in self._moments:
            if isinstance(moment, TickMoment):
                feed = self._specs[moment.strategy].feed
                due.setdefault(feed, []).append((moment.decision.session, moment.at))
        self._feeds = {
            feed.name: FeedHistory(
                feed,
                feature_names(self._specs[name] for name in feed.strategies),
                market,
                due[feed.name],
                instruments=plan.instruments,
                quality=plan.quality,
            )
            for feed in feeds_of(plan.specs, ())
            if feed.name in due
        }
        self._notes: list[str] = []
        self._ticks: list[TickOutcome] = []

    def run(self, progress: Callable[[datetime, int], None] | None) -> Record:
        plan = self._plan
        if self._start is None:
            return Record(plan.account, plan.first, plan.last, (), (), (), (), {}, 0, ("no session in these days",))
        self._exchange = Exchange(self._market, plan.instruments, plan.cash, self._start)
        self._account = AccountHistory(
            plan.account, self._exchange, timedelta(days=plan.account_limits.drawdown_window_days)
        )
        self._read_account()
        for moment in self._moments:
            self._exchange.play(moment.at)
            if isinstance(moment, CloseMoment):
                self._read_account()
                continue
            self._ticks.append(self._tick(moment))
            self._read_account()
            if progress is not None:
                progress(moment.at, len(self._ticks))
        placed = self._exchange.orders.values()
        orders = sorted(placed, key=lambda order: (order.intent.tick_utc, order.intent.client_order_id))
        return Record(
            account=plan.account,
            first=plan.first,
            last=plan.last,
            ticks=tuple(self._ticks),
            orders=tuple(OrderOutcome(o.intent, o.status, o.filled, o.average_price) for o in orders),
            fills=tuple(self._exchange.fills),
            readings=tuple(self._account.readings),
            positions=dict(sorted(self._exchange.positions.items())),
            quarantined_bars=sum(feed.quarantined for feed in self._feeds.values()),
            notes=tuple(self._notes),
        )

    def _tick(self, moment: TickMoment) -> TickOutcome:
        spec, due = self._specs[moment.strategy], moment.decision
        view = self._feeds[spec.feed].at(due.session, moment.at)
        signals = signals_at(spec, self._strategies[spec.name], view.features, due)
        outcome = TickOutcome(spec.name, due, tuple(signals))
        if not signals:
            return replace(outcome, note="no signals")
        refused = self._refusals(spec, moment, None)
        if refused:
            return replace(outcome, note="; ".join(refused))
        return self._trade(spec, moment, signals, view, outcome)

    def _trade(
        self, spec: StrategySpec, moment: TickMoment, signals: Sequence[Signal], view: FeatureView, outcome: TickOutcome
    ) -> TickOutcome:
        tick = moment.decision.tick_utc
        bars = due_bars(spec, newest_bars(view.features), tick_utc=tick, as_of_utc=moment.at)
        context = self._context(spec, moment.at, view.discredited, bars)
        assert context.account is not None
        plan = build_intents(
            signals,
            spec,
            equity=context.account.net_liquidation,
            positions=context.strategy_positions,
            working=context.working,
            quotes=context.quotes,
            instruments=context.instruments,
            tick=moment.decision.tick_utc,
            as_of=moment.at,
            session=moment.decision.session,
            account=self._plan.account,
        )
        if plan.cancels:
            msg = f"{spec.name} calls off orders, which a backtest does not simulate; `trading-platform replay` does"
            raise UnsupportedOrderError(msg)
        decided = sorted(
            (DecidedIntent(intent, verdict) for intent, verdict in judge(plan.intents, context, spec)),
            key=lambda one: one.intent.client_order_id,
        )
        refused: dict[str, tuple[str, ...]] = {}
        for one in decided:
            if not one.verdict.is_approved:
                continue
            context, reasons = self._submit(spec, moment, one.intent, context)
            if reasons:
                refused[one.intent.client_order_id] = reasons
        return replace(outcome, intents=tuple(decided), skipped=plan.skipped, refused=refused)

    def _submit(
        self, spec: StrategySpec, moment: TickMoment, intent: OrderIntent, context: RiskContext
    ) -> tuple[RiskContext, tuple[str, ...]]:
        """Ask guards and controls once more, as right before a send, and place. Returns the reasons why not.

        The context is the decision's: the market stands still at a tick, and orders that passed count for the next.
        """
        reasons = self._refusals(spec, moment, context)
        verdict: RiskDecision
        (verdict,) = decide([intent], context)
        if reasons or not verdict.is_approved:
            return context, (*verdict.reasons, *reasons)
        self._account.note_sent(intent, moment.at)
        self._exchange.place(intent)
        return approve(intent, context), ()

    def _refusals(self, spec: StrategySpec, moment: TickMoment, context: RiskContext | None) -> tuple[str, ...]:
        return refusals(
            SubmissionAttempt(
                strategy=spec.name,
                run_tags={},
                partition_keys=(moment.decision.session.isoformat(),),
                current_session=get_calendar(spec.calendar).session_at(moment.at),
                now=moment.at,
                symbols=() if context is None else spec.universe,
                quotes={} if context is None else context.quotes,
                max_price_age=timedelta(seconds=spec.limits.max_price_age_seconds),
                halts=tuple(self._account.halts),
                mode="paper",
                account=self._plan.account,
            )
        )

    def _context(
        self, spec: StrategySpec, now: datetime, discredited: frozenset[str], bars: DueBars | None
    ) -> RiskContext:
        """Everything that ``execution.observe`` gathers of a live account."""
        own = dict(self._account.positions(spec.name))
        positions, working = self._exchange.holdings(), self._exchange.working()
        named = {*spec.universe, *own, *positions, *(order.symbol for order in working)}
        symbols = sorted(named & self._plan.instruments.keys())
        quotes = {symbol: quote for symbol in symbols if (quote := self._market.quote(symbol, now)) is not None}
        details = {symbol: one for symbol in symbols if (one := self._market.details(symbol)) is not None}
        summary = self._exchange.summary(self._plan.account)
        calendar = get_calendar(spec.calendar)
        session = calendar.session_at(now)
        hours = None
        if session is not None:
            hours = SessionHours(calendar.open_of(session), calendar.close_of(session), calendar.is_always_open)
        equity = summary.net_liquidation
        marks = self._account.marks(hours.open_utc if hours is not None else now, now) or EquityMarks(equity, equity)
        return RiskContext(
            as_of_utc=now,
            limits=spec.limits,
            account_limits=spec.account_limits,
            account=summary,
            quotes=quotes,
            instruments=details,
            strategy_positions=own,
            account_positions=positions,
            working=working,
            is_market_open=session is not None,
            session=hours,
            halts=tuple(self._account.halts),
            quarantined=discredited,
            signal_time_utc=now,
            recent_submissions=self._account.sent_since(now - RATE_WINDOW),
            equity_marks=EquityMarks(marks.session_start_usd, max(marks.peak_usd, equity)),
            closed_trades=tuple(self._account.closed_trades(spec.name)),
            bars=bars,
            sectors={symbol: instrument.sector for symbol, instrument in self._plan.instruments.items()},
        )

    def _read_account(self) -> None:
        """Read the equity; a loss beyond the account's limits stops everything, as the kill switch does."""
        equity = self._exchange.summary(self._plan.account).net_liquidation
        self._account.read()
        now = self._exchange.now
        main = get_calendar(MAIN_CALENDAR)
        marks = self._account.marks(main.open_of(main.latest_session(now)), now)
        found = breaches(equity, marks, self._plan.account_limits)
        if found and not self._account.halts:
            self._account.halts.append(Halt("; ".join(found), now))
            self._exchange.cancel_all()
            self._notes.append(f"{now:%Y-%m-%d %H:%M} UTC: the kill switch was turned on: {'; '.join(found)}")
