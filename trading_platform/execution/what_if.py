"""Asking the broker what a tick's opening orders would do to the margin, within a time that a tick can spare."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

from trading_platform.brokers.base import Broker, BrokerError, OrderRejectedError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, RiskDecision, WhatIf
from trading_platform.domain.orders.risk.context import RiskContext, is_reducing

WAIT_SECONDS = 3.0
"""How long a tick waits for all answers together, in real seconds."""

AT_ONCE = 8
"""Questions under way at a time: an answer from IBKR takes some tenths of a second."""


def ask_what_ifs(
    broker: Broker,
    instruments: Mapping[str, Instrument],
    judged: Iterable[tuple[OrderIntent, RiskDecision]],
    context: RiskContext,
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> dict[str, WhatIf]:
    """The broker's forecasts for those orders that our own controls approve and that open or enlarge a holding.

    At most one message per order, and none if ``is_what_if_asked`` is off. What is not answered within
    ``wait_seconds`` is missing in the result; after a failure nothing more is asked. Missing forecasts are no error:
    our own arithmetic has decided already.

    Returns:
        Forecasts by client order id; a refusal is one.
    """
    if not context.account_limits.is_what_if_asked:
        return {}
    opening = [
        intent
        for intent, decision in judged
        if decision.is_approved
        and intent.request.symbol in instruments
        and not intent.request.parent_id  # an exit opens nothing: it follows its entry
        and not is_reducing(intent, context)
    ]
    if not opening:
        return {}
    has_failed = threading.Event()

    def ask(intent: OrderIntent) -> WhatIf | None:
        if has_failed.is_set():
            return None
        try:
            return broker.what_if(instruments[intent.request.symbol], intent.request)
        except OrderRejectedError as error:
            return WhatIf(intent.client_order_id, refusal=str(error))
        except BrokerError:
            has_failed.set()
            return None

    deadline = time.monotonic() + wait_seconds
    pool = ThreadPoolExecutor(min(AT_ONCE, len(opening)), thread_name_prefix="what-if")
    try:
        answers = {intent.client_order_id: pool.submit(ask, intent) for intent in opening}
        found = {name: _answer(future, deadline) for name, future in answers.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {name: answer for name, answer in found.items() if answer is not None}


def _answer(future: Future[WhatIf | None], deadline: float) -> WhatIf | None:
    try:
        return future.result(max(deadline - time.monotonic(), 0))
    except FutureTimeoutError:
        return None
