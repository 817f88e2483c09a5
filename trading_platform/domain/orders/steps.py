"""The next step in one symbol: what to trade, given target, holding and the strategy's own working orders.

Working entries count as if they will fill. The exits of a bracket are alternatives that undo a holding, so they don't
count towards the target, and they never keep a strategy in: it gets out by replacing them.

Two live orders for one intent can't be: whatever a step trades instead of working orders it *replaces*, and execution
sends the new order only once the broker's lists confirm that the old ones are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_platform.domain.orders.model import OrderRequest, Side
from trading_platform.domain.orders.sizing import round_to_lots
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.spec import OrderSpec


class NoStepError(Exception):
    """Nothing is to be traded in the symbol now; the message is the reason to show.

    ``target`` is the quantity wanted, if it is known; ``cancels`` are working orders to be called off all the same.
    """

    def __init__(self, reason: str, target: Decimal | None = None, cancels: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.target = target
        self.cancels = cancels


@dataclass(frozen=True)
class Step:
    """A trade of ``quantity`` (unsigned). ``replaces``: the working orders that must be over first.

    ``is_closing``: it ends a holding that had exits, so it takes none with it.
    """

    side: Side
    quantity: Decimal
    replaces: tuple[WorkingOrder, ...] = ()
    is_closing: bool = False


def next_step(
    spec: OrderSpec,
    symbol: str,
    *,
    target: Decimal,
    position: Decimal,
    working: Sequence[WorkingOrder],
    lot_size: Decimal,
) -> Step:
    """What to trade to get from ``position`` to ``target`` (both signed).

    Raises:
        NoStepError: nothing, and why.
    """
    exits = tuple(order for order in working if order.is_exit)
    entries = tuple(order for order in working if not order.is_exit)
    if spec.bracket is not None or exits:
        return _bracket_step(spec, symbol, target, position, entries, exits)
    if entries and spec.replace_working:
        return _replacing_step(symbol, target, position, entries, lot_size)
    return _adding_step(symbol, target, position, entries, lot_size)


def require_change(step: Step, request: OrderRequest, price: Decimal, smallest_usd: Decimal, target: Decimal) -> None:
    """Let a replacement pass that is one.

    Raises:
        NoStepError: the working order it would replace fits as it is: same side and prices, and a quantity that
            differs by less than the smallest trade.
    """
    if len(step.replaces) != 1 or step.is_closing:
        return
    (old,) = step.replaces
    prices_moved = request.order_type != "TRAIL" and (old.limit_price, old.stop_price) != (
        request.limit_price,
        request.stop_price,
    )
    difference = abs(old.remaining_quantity - step.quantity)
    if old.side == step.side and not prices_moved and (difference == 0 or difference * price < smallest_usd):
        reason = f"the working order {old.client_order_id} fits: {old.side} {old.remaining_quantity:f}"
        raise NoStepError(reason, target)


def _adding_step(
    symbol: str, target: Decimal, position: Decimal, entries: Sequence[WorkingOrder], lot_size: Decimal
) -> Step:
    """The order that is missing beside the working ones."""
    pending = sum((order.signed_quantity for order in entries), Decimal(0))
    wanted = target - (position + pending)
    if wanted == 0:
        reason = f"already there: target {target:f}, position {position:f}, working orders {pending:+f}"
        raise NoStepError(reason, target)
    side = _side(wanted)
    against = [order for order in entries if order.side != side]
    if against:
        # An order against our own working order could trade with it, or leave more than the target.
        reason = f"{side} would go against the working order {against[0].client_order_id}: it must end first"
        raise NoStepError(reason, target)
    return Step(side, _lots(side, wanted, symbol, lot_size, target))


def _replacing_step(
    symbol: str, target: Decimal, position: Decimal, entries: tuple[WorkingOrder, ...], lot_size: Decimal
) -> Step:
    """The order that is wanted instead of the working ones."""
    wanted = target - position
    if wanted == 0:
        names = _names(entries)
        reason = f"already there: target {target:f}; {', '.join(names)} is called off"
        raise NoStepError(reason, target, names)
    side = _side(wanted)
    return Step(side, _lots(side, wanted, symbol, lot_size, target), entries)


def _bracket_step(
    spec: OrderSpec,
    symbol: str,
    target: Decimal,
    position: Decimal,
    entries: tuple[WorkingOrder, ...],
    exits: tuple[WorkingOrder, ...],
) -> Step:
    """A bracket is entered from flat and left to flat; in between its exits decide.

    A holding with exits is not resized: each change would leave it without protection for a moment.
    """
    going = position + sum((order.signed_quantity for order in entries), Decimal(0))
    both = (*entries, *exits)
    if going * target > 0:
        what = f"the holding of {position:f}" if position else f"the working entry of {going:f}"
        protected = (
            "is left to its exits" if exits else "has no exits working: it is left alone until the signal ends it"
        )
        reason = f"{what} {protected}"
        raise NoStepError(reason, target)
    if position:
        return Step(_side(-position), abs(position), both, is_closing=True)
    if target == 0:
        names = _names(both)
        end = f"; {', '.join(names)} is called off" if names else ""
        reason = f"already there: target 0, position 0{end}"
        raise NoStepError(reason, target, names)
    if spec.bracket is None:
        # The strategy has no brackets any more, and exits of one are left over: they go first.
        reason = f"exits of {symbol} are left over: {', '.join(_names(both))} is called off"
        raise NoStepError(reason, target, _names(both))
    return Step(_side(target), abs(target), both)


def _side(wanted: Decimal) -> Side:
    return "BUY" if wanted > 0 else "SELL"


def _names(orders: Sequence[WorkingOrder]) -> tuple[str, ...]:
    return tuple(order.client_order_id for order in orders)


def _lots(side: Side, wanted: Decimal, symbol: str, lot_size: Decimal, target: Decimal) -> Decimal:
    quantity = round_to_lots(abs(wanted), lot_size)
    if quantity == 0:
        reason = f"{side} {abs(wanted):f} {symbol} is less than one lot of {lot_size:f}"
        raise NoStepError(reason, target)
    return quantity
