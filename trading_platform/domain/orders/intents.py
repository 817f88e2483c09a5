"""From signals to order intents: what has to be traded to get from what is held to what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.orders.ids import InvalidOrderIdError, client_order_id
from trading_platform.domain.orders.kinds import NoPriceError, Trade, closing_request, entry_requests
from trading_platform.domain.orders.model import OrderIntent, Quote
from trading_platform.domain.orders.sizing import SizingError, bars_per_year_of, target_quantity, to_decimal
from trading_platform.domain.orders.steps import NoStepError, next_step, require_change
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec


@dataclass(frozen=True)
class SkippedSignal:
    """A symbol that gets no order at this tick, and why. Quantities are signed, in units; ``None`` if unknown.

    ``working_quantity`` is what the strategy's own working entries still add to ``current_quantity``.
    """

    symbol: str
    reason: str
    current_quantity: Decimal
    working_quantity: Decimal
    target_quantity: Decimal | None = None


@dataclass(frozen=True)
class IntentPlan:
    """All that a tick's signals came to: orders wanted and signals that need none, each with its reason.

    The orders of a bracket follow each other, the entry first. ``cancels`` names working orders of the strategy that
    are to be called off without another in their place; the reason is with the symbol's skipped signal.
    """

    intents: tuple[OrderIntent, ...]
    skipped: tuple[SkippedSignal, ...]
    cancels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tick:
    """What all symbols of one decision share."""

    spec: StrategySpec
    equity: Decimal
    account: str
    session: str
    tick_utc: datetime
    as_of_utc: datetime
    revision: int
    bars_per_year: Decimal | None


def build_intents(
    signals: Sequence[Signal],
    spec: StrategySpec,
    *,
    equity: Decimal,
    positions: Mapping[str, Decimal],
    working: Iterable[WorkingOrder],
    quotes: Mapping[str, Quote],
    instruments: Mapping[str, InstrumentDetails],
    tick: datetime,
    as_of: datetime,
    session: date,
    account: str,
    revision: int = 0,
) -> IntentPlan:
    """Plan the orders that bring the strategy's holdings to the signals' targets.

    The order of a symbol is ``target − (position + working orders)``, so what an earlier run of the same tick has
    sent or filled is not asked for again; ``steps`` says what else it can be. A symbol the strategy holds but has no
    signal for is left alone. Nothing is dropped silently: what needs no order is in ``skipped``.

    Args:
        signals: at most one per symbol; two for one symbol cancel each other, with the reason.
        spec: the strategy's sizing, order kind and smallest trade.
        equity: net liquidation value of the account, USD.
        positions: the *strategy's* signed holdings by symbol.
        working: live, in-flight and unknown orders of the account; other strategies' are ignored.
        quotes: newest quotes by symbol. Needed for limits and stops only: risk control refuses a market order
            without a quote.
        instruments: lot size and price steps by symbol.
        tick: the tick that names the orders, tz-aware, on a whole minute.
        as_of: the moment of the decision, tz-aware UTC.
        session: the session the tick belongs to.
        account: the account the orders go to.
        revision: 0 unless this tick is deliberately decided again.

    Returns:
        Intents with those that reduce a holding first (they free funds), then by symbol.
    """
    own_working: dict[str, list[WorkingOrder]] = {}
    for order in working:
        if order.strategy == spec.name and order.remaining_quantity:
            own_working.setdefault(order.symbol, []).append(order)
    bars_per_year = bars_per_year_of(spec) if spec.sizing.method == "volatility_target" else None
    shared = _Tick(spec, equity, account, session.isoformat(), tick, as_of, revision, bars_per_year)
    by_symbol: dict[str, list[Signal]] = {symbol: [] for symbol, quantity in positions.items() if quantity}
    for signal in signals:
        by_symbol.setdefault(signal.symbol, []).append(signal)

    groups: list[tuple[OrderIntent, ...]] = []
    skipped: list[SkippedSignal] = []
    cancels: list[str] = []
    for symbol in sorted(by_symbol):
        position = positions.get(symbol, Decimal(0))
        orders = own_working.get(symbol, [])
        try:
            signal = _sole_signal(by_symbol[symbol], position)
            group = _intents(
                signal,
                shared,
                position=position,
                working=orders,
                quote=quotes.get(symbol),
                details=instruments.get(symbol),
            )
            groups.append(group)
        except (NoStepError, NoPriceError, SizingError, InvalidOrderIdError) as skip:
            target, cancelled = (skip.target, skip.cancels) if isinstance(skip, NoStepError) else (None, ())
            pending = sum((order.signed_quantity for order in orders if not order.is_exit), Decimal(0))
            skipped.append(SkippedSignal(symbol, str(skip), position, pending, target))
            cancels += cancelled
    groups.sort(key=lambda group: (not _is_reducing(group[0], positions), group[0].request.symbol))
    return IntentPlan(tuple(intent for group in groups for intent in group), tuple(skipped), tuple(cancels))


def _sole_signal(signals: Sequence[Signal], position: Decimal) -> Signal:
    if not signals:
        reason = f"no signal: the holding of {position:f} is left alone"
        raise NoStepError(reason)
    if len(signals) > 1:
        reason = f"{len(signals)} signals for one symbol: none is followed"
        raise NoStepError(reason)
    return signals[0]


def _intents(
    signal: Signal,
    shared: _Tick,
    *,
    position: Decimal,
    working: Sequence[WorkingOrder],
    quote: Quote | None,
    details: InstrumentDetails | None,
) -> tuple[OrderIntent, ...]:
    """The order of one symbol, with its exits if it takes some."""
    symbol, spec = signal.symbol, shared.spec
    if symbol not in spec.universe:
        reason = f"{symbol} is not in the universe of {spec.name}"
        raise NoStepError(reason)
    if details is None:
        reason = f"no instrument details of {symbol}: its lot size and tick are unknown"
        raise NoStepError(reason)
    price = to_decimal(signal.price, f"price of {symbol}")
    if price <= 0:
        reason = f"price of {symbol} is {price:f}: it must be positive"
        raise NoStepError(reason)
    target = target_quantity(
        signal,
        spec.sizing,
        equity=shared.equity,
        price=price,
        lot_size=details.lot_size,
        bars_per_year=shared.bars_per_year,
    )
    step = next_step(spec.order, symbol, target=target, position=position, working=working, lot_size=details.lot_size)
    notional = step.quantity * price
    if notional < spec.order.min_trade_notional_usd and not step.is_closing:
        reason = (
            f"{step.side} {step.quantity:f} is worth {notional:.2f} USD, "
            f"less than the smallest trade of {spec.order.min_trade_notional_usd:f} USD"
        )
        raise NoStepError(reason, target, tuple(order.client_order_id for order in step.replaces))
    trade = Trade(
        name=lambda leg: client_order_id(spec.name, symbol, shared.tick_utc, shared.revision, leg),
        symbol=symbol,
        side=step.side,
        quantity=step.quantity,
        quote=quote,
        grid=details.price_grid,
        decision_price=price,
        as_of=shared.as_of_utc,
    )
    requests = (closing_request(trade, spec.order),) if step.is_closing else entry_requests(trade, spec.order)
    require_change(step, requests[0], price, spec.order.min_trade_notional_usd, target)
    return tuple(
        OrderIntent(
            request=request,
            strategy=spec.name,
            account=shared.account,
            session=shared.session,
            tick_utc=shared.tick_utc,
            as_of_utc=shared.as_of_utc,
            decision_price=price,
            target_weight=signal.target_weight,
            confidence=signal.confidence,
            reason=signal.reason,
            replaces=tuple(order.client_order_id for order in step.replaces),
            position_quantity=position,
        )
        for request in requests
    )


def _is_reducing(intent: OrderIntent, positions: Mapping[str, Decimal]) -> bool:
    position = positions.get(intent.request.symbol, Decimal(0))
    return position > 0 if intent.request.side == "SELL" else position < 0
