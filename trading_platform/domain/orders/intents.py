"""From signals to order intents: what has to be traded to get from what is held to what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.orders.ids import InvalidOrderIdError, client_order_id
from trading_platform.domain.orders.model import OrderIntent, OrderRequest, Quote, Side
from trading_platform.domain.orders.sizing import (
    SizingError,
    bars_per_year_of,
    round_to_lots,
    target_quantity,
    to_decimal,
)
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.spec import StrategySpec

_BPS = Decimal(10_000)


class UnsupportedOrderTypeError(ValueError):
    """The strategy's spec asks for a kind of order that can't be built from a signal."""


@dataclass(frozen=True)
class SkippedSignal:
    """A symbol that gets no order at this tick, and why. Quantities are signed, in units; ``None`` if unknown.

    ``working_quantity`` is what the strategy's own working orders still add to ``current_quantity``.
    """

    symbol: str
    reason: str
    current_quantity: Decimal
    working_quantity: Decimal
    target_quantity: Decimal | None = None


@dataclass(frozen=True)
class IntentPlan:
    """All that a tick's signals came to: orders wanted and signals that need none, each with its reason."""

    intents: tuple[OrderIntent, ...]
    skipped: tuple[SkippedSignal, ...]


class _SkipError(Exception):
    """Leaves the planning of one symbol with the reason to show."""

    def __init__(self, reason: str, target: Decimal | None = None) -> None:
        super().__init__(reason)
        self.target = target


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

    The order of a symbol is ``target − (position + working orders)``, so what an earlier run of the same
    tick has sent or filled is not asked for again. A symbol the strategy holds but has no signal for is left
    alone. Nothing is dropped silently: what needs no order is in ``skipped``.

    Args:
        signals: at most one per symbol; two for one symbol cancel each other, with the reason.
        spec: the strategy's sizing, order kind and smallest trade.
        equity: net liquidation value of the account, USD.
        positions: the *strategy's* signed holdings by symbol.
        working: live, in-flight and unknown orders of the account; other strategies' are ignored.
        quotes: newest quotes by symbol. Needed for limit orders only: risk control refuses a market order
            without a quote.
        instruments: lot size and tick by symbol.
        tick: the tick that names the orders, tz-aware, on a whole minute.
        as_of: the moment of the decision, tz-aware UTC.
        session: the session the tick belongs to.
        account: the account the orders go to.
        revision: 0 unless this tick is deliberately decided again.

    Returns:
        Intents with those that reduce a holding first (they free funds), then by symbol.

    Raises:
        UnsupportedOrderTypeError: the spec's order type is neither MKT nor LMT.
    """
    if spec.order.order_type not in ("MKT", "LMT"):
        msg = f"strategy {spec.name}: order_type {spec.order.order_type} needs a stop price, use MKT or LMT"
        raise UnsupportedOrderTypeError(msg)
    own_working: dict[str, list[WorkingOrder]] = {}
    for order in working:
        if order.strategy == spec.name and order.remaining_quantity:
            own_working.setdefault(order.symbol, []).append(order)
    bars_per_year = bars_per_year_of(spec) if spec.sizing.method == "volatility_target" else None
    shared = _Tick(spec, equity, account, session.isoformat(), tick, as_of, revision, bars_per_year)
    by_symbol: dict[str, list[Signal]] = {symbol: [] for symbol, quantity in positions.items() if quantity}
    for signal in signals:
        by_symbol.setdefault(signal.symbol, []).append(signal)

    intents: list[OrderIntent] = []
    skipped: list[SkippedSignal] = []
    for symbol in sorted(by_symbol):
        position = positions.get(symbol, Decimal(0))
        orders = own_working.get(symbol, [])
        try:
            signal = _sole_signal(by_symbol[symbol], position)
            intent = _intent(
                signal,
                shared,
                position=position,
                working=orders,
                quote=quotes.get(symbol),
                details=instruments.get(symbol),
            )
            intents.append(intent)
        except (_SkipError, SizingError, InvalidOrderIdError) as skip:
            target = skip.target if isinstance(skip, _SkipError) else None
            pending = sum((order.signed_quantity for order in orders), Decimal(0))
            skipped.append(SkippedSignal(symbol, str(skip), position, pending, target))
    intents.sort(key=lambda intent: (not _is_reducing(intent, positions), intent.request.symbol))
    return IntentPlan(tuple(intents), tuple(skipped))


def limit_price_at(side: Side, quote: Quote, offset_bps: Decimal, min_tick: Decimal) -> Decimal | None:
    """The touch, ``offset_bps`` beyond it so that the order is marketable, on the tick grid.

    A buy starts at the ask and is rounded down, a sale at the bid and is rounded up: rounding never makes
    the price worse than the offset says. ``None`` when the quote has no usable touch.
    """
    touch = quote.ask if side == "BUY" else quote.bid
    if touch is None or not touch.is_finite() or touch <= 0:
        return None
    offset = touch * offset_bps / _BPS
    raw, rounding = (touch + offset, ROUND_FLOOR) if side == "BUY" else (touch - offset, ROUND_CEILING)
    price = (raw / min_tick).to_integral_value(rounding=rounding) * min_tick
    return price if price > 0 else None


def _sole_signal(signals: Sequence[Signal], position: Decimal) -> Signal:
    if not signals:
        reason = f"no signal: the holding of {position:f} is left alone"
        raise _SkipError(reason)
    if len(signals) > 1:
        reason = f"{len(signals)} signals for one symbol: none is followed"
        raise _SkipError(reason)
    return signals[0]


def _intent(
    signal: Signal,
    shared: _Tick,
    *,
    position: Decimal,
    working: Sequence[WorkingOrder],
    quote: Quote | None,
    details: InstrumentDetails | None,
) -> OrderIntent:
    symbol, spec = signal.symbol, shared.spec
    if symbol not in spec.universe:
        reason = f"{symbol} is not in the universe of {spec.name}"
        raise _SkipError(reason)
    if details is None:
        reason = f"no instrument details of {symbol}: its lot size and tick are unknown"
        raise _SkipError(reason)
    price = to_decimal(signal.price, f"price of {symbol}")
    if price <= 0:
        reason = f"price of {symbol} is {price:f}: it must be positive"
        raise _SkipError(reason)
    target = target_quantity(
        signal,
        spec.sizing,
        equity=shared.equity,
        price=price,
        lot_size=details.lot_size,
        bars_per_year=shared.bars_per_year,
    )
    side, quantity = _delta(symbol, target, position, working, details.lot_size)
    notional = quantity * price
    if notional < spec.order.min_trade_notional_usd:
        reason = (
            f"{side} {quantity:f} is worth {notional:.2f} USD, "
            f"less than the smallest trade of {spec.order.min_trade_notional_usd:f} USD"
        )
        raise _SkipError(reason, target)
    limit_price = None
    if spec.order.order_type == "LMT":
        if quote is not None:
            limit_price = limit_price_at(side, quote, spec.order.limit_offset_bps, details.min_tick)
        if limit_price is None:
            reason = f"no {'ask' if side == 'BUY' else 'bid'} to place the limit at"
            raise _SkipError(reason, target)
    request = OrderRequest(
        client_order_id=client_order_id(spec.name, symbol, shared.tick_utc, shared.revision),
        symbol=symbol,
        side=side,
        quantity=quantity,
        order_type=spec.order.order_type,
        time_in_force=spec.order.time_in_force,
        limit_price=limit_price,
    )
    return OrderIntent(
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
    )


def _delta(
    symbol: str, target: Decimal, position: Decimal, working: Sequence[WorkingOrder], lot_size: Decimal
) -> tuple[Side, Decimal]:
    """Side and unsigned quantity of the order that is missing, or a skip."""
    pending = sum((order.signed_quantity for order in working), Decimal(0))
    wanted = target - (position + pending)
    if wanted == 0:
        reason = f"already there: target {target:f}, position {position:f}, working orders {pending:+f}"
        raise _SkipError(reason, target)
    side: Side = "BUY" if wanted > 0 else "SELL"
    against = [order for order in working if order.side != side]
    if against:
        # An order against our own working order could trade with it, or leave more than the target.
        reason = f"{side} would go against the working order {against[0].client_order_id}: it must end first"
        raise _SkipError(reason, target)
    quantity = round_to_lots(abs(wanted), lot_size)
    if quantity == 0:
        reason = f"{side} {abs(wanted):f} {symbol} is less than one lot of {lot_size:f}"
        raise _SkipError(reason, target)
    return side, quantity


def _is_reducing(intent: OrderIntent, positions: Mapping[str, Decimal]) -> bool:
    position = positions.get(intent.request.symbol, Decimal(0))
    return position > 0 if intent.request.side == "SELL" else position < 0
