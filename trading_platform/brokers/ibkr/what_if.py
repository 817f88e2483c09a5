"""Asking what an order would do to the margin: its message with one mark more, which is set and looked at here."""

# mypy: untyped-calls-exclude=ib_insync

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from ib_insync.wrapper import RequestError

from trading_platform.brokers.base import BrokerError, BrokerTimeoutError, OrderRejectedError
from trading_platform.brokers.ibkr import errors, translate
from trading_platform.brokers.ibkr.connection import Connection
from trading_platform.brokers.ibkr.order_message import to_order
from trading_platform.brokers.ibkr.orders import require_safe_ids
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, WhatIf

if TYPE_CHECKING:
    from ib_insync.order import Order, OrderState

_LONGEST_WHAT_IF_SECONDS = 3.0
"""A forecast is welcome and not needed: nobody waits for it as long as for other answers."""


async def what_if(connection: Connection, instrument: Instrument, request: OrderRequest) -> WhatIf:
    """Ask what the order would do to the margin, with an order message that is marked as a question.

    It carries the order's reference like the order itself: should a gateway ever take it for one, the search by
    ``orderRef`` that precedes each order finds it, and nothing is sent a second time.

    Raises:
        ValueError: the request is senseless; nothing was sent.
        OrderRejectedError: IBKR would refuse the order.
        BrokerError: there is no answer.
    """
    contract = translate.to_contract(instrument)
    order = _to_question(request, connection.account)
    await require_safe_ids(connection, request)
    what = f"what-if of order {request.client_order_id}"
    order_id = connection.client.getReqId()
    answered = connection.wrapper.startReq(order_id, contract)
    if order.whatIf is not True:
        msg = f"{what} is not marked as a question: it was not sent"
        raise BrokerError(msg)
    connection.client.placeOrder(order_id, contract, order)
    try:
        state = await asyncio.wait_for(connection.answer(answered, what), _LONGEST_WHAT_IF_SECONDS)
    except asyncio.TimeoutError as error:
        msg = f"{what}: no answer within {_LONGEST_WHAT_IF_SECONDS:g} s"
        raise BrokerTimeoutError(msg) from error
    except BrokerError as error:
        said = error.__cause__
        if type(error) is BrokerError and isinstance(said, RequestError) and errors.is_order_rejection(said.code):
            raise OrderRejectedError(str(error), said.code) from error
        raise
    return _to_answer(request, state)


def _to_question(request: OrderRequest, account: str) -> Order:
    """The order message as a question: with ``whatIf`` set IBKR answers with margins and places nothing."""
    order = to_order(request, account)
    order.whatIf = True
    return order


def _to_answer(request: OrderRequest, state: OrderState) -> WhatIf:
    """The answer to the question. Figures that IBKR leaves unset are ``None``."""
    return WhatIf(
        client_order_id=request.client_order_id,
        init_margin_before=_to_margin(state.initMarginBefore),
        init_margin_after=_to_margin(state.initMarginAfter),
        maint_margin_before=_to_margin(state.maintMarginBefore),
        maint_margin_after=_to_margin(state.maintMarginAfter),
        equity_with_loan_before=_to_margin(state.equityWithLoanBefore),
        equity_with_loan_after=_to_margin(state.equityWithLoanAfter),
        commission=translate.to_optional_decimal(state.commission),
    )


def _to_margin(text: str) -> Decimal | None:
    """Margins come as text; empty or 1.797…E308 is unset."""
    try:
        return None if translate.is_unset(float(text)) else Decimal(text)
    except (ValueError, ArithmeticError):
        return None
