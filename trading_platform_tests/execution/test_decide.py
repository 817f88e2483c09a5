"""A tick is decided once; whoever comes second is given the stored decision."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.brokers.base import BrokerTimeoutError, OrderRejectedError
from trading_platform.clock import ManualClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import due_bar
from trading_platform.domain.orders.model import OrderRequest, WhatIf
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.ticks import Decision, decision_at
from trading_platform.execution.decide import DecidedTick, decide_tick
from trading_platform.execution.tables import intents_table
from trading_platform.schemas.base import validate
from trading_platform.schemas.orders import OrderIntents
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.domain.orders.builders import signal, spec
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW

SPEC = spec(name="momentum", universe=("AAPL", "IBM"))
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("AAPL", "IBM")}
BARS = {symbol: due_bar("5 mins", get_calendar("XNYS"), NOW) for symbol in INSTRUMENTS}
SIGNALS = [signal("AAPL", 0.5, 170.5), signal("IBM", 0.5, 170.5)]


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl")


def due(now: datetime = NOW) -> Decision:
    found = decision_at(SPEC, get_calendar("XNYS"), now)
    assert isinstance(found, Decision)
    return found


def decide(
    ledger: Ledger,
    broker: QuotingBroker,
    signals: list[Signal] | None = None,
    *,
    run_id: str = "run",
    quarantined: frozenset[str] = frozenset(),
    **changes: Any,
) -> DecidedTick:
    return decide_tick(
        ledger,
        broker,
        changes.pop("spec", SPEC),
        SIGNALS if signals is None else signals,
        due(),
        instruments=INSTRUMENTS,
        quarantined=quarantined,
        signal_time_utc=NOW,
        clock=ManualClock(NOW),
        run_id=run_id,
        code_version="abc",
        world="now",
        **{"newest_bars": BARS, **changes},
    )


def test_signals_become_sized_orders_that_risk_approved(ledger, broker):
    decided = decide(ledger, broker)
    assert decided.record.is_new
    assert decided.equity_usd == 1_000_000
    assert [(o.intent.request.symbol, o.intent.request.quantity, o.status.value) for o in decided.record.orders] == [
        ("AAPL", Decimal(293), "approved"),  # half of a tenth of a million at 170.50
        ("IBM", Decimal(293), "approved"),
    ]
    assert decided.record.tick.world == "now"
    assert decided.record.tick.session == "2024-03-05"


def test_deciding_sends_nothing(ledger, broker):
    decide(ledger, broker)
    assert broker.placed == []


def test_a_second_decision_is_the_first_whatever_it_is_told(ledger, broker):
    first = decide(ledger, broker, run_id="first")
    second = decide(ledger, broker, [signal("AAPL", 1.0, 99.0)], run_id="second")
    assert not second.record.is_new
    assert second.record.orders == first.record.orders
    assert second.record.tick.dagster_run_id == "first"


def test_of_two_at_once_one_decides(ledger, broker):
    gate, records = threading.Barrier(4), []

    def race(number: int) -> None:
        gate.wait()
        records.append(decide(ledger, broker, run_id=str(number)).record)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.is_new for record in records) == [False, False, False, True]
    assert len({record.tick.dagster_run_id for record in records}) == 1
    assert len(ledger.orders(ACCOUNT)) == 2


def test_symbols_without_a_need_to_trade_are_named(ledger, broker):
    decided = decide(ledger, broker, [signal("AAPL", 0.0, 170.5, "FLAT"), *SIGNALS[1:]])
    assert [skip.symbol for skip in decided.skipped] == ["AAPL"]
    assert decided.skipped[0].reason


def test_a_quarantined_symbol_is_rejected_and_the_others_are_not(ledger, broker):
    decided = decide(ledger, broker, quarantined=frozenset({"AAPL"}))
    states = {order.intent.request.symbol: order.status.value for order in decided.record.orders}
    assert states == {"AAPL": "rejected", "IBM": "approved"}
    (verdict,) = ledger.risk_decisions(ACCOUNT, client_order_ids=["momentum.AAPL.20240305T1530Z.r0"])
    assert verdict.decision.reasons == ("DataValid: bars of AAPL are quarantined",)


def test_a_symbol_without_a_quote_is_rejected_and_the_others_are_not(ledger, broker):
    broker.mute.add("AAPL")
    decided = decide(ledger, broker)
    assert [order.status.value for order in decided.record.orders] == ["rejected", "approved"]


def test_nothing_is_stored_when_the_account_can_not_be_read(ledger, broker):
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        decide(ledger, broker)
    assert ledger.tick(ACCOUNT, "momentum", due().tick_utc) is None


class Strict(QuotingBroker):
    """A broker that would not carry AAPL."""

    def what_if(self, instrument: Instrument, request: OrderRequest) -> WhatIf:
        self.requests.append(f"what_if {request.client_order_id} {request.quantity}")
        if instrument.symbol == "AAPL":
            msg = "201: margin"
            raise OrderRejectedError(msg, 201)
        return WhatIf(request.client_order_id, Decimal(0), Decimal(1), equity_with_loan_after=Decimal(2))


def test_the_broker_s_own_forecast_has_a_say(ledger, tmp_path):
    broker = Strict(tmp_path / "books.jsonl")
    decided = decide(ledger, broker)
    assert [order.status.value for order in decided.record.orders] == ["rejected", "approved"]
    refused, passed = ledger.risk_decisions(ACCOUNT, stage="decision")
    assert refused.decision.reason_codes == ("BrokerMargin",)
    assert [r.numbers["init_margin_usd"] for r in passed.decision.results if r.control == "BrokerMargin"] == ["1"]
    assert len([asked for asked in broker.requests if asked.startswith("what_if")]) == 2
    assert broker.placed == []


def test_an_order_above_a_limit_is_cut_to_it_and_the_cut_is_stored(ledger, tmp_path):
    tight = SPEC.model_copy(update={"limits": Limits(max_order_quantity=Decimal(100))})
    broker = Strict(tmp_path / "books.jsonl")
    decided = decide(ledger, broker, SIGNALS[1:], spec=tight)
    assert [(o.intent.request.quantity, o.status.value) for o in decided.record.orders] == [(100, "approved")]
    assert broker.requests[-1].endswith(" 100"), "the broker is asked about what would be sent"
    frame = intents_table(ledger, ACCOUNT, "momentum", ["2024-03-05"])
    (row,) = validate(OrderIntents, frame).to_dict("records")
    assert (row["quantity"], row["wanted_quantity"], row["cut_by"]) == (100.0, 293.0, "MaxOrderQuantity")
    assert row["reason_codes"] == ""


def test_a_symbol_whose_last_bar_is_late_is_rejected_and_the_others_are_not(ledger, broker):
    late = BARS | {"AAPL": BARS["AAPL"] - timedelta(minutes=5)}
    decided = decide(ledger, broker, newest_bars=late)
    assert [order.status.value for order in decided.record.orders] == ["rejected", "approved"]
    frame = intents_table(ledger, ACCOUNT, "momentum", ["2024-03-05"])
    assert list(frame["reason_codes"]) == ["FreshBars", ""]


def test_without_knowing_which_bars_there_are_nothing_is_approved(ledger, broker):
    decided = decide(ledger, broker, newest_bars=None)
    assert {order.status.value for order in decided.record.orders} == {"rejected"}


def test_a_signal_without_what_its_sizing_reads_is_skipped_by_name(ledger, broker):
    by_risk = spec(
        name="momentum", universe=("AAPL", "IBM"), sizing={"method": "volatility_target", "target_volatility": "0.1"}
    )
    measured = replace(SIGNALS[1], volatility=0.001)
    decided = decide(ledger, broker, [SIGNALS[0], measured], spec=by_risk)
    # half of a million × 10 % ÷ (0.1 % × √19,656) ÷ 170.50 is more than half of a tenth of a million
    assert [(o.intent.request.symbol, o.intent.request.quantity) for o in decided.record.orders] == [("IBM", 293)]
    assert "volatility_20 of AAPL has no value" in decided.skipped[0].reason
