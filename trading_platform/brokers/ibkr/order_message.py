"""From an order request to the library's order, exactly. Pure."""

from __future__ import annotations

from datetime import timezone
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.domain.orders.model import LIMIT_ORDERS, OrderRequest

if TYPE_CHECKING:
    from ib_insync.order import Order

_REDUCE_WITH_BLOCK = 2
"""IBKR's ocaType by which a part fill of one exit shrinks the others, and one is at the exchange at a time."""


def to_order(request: OrderRequest, account: str, *, parent_id: int = 0, transmit: bool = True) -> Order:
    """The order message. Must be called on the loop thread.

    Exits carry their entry's order id, ``parent_id``. Of a bracket only the last order has ``transmit`` set: what
    comes before is held back at the gateway until then.

    Time in force is always explicit: left empty, a preset of the gateway fills it in and says so with an
    error code that the library takes for a rejection.

    Raises:
        ValueError: the prices don't fit the order type, the quantity is not positive, or a number has more digits than
            the wire carries.
    """
    from ib_insync.order import Order

    if request.quantity <= 0:
        msg = f"order {request.client_order_id}: quantity {request.quantity} is not positive; the side says BUY or SELL"
        raise ValueError(msg)
    if not request.client_order_id:
        msg = "an order without client_order_id could not be found again: give it one"
        raise ValueError(msg)
    order = Order(
        action=request.side,
        totalQuantity=_exact(request.quantity, request),
        orderType=request.order_type,
        tif=request.time_in_force,
        orderRef=request.client_order_id,
        account=account,
        transmit=transmit,
        parentId=parent_id,
        ocaGroup=request.oca_group,
        ocaType=_REDUCE_WITH_BLOCK if request.oca_group else 0,
    )
    if request.time_in_force == "GTD":
        order.goodTillDate = _good_till(request)
    if request.order_type in LIMIT_ORDERS:
        order.lmtPrice = _required(request.limit_price, "limit_price", request)
    if request.order_type in ("STP", "STP LMT"):
        order.auxPrice = _required(request.stop_price, "stop_price", request)
    if request.order_type == "TRAIL":
        _trail(order, request)
    return order


def _trail(order: Order, request: OrderRequest) -> None:
    if (request.trail_amount is None) == (request.trail_percent is None):
        msg = f"order {request.client_order_id} of type TRAIL needs a trail_amount or a trail_percent, and not both"
        raise ValueError(msg)
    if request.trail_amount is not None:
        order.auxPrice = _exact(request.trail_amount, request)
    if request.trail_percent is not None:
        order.trailingPercent = _exact(request.trail_percent, request)
    if request.stop_price is not None:
        order.trailStopPrice = _exact(request.stop_price, request)


def _good_till(request: OrderRequest) -> str:
    if request.good_till_utc is None:
        msg = f"order {request.client_order_id} with time in force GTD needs a good_till_utc"
        raise ValueError(msg)
    return f"{request.good_till_utc.astimezone(timezone.utc):%Y%m%d-%H:%M:%S}"


def _exact(number: Decimal, request: OrderRequest) -> float:
    """The float whose text is the number: the library sends text, and takes floats."""
    value = float(number)
    if Decimal(repr(value)) != number:
        msg = f"order {request.client_order_id}: {number} has more digits than can be sent exactly"
        raise ValueError(msg)
    return value


def _required(price: Decimal | None, name: str, request: OrderRequest) -> float:
    if price is None:
        msg = f"order {request.client_order_id} of type {request.order_type} needs a {name}"
        raise ValueError(msg)
    return _exact(price, request)
