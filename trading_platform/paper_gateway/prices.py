"""At which price an order trades against the touch or against a whole minute. Pure functions; no volumes."""

from __future__ import annotations

from decimal import Decimal

from trading_platform.paper_gateway.model import Bar, OrderTicket, PaperOrder, TopOfBook


def acts_as_market(order: PaperOrder) -> bool:
    """Whether the order takes any price now: a market order, or a stop that was triggered."""
    return order.ticket.order_type == "MKT" or (order.ticket.order_type == "STP" and order.is_triggered)


def waits_for_trigger(order: PaperOrder) -> bool:
    """Whether the order is a stop that was not triggered yet."""
    return order.ticket.order_type in ("STP", "STP LMT") and not order.is_triggered


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


def is_stop_reached(ticket: OrderTicket, price: Decimal) -> bool:
    """Whether a trade at ``price`` triggers the stop: at or above it for a buy, at or below it for a sale."""
    if ticket.aux_price is None:
        return False
    return price >= ticket.aux_price if ticket.action == "BUY" else price <= ticket.aux_price


def is_stop_in_range(ticket: OrderTicket, bar: Bar) -> bool:
    """Whether a trade of the minute triggers the stop."""
    return is_stop_reached(ticket, exact(bar.high if ticket.action == "BUY" else bar.low))


def is_limit_in_range(ticket: OrderTicket, bar: Bar) -> bool:
    """Whether a trade of the minute touches or goes through the limit."""
    return is_within_limit(ticket, exact(bar.low if ticket.action == "BUY" else bar.high))


def stop_fill_price(order: PaperOrder, book: TopOfBook) -> Decimal | None:
    """Where a stop trades that was triggered inside a minute, or ``None`` when a stop-limit's limit forbids it.

    That is its stop price, worsened by the distance from last price to touch as ``book`` had it when the minute
    began.
    """
    ticket = order.ticket
    if ticket.aux_price is None:
        return None
    if ticket.action == "BUY":
        price = ticket.aux_price + max(book.ask - book.last, Decimal(0))
    else:
        price = max(ticket.aux_price - max(book.last - book.bid, Decimal(0)), order.contract.min_tick)
    if ticket.order_type == "STP LMT" and not is_within_limit(ticket, price):
        return None
    return price


def exact(price: float) -> Decimal:
    """A bar's price as the decimal it was written as."""
    return Decimal(repr(float(price)))
