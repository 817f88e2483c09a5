"""Whether a ticket is a well-formed order for its contract. The codes and their texts are TWS's documented ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.calendars import get_calendar
from trading_platform.paper_gateway.market_rules import grid_of
from trading_platform.paper_gateway.model import Contract, OrderTicket, PaperOrder
from trading_platform.paper_gateway.order_book import OrderBook, key_of
from trading_platform.paper_gateway.prices import waits_for_close
from trading_platform.paper_gateway.time_in_force import TIMES_IN_FORCE
from trading_platform.paper_gateway.valuation import CURRENCY

ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC")
CLOSE_CUT_OFF = timedelta(minutes=10)
"""Orders for the close are taken until this long before it, as NYSE and Nasdaq do (15:50 and 15:55 New York)."""


@dataclass(frozen=True)
class Refusal:
    """Why an order is refused: a TWS error code and its text."""

    code: int
    text: str


def check_ticket(contract: Contract, ticket: OrderTicket, account: str, now: datetime) -> Refusal | None:
    """Check everything that depends on neither the market nor the account's money."""
    if ticket.account not in ("", account):
        return Refusal(321, f"Error validating request.-'bV' : cause - Invalid account code '{ticket.account}'.")
    if ticket.action not in ("BUY", "SELL"):
        return Refusal(303, f"Invalid action: {ticket.action}")
    if contract.security_type not in ("STK", "CRYPTO") or contract.currency != CURRENCY:
        return Refusal(203, f"The security {contract.symbol} is not available or allowed for this account.")
    if ticket.order_type not in ORDER_TYPES:
        return Refusal(
            387,
            f"Unsupported order type for this exchange and security type: {ticket.order_type!r}; "
            f"the paper market takes {', '.join(ORDER_TYPES)}.",
        )
    return (
        _check_size(contract, ticket)
        or _check_prices(contract, ticket)
        or _check_time_in_force(ticket, now)
        or (_check_close(contract, ticket, now) if waits_for_close(ticket) else None)
    )


def check_new(book: OrderBook, order: PaperOrder) -> Refusal | None:
    """Check that a new order's id is free, its parent can have children and its OCA group is still open."""
    former = book.orders.get(key_of(order))
    if former is not None and former.status == "Filled":
        return Refusal(104, "Cannot modify a filled order.")
    if former is not None or (key_of(order) not in book.staged and order.order_id <= book.highest_id(order.client_id)):
        return Refusal(103, "Duplicate order id")
    if order.ticket.parent_id:
        parent_key = (order.client_id, order.ticket.parent_id)
        parent = book.staged.get(parent_key) or book.orders.get(parent_key)
        if parent is None or parent.status in ("Cancelled", "Inactive"):
            return Refusal(10006, f"Missing parent order: {order.ticket.parent_id} is unknown or cancelled.")
    if book.is_group_spent(order):
        return Refusal(201, f"Order rejected - reason:the OCA group {order.ticket.oca_group} was filled already")
    return None


def check_revision(live: PaperOrder, revised: PaperOrder) -> Refusal | None:
    """Check that a live order may be changed in this way: quantity, prices and time in force may, the rest not."""
    old, new = live.ticket, revised.ticket
    if (
        live.contract.con_id != revised.contract.con_id
        or old.action != new.action
        or old.parent_id != new.parent_id
        or old.order_ref != new.order_ref
    ):
        return Refusal(105, "Order being modified does not match original order.")
    if old.order_type != new.order_type:
        return Refusal(329, "Order modify failed. Cannot change to the new order type.")
    if old.oca_group != new.oca_group:
        return Refusal(10326, "OCA group revision is not allowed")
    if not new.transmit:
        return Refusal(106, f"Can't transmit order ID:{live.order_id} (a live order can't be staged again)")
    if new.quantity <= live.filled:
        return Refusal(134, f"Modify order failed: {live.filled} of the order are filled already.")
    return None


def _check_size(contract: Contract, ticket: OrderTicket) -> Refusal | None:
    if ticket.quantity <= 0:
        return Refusal(434, "The order size cannot be zero.")
    if ticket.quantity % contract.size_increment:
        if contract.size_increment == 1:
            return Refusal(10318, "This order doesn't support fractional quantity trading")
        return Refusal(
            355, f"Order size does not conform to market rule: a multiple of {contract.size_increment} is needed."
        )
    if ticket.quantity < contract.min_size:
        return Refusal(
            388, f"Order size {ticket.quantity} is smaller than the minimum required size of {contract.min_size}."
        )
    return None


def _check_prices(contract: Contract, ticket: OrderTicket) -> Refusal | None:
    if ticket.order_type in ("LMT", "STP LMT", "LOC") and not _is_price(ticket.limit_price):
        return Refusal(107, "Cannot transmit incomplete order: the limit price is missing.")
    if ticket.order_type in ("STP", "STP LMT") and not _is_price(ticket.aux_price):
        return Refusal(403, "Invalid stop price.")
    if ticket.order_type == "TRAIL" and not _is_trailing(ticket):
        return Refusal(
            321,
            "Error validating request.-'bW' : cause - A trailing stop needs either a trailing amount above 0 or a "
            "trailing percentage between 0 and 100.",
        )
    grid = grid_of(contract)
    for price in _prices(ticket):
        if not grid.is_on(price):
            return Refusal(
                110,
                f"The price does not conform to the minimum price variation for this contract: {price} is not a "
                f"multiple of {grid.increment_at(price)}.",
            )
    return None


def _prices(ticket: OrderTicket) -> list[Decimal]:
    """The prices of a ticket that must be on the contract's grid; a trailing amount is a distance, and need not be."""
    limit = ticket.limit_price if ticket.order_type in ("LMT", "STP LMT", "LOC") else None
    stop = ticket.aux_price if ticket.order_type in ("STP", "STP LMT") else None
    first = ticket.trail_stop_price if ticket.order_type == "TRAIL" else None
    return [price for price in (limit, stop, first) if price is not None]


def _is_trailing(ticket: OrderTicket) -> bool:
    amount, percent = ticket.aux_price, ticket.trailing_percent
    if percent is not None:
        return amount is None and 0 < percent < 100
    return _is_price(amount)


def _check_close(contract: Contract, ticket: OrderTicket, now: datetime) -> Refusal | None:
    """Orders for the close need a market that closes, the day's order, and to be in time for the auction."""
    calendar = get_calendar(contract.calendar)
    if calendar.is_always_open:
        return Refusal(
            387, f"Unsupported order type for this exchange and security type: {contract.symbol} has no close."
        )
    if ticket.time_in_force != "DAY":
        return Refusal(10052, f"Invalid time in force: {ticket.time_in_force!r} for a {ticket.order_type} order; DAY.")
    session = calendar.session_at(now)
    if session is not None and now >= calendar.close_of(session) - CLOSE_CUT_OFF:
        minutes = CLOSE_CUT_OFF // timedelta(minutes=1)
        text = f"{ticket.order_type} orders are taken until {minutes} minutes before the close"
        return Refusal(201, f"Order rejected - reason:{text}")
    return None


def _check_time_in_force(ticket: OrderTicket, now: datetime) -> Refusal | None:
    if ticket.time_in_force not in TIMES_IN_FORCE:
        return Refusal(
            10052, f"Invalid time in force: {ticket.time_in_force!r}; use one of {', '.join(TIMES_IN_FORCE)}."
        )
    if ticket.time_in_force == "GTD" and (ticket.good_till is None or ticket.good_till <= now):
        return Refusal(334, "Invalid Good Till Date order: the date is missing or past.")
    return None


def _is_price(price: Decimal | None) -> bool:
    return price is not None and price.is_finite() and price > 0
