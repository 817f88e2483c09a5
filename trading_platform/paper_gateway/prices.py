"""At which price an order trades against the touch or against a whole minute. Pure functions; no volumes."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.paper_gateway.market_rules import grid_of
from trading_platform.paper_gateway.model import Bar, OrderTicket, PaperOrder, TopOfBook


def acts_as_market(order: PaperOrder) -> bool:
    """Whether the order takes any price now: a market order, or a stop that was triggered."""
    return order.ticket.order_type == "MKT" or (order.ticket.order_type in ("STP", "TRAIL") and order.is_triggered)


def waits_for_trigger(order: PaperOrder) -> bool:
    """Whether the order is a stop that was not triggered yet."""
    return order.ticket.order_type in ("STP", "STP LMT", "TRAIL") and not order.is_triggered


def waits_for_close(ticket: OrderTicket) -> bool:
    """Whether the order trades in the closing auction only."""
    return ticket.order_type in ("MOC", "LOC")


def closing_price(ticket: OrderTicket, close: Decimal) -> Decimal | None:
    """The price at which a market- or limit-on-close order trades, or ``None`` when its limit forbids it."""
    return close if ticket.order_type == "MOC" or is_within_limit(ticket, close) else None


def stop_of(order: PaperOrder) -> Decimal | None:
    """The price that triggers the order now: a stop's own, or where a trailing stop has got to."""
    return order.trail_stop if order.ticket.order_type == "TRAIL" else order.ticket.aux_price


def trailed_stop(order: PaperOrder, price: Decimal) -> Decimal | None:
    """The trailing stop's new stop price after a trade at ``price``; it only ever follows the market.

    The distance is the ticket's amount, or its percentage of ``price``. A sale's stop is rounded down and a
    buy's up, so that it is never closer than asked for. ``None`` for an order that does not trail.
    """
    ticket = order.ticket
    if ticket.order_type != "TRAIL":
        return None
    distance = ticket.aux_price
    if ticket.trailing_percent is not None:
        distance = price * ticket.trailing_percent / 100
    if distance is None:
        return None
    grid, known = grid_of(order.contract), order.trail_stop
    if ticket.action == "SELL":
        stop = grid.floor(price - distance)
        return stop if known is None else max(stop, known)
    stop = grid.ceiling(price + distance)
    return stop if known is None else min(stop, known)


def touch(ticket: OrderTicket, book: TopOfBook) -> Decimal:
    """The price a marketable order trades at: the ask for a buy, the bid for a sale."""
    return book.ask if ticket.action == "BUY" else book.bid


def price_at_touch(order: PaperOrder, book: TopOfBook) -> Decimal | None:
    """The price at which the order trades at this instant, or ``None`` when its limit is not marketable."""
    price = touch(order.ticket, book)
    return price if acts_as_market(order) or is_within_limit(order.ticket, price) else None


def is_within_limit(ticket: OrderTicket, price: Decimal) -> bool:
    """Whether ``price`` is the limit price or better."""
    if ticket.limit_price is None:
        return False
    return price <= ticket.limit_price if ticket.action == "BUY" else price >= ticket.limit_price


def is_stop_reached(order: PaperOrder, price: Decimal) -> bool:
    """Whether a trade at ``price`` triggers the stop: at or above it for a buy, at or below it for a sale."""
    stop = stop_of(order)
    if stop is None:
        return False
    return price >= stop if order.ticket.action == "BUY" else price <= stop


def is_stop_in_range(order: PaperOrder, bar: Bar) -> bool:
    """Whether a trade of the minute triggers the stop."""
    return is_stop_reached(order, exact(bar.high if order.ticket.action == "BUY" else bar.low))


def is_limit_in_range(ticket: OrderTicket, bar: Bar) -> bool:
    """Whether a trade of the minute touches or goes through the limit."""
    return is_within_limit(ticket, exact(bar.low if ticket.action == "BUY" else bar.high))


def stop_fill_price(order: PaperOrder, book: TopOfBook) -> Decimal | None:
    """Where a stop trades that was triggered inside a minute, or ``None`` when a stop-limit's limit forbids it.

    That is its stop price, worsened by the distance from last price to touch as ``book`` had it when the minute
    began.
    """
    ticket, stop = order.ticket, stop_of(order)
    if stop is None:
        return None
    if ticket.action == "BUY":
        price = stop + max(book.ask - book.last, Decimal(0))
    else:
        price = max(stop - max(book.last - book.bid, Decimal(0)), order.contract.min_tick)
    if ticket.order_type == "STP LMT" and not is_within_limit(ticket, price):
        return None
    return price


def exact(price: float) -> Decimal:
    """A bar's price as the decimal it was written as."""
    return Decimal(repr(float(price)))
