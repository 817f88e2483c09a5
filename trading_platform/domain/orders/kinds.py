"""Order requests of every kind, from side, quantity, quote and spec. All prices are on the instrument's grid.

Rounding never makes an order worse than the spec says: a limit is not further beyond the touch, a stop is not closer to
the market, a target is not nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.orders.ids import Leg
from trading_platform.domain.orders.model import LIMIT_ORDERS, OrderRequest, OrderType, Quote, Side
from trading_platform.domain.price_grid import PriceGrid
from trading_platform.domain.signals.spec import BracketSpec, OrderSpec

_BPS = Decimal(10_000)


class NoPriceError(ValueError):
    """The order needs a price that the quote does not have, or that would not be above zero."""


@dataclass(frozen=True)
class Trade:
    """What is to be traded, before it is decided with which kind of order.

    ``name`` gives the client order id of a leg. ``decision_price`` is in the instrument's currency, ``as_of`` the
    moment of the decision, tz-aware UTC.
    """

    name: Callable[[Leg], str]
    symbol: str
    side: Side
    quantity: Decimal
    quote: Quote | None
    grid: PriceGrid
    decision_price: Decimal
    as_of: datetime


def opposite(side: Side) -> Side:
    """The side that undoes ``side``."""
    return "SELL" if side == "BUY" else "BUY"


def entry_requests(trade: Trade, spec: OrderSpec) -> tuple[OrderRequest, ...]:
    """The order that the spec asks for; with a bracket, entry, target and stop, in this order.

    Raises:
        NoPriceError: says which price is missing.
    """
    kind = spec.order_type
    limit = stop = None
    if kind in ("STP", "STP LMT"):
        stop = _away(trade, spec.stop_offset_bps or Decimal(0))
        if kind == "STP LMT":
            limit = _beyond(trade.side, stop, spec.limit_offset_bps, trade.grid)
    elif kind == "TRAIL":
        stop = _away(trade, (spec.trail_percent or Decimal(0)) * 100)
    elif kind in LIMIT_ORDERS:
        limit = _limit(trade, spec.limit_offset_bps)
    minutes = spec.good_till_minutes
    entry = OrderRequest(
        client_order_id=trade.name(""),
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        order_type=kind,
        time_in_force=spec.time_in_force,
        limit_price=limit,
        stop_price=stop,
        trail_percent=spec.trail_percent,
        good_till_utc=None if minutes is None else trade.as_of.replace(microsecond=0) + timedelta(minutes=minutes),
    )
    return (entry,) if spec.bracket is None else (entry, *_exits(trade, entry, spec.bracket))


def closing_request(trade: Trade, spec: OrderSpec) -> OrderRequest:
    """The order that ends a holding whose exits were called off: at the market, or at a limit if the entries are.

    Raises:
        NoPriceError: there is no touch to place the limit at.
    """
    at_limit = spec.order_type in LIMIT_ORDERS
    kind: OrderType = "LMT" if at_limit else "MKT"
    return OrderRequest(
        client_order_id=trade.name(""),
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        order_type=kind,
        limit_price=_limit(trade, spec.limit_offset_bps) if at_limit else None,
    )


def limit_price_at(side: Side, quote: Quote, offset_bps: Decimal, grid: PriceGrid) -> Decimal | None:
    """The touch, ``offset_bps`` beyond it so that the order is marketable, on the price grid.

    A buy starts at the ask and is rounded down, a sale at the bid and is rounded up: rounding never makes
    the price worse than the offset says. ``None`` when the quote has no usable touch.
    """
    touch = _touch(side, quote)
    if touch is None:
        return None
    price = _beyond(side, touch, offset_bps, grid)
    return price if price > 0 else None


def _exits(trade: Trade, entry: OrderRequest, bracket: BracketSpec) -> tuple[OrderRequest, OrderRequest]:
    """Target and stop around the price at which the entry is expected to trade."""
    side, group = opposite(trade.side), entry.client_order_id
    reference = entry.limit_price or entry.stop_price or _touch(trade.side, trade.quote) or trade.decision_price
    distance = bracket.stop_pct if bracket.stop_pct is not None else bracket.trail_pct or Decimal(0)
    gain, loss = reference * bracket.target_pct / 100, reference * distance / 100
    if trade.side == "BUY":
        target, stop = trade.grid.ceiling(reference + gain), trade.grid.floor(reference - loss)
    else:
        target, stop = trade.grid.floor(reference - gain), trade.grid.ceiling(reference + loss)
    for what, price in (("target", target), ("stop", stop)):
        if price <= 0:
            msg = f"the bracket's {what} would be {price:f}: it must be positive"
            raise NoPriceError(msg)
    exit_ = OrderRequest(
        client_order_id=trade.name("t"),
        symbol=trade.symbol,
        side=side,
        quantity=trade.quantity,
        order_type="LMT",
        time_in_force=bracket.time_in_force,
        limit_price=target,
        parent_id=group,
        oca_group=group,
    )
    protection = replace(
        exit_,
        client_order_id=trade.name("s"),
        order_type="STP" if bracket.trail_pct is None else "TRAIL",
        limit_price=None,
        stop_price=stop,
        trail_percent=bracket.trail_pct,
    )
    return exit_, protection


def _touch(side: Side, quote: Quote | None) -> Decimal | None:
    touch = None if quote is None else quote.ask if side == "BUY" else quote.bid
    return touch if touch is not None and touch.is_finite() and touch > 0 else None


def _beyond(side: Side, price: Decimal, offset_bps: Decimal, grid: PriceGrid) -> Decimal:
    offset = price * offset_bps / _BPS
    return grid.floor(price + offset) if side == "BUY" else grid.ceiling(price - offset)


def _away(trade: Trade, offset_bps: Decimal) -> Decimal:
    """The price of a stop entry: above the ask for a buy, below the bid for a sale, never closer than the offset."""
    touch = _required_touch(trade, "stop")
    offset = touch * offset_bps / _BPS
    price = trade.grid.ceiling(touch + offset) if trade.side == "BUY" else trade.grid.floor(touch - offset)
    if price <= 0:
        msg = f"the stop would be {price:f}: it must be positive"
        raise NoPriceError(msg)
    return price


def _limit(trade: Trade, offset_bps: Decimal) -> Decimal:
    price = _beyond(trade.side, _required_touch(trade, "limit"), offset_bps, trade.grid)
    if price <= 0:
        msg = f"the limit would be {price:f}: it must be positive"
        raise NoPriceError(msg)
    return price


def _required_touch(trade: Trade, what: str) -> Decimal:
    touch = _touch(trade.side, trade.quote)
    if touch is None:
        msg = f"no {'ask' if trade.side == 'BUY' else 'bid'} to place the {what} at"
        raise NoPriceError(msg)
    return touch
