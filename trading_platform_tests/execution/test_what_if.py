"""The broker is asked once per opening order, for a bounded time, and silence is no verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError, OrderRejectedError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderIntent, OrderRequest, RiskDecision, WhatIf
from trading_platform.domain.orders.risk.context import RiskContext
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.orders.risk.limits import AccountLimits
from trading_platform.execution.what_if import ask_what_ifs
from trading_platform_tests.domain.orders import builders as b
from trading_platform_tests.execution.recording_broker import RecordingBroker

D = Decimal
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("TSLA", "IWM")}
Answer = Callable[[OrderRequest], WhatIf]


class Forecasting(RecordingBroker):
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, books: Path, answer: Answer) -> None:
        super().__init__(books)
        self.answer = answer
        self.asked: list[str] = []

    def what_if(self, instrument: Instrument, request: OrderRequest) -> WhatIf:
        assert instrument.symbol == request.symbol
        self.asked.append(request.client_order_id)
        return self.answer(request)


def margin(request: OrderRequest) -> WhatIf:
    return WhatIf(request.client_order_id, D(0), request.quantity * 50, equity_with_loan_after=D(1000))


def raises(error: Exception) -> Answer:
    def fail(_: OrderRequest) -> WhatIf:
        raise error

    return fail


def judged(
    intents: Sequence[OrderIntent], context: RiskContext | None = None
) -> tuple[list[tuple[OrderIntent, RiskDecision]], RiskContext]:
    seen = context or b.context(
        quotes={symbol: b.quote(symbol) for symbol in INSTRUMENTS},
        instruments={symbol: b.details(symbol) for symbol in INSTRUMENTS},
    )
    return list(zip(intents, decide(intents, seen), strict=True)), seen


BOTH = (b.intent(), b.intent("IWM"))


@pytest.fixture
def books(tmp_path: Path) -> Path:
    return tmp_path / "books.jsonl"


def test_each_opening_order_is_asked_about_once(books: Path) -> None:
    broker = Forecasting(books, margin)
    found = ask_what_ifs(broker, INSTRUMENTS, *judged(BOTH))
    assert sorted(broker.asked) == sorted(found) == sorted(intent.client_order_id for intent in BOTH)
    assert found[BOTH[0].client_order_id].init_margin_after == 500
    assert broker.placed == []


def test_what_is_rejected_or_only_reduces_costs_no_message(books: Path) -> None:
    held = {"TSLA": D(10)}
    context = b.context(strategy_positions=held, account_positions=held)
    sale, rejected = b.intent(side="SELL"), b.intent("IWM")
    broker = Forecasting(books, margin)
    assert ask_what_ifs(broker, INSTRUMENTS, *judged([sale, rejected], context)) == {}
    assert broker.asked == []


def test_it_can_be_switched_off(books: Path) -> None:
    broker = Forecasting(books, margin)
    decided, context = judged(BOTH)
    off = replace(context, account_limits=AccountLimits(is_what_if_asked=False))
    assert ask_what_ifs(broker, INSTRUMENTS, decided, off) == {}
    assert broker.asked == []


def test_a_refusal_is_an_answer(books: Path) -> None:
    broker = Forecasting(books, raises(OrderRejectedError("201: margin", 201)))
    found = ask_what_ifs(broker, INSTRUMENTS, *judged(BOTH))
    assert [answer.refusal for answer in found.values()] == ["201: margin"] * 2


@pytest.mark.parametrize("error", [BrokerTimeoutError("late"), BrokerConnectionError("lost")])
def test_after_a_failure_nothing_more_is_asked(books: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.execution.what_if.AT_ONCE", 1)
    broker = Forecasting(books, raises(error))
    assert ask_what_ifs(broker, INSTRUMENTS, *judged(BOTH)) == {}
    assert len(broker.asked) == 1


def test_a_broker_that_says_nothing_is_not_waited_for(books: Path) -> None:
    gate = threading.Event()

    def hang(request: OrderRequest) -> WhatIf:
        gate.wait(30)
        return margin(request)

    try:
        found = ask_what_ifs(Forecasting(books, hang), INSTRUMENTS, *judged(BOTH), wait_seconds=0.1)
        assert not gate.is_set()
        assert found == {}
    finally:
        gate.set()
