"""Positions and equity as tables: the broker's word beside the ledger's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import AccountSummary
from trading_platform.execution.portfolio import performance_table, positions_table
from trading_platform.schemas.base import validate
from trading_platform.schemas.portfolio import Performance, Positions
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, RUN, make_execution, make_intent, record, start

INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("AAPL", "MSFT")}


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl")


def positions(ledger, broker):
    frame = positions_table(ledger, broker, INSTRUMENTS, at=NOW, run_id=RUN)
    return validate(Positions, frame).set_index("symbol")


def test_what_broker_and_ledger_hold_stands_side_by_side(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    ledger.record_executions([make_execution(1, make_intent())], at=NOW, run_id=RUN)
    broker.transfer("MSFT", "-4")
    frame = positions(ledger, broker)
    assert (frame.loc["AAPL", "quantity"], frame.loc["AAPL", "ledger_quantity"]) == (0.0, 10.0)
    assert (frame.loc["MSFT", "quantity"], frame.loc["MSFT", "ledger_quantity"]) == (-4.0, 0.0)
    assert frame.loc["MSFT", "market_value_usd"] == -4 * 170.5


def test_the_brokers_holdings_are_kept_in_the_ledger(ledger, broker):
    broker.transfer("MSFT", "4")
    positions(ledger, broker)
    assert [(p.symbol, p.quantity) for p in ledger.latest_positions(ACCOUNT)] == [("MSFT", Decimal(4))]


def test_a_flat_account_is_an_empty_table(ledger, broker):
    assert positions(ledger, broker).empty


def test_a_holding_without_a_price_is_shown_without_a_value(ledger, broker):
    broker.transfer("MSFT", "4")
    broker.transfer("ODD", "1")  # no instrument of ours
    broker.mute.add("MSFT")
    frame = positions(ledger, broker)
    assert frame["last_price_usd"].isna().all()
    assert frame["market_value_usd"].isna().all()
    assert list(frame["quantity"]) == [4.0, 1.0]


def test_positions_that_can_not_be_read_are_no_table(ledger, broker):
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        positions(ledger, broker)
    assert ledger.latest_positions(ACCOUNT) == []


def test_a_lost_connection_is_no_missing_price(ledger, broker):
    broker.transfer("MSFT", "4")
    broker.is_lost = True
    with pytest.raises(BrokerConnectionError):
        positions(ledger, broker)


def test_drawdown_is_measured_from_the_highest_equity_so_far(ledger):
    for minute, equity in enumerate([100, 110, 99, 120, 120]):
        money = Decimal(equity)
        at = NOW + timedelta(minutes=minute)
        ledger.record_equity(AccountSummary(ACCOUNT, "USD", money, money, Decimal(0), money, money, at), run_id=RUN)
    frame = validate(Performance, performance_table(ledger, ACCOUNT))
    assert list(frame["equity_usd"]) == [100, 110, 99, 120, 120]
    assert np.allclose(frame["drawdown_pct"], [0, 0, -10, 0, 0])


def test_an_account_that_was_never_read_has_no_performance(ledger):
    assert validate(Performance, performance_table(ledger, ACCOUNT)).empty
