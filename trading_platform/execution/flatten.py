"""Bringing the strategies' positions to zero under a halt, by orders that can only reduce.

They take the normal way: an intent in the ledger, named after the strategy that holds the position, risk control at
the decision and again at submission, and ``submit_tick``, so that each is sent once. Each must be proved to reduce
both the strategy's and the account's holding, with everything under way counted as filled, right before it leaves:
two calls at once, or a call after a crash, can't cross zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import metadata

from trading_platform.brokers.base import Broker
from trading_platform.clock import Clock
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.ids import client_order_id
from trading_platform.domain.orders.kinds import limit_price_at
from trading_platform.domain.orders.model import (
    ControlResult,
    OrderIntent,
    OrderRequest,
    RiskDecision,
    Side,
)
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing, quote_prices
from trading_platform.domain.orders.risk.controls import market_open, no_halt, tick_and_lot
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.observe import observe
from trading_platform.execution.report import SubmissionReport
from trading_platform.execution.submit import submit_tick
from trading_platform.storage.ledger import Ledger, Tick

CONTROLS = (market_open.CONTROL, no_halt.CONTROL, tick_and_lot.CONTROL)
"""Limits on sizes, exposure and the age of signals are made for orders that open, and must not keep anybody in."""

CRYPTO_LIMIT_BPS = Decimal(50)
"""IBKR sells crypto-currency by quantity at a limit only: this far beyond the touch."""


@dataclass(frozen=True)
class FlattenReport:
    """``orders``: what was sent. ``left``: the account's positions afterwards. ``unsent``: why orders were not sent."""

    orders: tuple[SubmissionReport, ...]
    left: Mapping[str, Decimal]
    unsent: tuple[str, ...]

    @property
    def is_flat(self) -> bool:
        """Whether the account holds nothing any more."""
        return not self.left

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report in words."""
        sent = sum(report.new_orders for report in self.orders)
        left = ", ".join(f"{symbol} {quantity.normalize():f}" for symbol, quantity in sorted(self.left.items()))
        end = f"NOT flat, still held: {left}" if left else "flat"
        return (f"positions: {sent} orders to flatten; {end}", *self.unsent)


@dataclass(frozen=True)
class _Holding:
    """What one strategy is to give up. ``quantity`` is signed, as held."""

    strategy: str
    instrument: Instrument
    quantity: Decimal


def flatten_positions(
    ledger: Ledger,
    broker: Broker,
    *,
    account: str,
    reason: str,
    instruments: Mapping[str, Instrument],
    clock: Clock,
    run_id: str,
) -> FlattenReport:
    """Send what brings the strategies' holdings to zero, and wait a moment for the fills.

    Holdings that no strategy's fills explain (trades by hand, transfers) are left alone and reported.

    Raises:
        BrokerError, LedgerError: something could not be read or written; call it again, nothing is sent twice.
    """
    unsent: list[str] = []
    reports: list[SubmissionReport] = []
    by_strategy: dict[tuple[str, str], list[_Holding]] = defaultdict(list)
    for holding in _holdings(ledger, broker, account, instruments, unsent):
        by_strategy[holding.strategy, holding.instrument.calendar].append(holding)
    for (strategy, calendar), holdings in sorted(by_strategy.items()):
        flattening = _Flattening(ledger, broker, _spec(strategy, calendar, holdings), instruments, clock)
        report = flattening.send(holdings, reason, run_id, unsent)
        if report is not None:
            await_fills(ledger, broker, report, clock=clock, run_id=run_id)
            reports.append(report)
            unsent += [f"{one.client_order_id}: {'; '.join(one.reasons)}" for one in report.outcomes if one.reasons]
    left = _held(broker, account)
    return FlattenReport(tuple(reports), left, tuple(unsent))


@dataclass(frozen=True)
class _Flattening:
    """The orders of one strategy on one calendar."""

    ledger: Ledger
    broker: Broker
    spec: StrategySpec
    instruments: Mapping[str, Instrument]
    clock: Clock

    def send(self, holdings: list[_Holding], reason: str, run_id: str, unsent: list[str]) -> SubmissionReport | None:
        """Record the tick with its intents, and submit it. None if there is nothing to send."""
        now, account = self.clock.now(), self.broker.account
        context = self._observe(now)
        tick = self._tick(account, now, run_id)
        intents = [self._intent(holding, context, tick, reason, unsent) for holding in holdings]
        judged = [(intent, self._judge(intent, context)) for intent in intents if intent is not None]
        if not judged:
            return None
        self.ledger.record_tick(tick, judged)
        return submit_tick(
            self.ledger,
            self.broker,
            self.instruments,
            account=account,
            strategy=self.spec.name,
            tick_utc=tick.tick_utc,
            guard=lambda intent: self._judge(intent, self._observe(self.clock.now())),
            clock=self.clock,
            run_id=run_id,
        )

    def _observe(self, now: datetime) -> RiskContext:
        return observe(
            self.ledger,
            self.broker,
            self.spec,
            self.instruments,
            now=now,
            quarantined=(),
            signal_time_utc=now,
        )

    def _judge(self, intent: OrderIntent, context: RiskContext) -> RiskDecision:
        (decision,) = decide([intent], context, CONTROLS)
        reduces = is_reducing(intent, context)
        against = "" if reduces else "with what is under way it could cross zero, or add to a holding"
        only = ControlResult("ReducesOnly", reduces, against, {})
        return RiskDecision(intent.client_order_id, (*decision.results, only))

    def _tick(self, account: str, now: datetime, run_id: str) -> Tick:
        """A tick that the strategy has not decided, and newer than all it has."""
        moment = now.replace(second=0, microsecond=0)
        while self.ledger.tick(account, self.spec.name, moment) is not None or self.ledger.has_newer_tick(
            account, self.spec.name, moment
        ):
            moment += timedelta(minutes=1)
        session = get_calendar(self.spec.calendar).latest_session(now).isoformat()
        version = metadata.version("trading-platform")
        return Tick(account, self.spec.name, moment, session, now, run_id, version, "kill switch")

    def _intent(
        self, holding: _Holding, context: RiskContext, tick: Tick, reason: str, unsent: list[str]
    ) -> OrderIntent | None:
        symbol = holding.instrument.symbol
        quote = context.quotes.get(symbol)
        prices = quote_prices(quote) if quote is not None else []
        side: Side = "SELL" if holding.quantity > 0 else "BUY"
        is_crypto = holding.instrument.security_type == "CRYPTO"
        limit = None
        if is_crypto and quote is not None and symbol in context.instruments:
            limit = limit_price_at(side, quote, CRYPTO_LIMIT_BPS, context.instruments[symbol].price_grid)
        if not prices or (is_crypto and limit is None):
            unsent.append(f"{symbol}: no price to be had, so no order was made for it")
            return None
        request = OrderRequest(
            client_order_id=client_order_id(tick.strategy, symbol, tick.tick_utc),
            symbol=symbol,
            side=side,
            quantity=abs(holding.quantity),
            order_type="LMT" if is_crypto else "MKT",
            time_in_force="IOC" if is_crypto else "DAY",
            limit_price=limit,
        )
        return OrderIntent(
            request=request,
            strategy=tick.strategy,
            account=tick.account,
            session=tick.session,
            tick_utc=tick.tick_utc,
            as_of_utc=tick.decided_at,
            decision_price=prices[0],
            target_weight=0.0,
            confidence=1.0,
            reason=f"flatten: {reason}",
        )


def _holdings(
    ledger: Ledger, broker: Broker, account: str, instruments: Mapping[str, Instrument], unsent: list[str]
) -> list[_Holding]:
    """What each strategy can give up without the account, by the broker's and the ledger's count, crossing zero."""
    strategies = sorted({fill.strategy for fill in ledger.fills(account) if fill.strategy is not None})
    held = {strategy: ledger.strategy_position(account, strategy) for strategy in strategies}
    by_fills, at_broker = ledger.positions_from_fills(account), _held(broker, account)
    result = []
    for symbol, quantity in sorted(at_broker.items()):
        counted = by_fills.get(symbol, Decimal(0))
        room = min(abs(quantity), abs(counted)) if quantity * counted > 0 else Decimal(0)
        for strategy in strategies:
            own = held[strategy].get(symbol, Decimal(0))
            share = min(room, abs(own)) if own * quantity > 0 else Decimal(0)
            if share and symbol in instruments:
                result.append(_Holding(strategy, instruments[symbol], share.copy_sign(quantity)))
                room -= share
        if symbol not in instruments:
            unsent.append(f"{symbol}: it is unknown or restricted, and not traded")
            continue
        sold = sum((abs(one.quantity) for one in result if one.instrument.symbol == symbol), Decimal(0))
        if sold < abs(quantity):
            rest = (abs(quantity) - sold).normalize()
            unsent.append(f"{symbol}: {rest:f} are no strategy's by the ledger: close them at the broker")
    return result


def _held(broker: Broker, account: str) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for position in broker.positions():
        if position.account == account:
            held[position.symbol] += position.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


def _spec(strategy: str, calendar: str, holdings: list[_Holding]) -> StrategySpec:
    """What observing needs of a strategy. Its own spec may be gone: it can hold positions all the same."""
    return StrategySpec(
        name=strategy,
        strategy="flatten",
        description="Gives up its holdings.",
        universe=tuple(sorted({holding.instrument.symbol for holding in holdings})),
        calendar=calendar,
        bar_size="1 min",
        cadence_minutes=1,
        history_sessions=1,
    )
