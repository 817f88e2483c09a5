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
from trading_platform.execution.portfolio import (
    BY_HAND,
    account_figures,
    performance_table,
    positions_table,
    strategy_figures,
)
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


def read(ledger, *readings):
    """Equity and cash of each reading, ten minutes apart."""
    for i, (equity, cash) in enumerate(readings):
        value = Decimal(equity)
        at = NOW + timedelta(minutes=10 * i)
        ledger.record_equity(
            AccountSummary(ACCOUNT, "USD", value, Decimal(cash), value - Decimal(cash), value, value, at), run_id=RUN
        )
    return validate(Performance, performance_table(ledger, ACCOUNT))


def test_drawdown_is_measured_from_the_highest_equity_so_far(ledger):
    frame = read(ledger, *((equity, 50) for equity in (100, 110, 99, 120, 120)))
    assert list(frame["equity_usd"]) == [100, 110, 99, 120, 120]
    assert np.allclose(frame["drawdown_pct"], [0, 0, -10, 0, 0])
    assert list(frame["net_exposure_usd"]) == [50, 60, 49, 70, 70]


def test_deposits_and_withdrawals_are_flows_and_no_performance(ledger):
    frame = read(ledger, (100, 100), (200, 200), (150, 150), (150, 150))
    assert list(frame["external_flow_usd"]) == [0, 100, -50, 0]
    assert list(frame["cash_from_fills_usd"]) == [100, 100, 100, 100]
    assert np.allclose(frame["growth_of_1_usd"], 1)
    assert np.allclose(frame["drawdown_pct"], 0)


def test_an_account_that_was_read_before_its_first_deposit_has_figures_all_the_same(ledger):
    frame = read(ledger, (0, 0), (1000, 1000), (1100, 1000))
    assert list(frame["growth_of_1_usd"]) == pytest.approx([1, 1, 1.1])
    assert account_figures(ledger, frame)["first_equity"] == 0


def test_cash_follows_from_the_baseline_and_the_fills_since(ledger):
    ledger.record_executions([make_execution(700)], at=NOW, run_id=RUN)  # 10 for 170.50 and a dollar
    frame = read(ledger, ("10000", "10000"), ("10000", "10000"), ("9999", "8294"))
    assert list(frame["cash_from_fills_usd"]) == [10000, 10000, 8294]
    assert list(frame["external_flow_usd"]) == [0, 0, 0]


def test_figures_of_the_account_are_time_weighted_and_by_day(ledger):
    for day, (equity, cash) in enumerate([(100, 100), (110, 100), (220, 210), (198, 210)]):
        value = Decimal(equity)
        at = NOW + timedelta(days=day)
        ledger.record_equity(
            AccountSummary(ACCOUNT, "USD", value, Decimal(cash), Decimal(0), value, value, at), run_id=RUN
        )
    figures = account_figures(ledger, performance_table(ledger, ACCOUNT))
    assert figures["total_return"] == pytest.approx(1.1 * 1.0 * 0.9 - 1)
    assert figures["max_drawdown"] == pytest.approx(-0.1)
    assert (figures["external_flows_usd"], figures["last_equity"]) == (110, 198)
    assert figures["periods"] == 3


def test_days_are_annualised_as_365_once_there_are_weekends(ledger):
    for day in range(6):  # Tuesday to Sunday
        value = Decimal(100 + day % 2)
        at = NOW + timedelta(days=day)
        ledger.record_equity(
            AccountSummary(ACCOUNT, "USD", value, Decimal(100), Decimal(0), value, value, at), run_id=RUN
        )
    frame = performance_table(ledger, ACCOUNT)
    on_weekdays = account_figures(ledger, frame.head(4))["annual_volatility"]
    returns = np.array([0.01, 1 / 1.01 - 1, 0.01])
    assert on_weekdays == pytest.approx(np.std(returns, ddof=1) * 252**0.5)
    returns = np.array([0.01, 1 / 1.01 - 1, 0.01, 1 / 1.01 - 1, 0.01])
    assert account_figures(ledger, frame)["annual_volatility"] == pytest.approx(np.std(returns, ddof=1) * 365**0.5)


def test_a_strategys_profit_and_costs_come_from_its_fills_alone(ledger):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    by_hand = make_execution(2, quantity="5", price="100", symbol="MSFT")
    ledger.record_executions([make_execution(1, intent), by_hand], at=NOW, run_id=RUN)
    frame = strategy_figures(ledger, ACCOUNT, {"AAPL": Decimal("171.50")}).set_index("strategy")
    own, other = frame.loc["momentum"], frame.loc[BY_HAND]
    assert (own["unrealized"], own["commissions"], own["net_pnl"]) == (10.0, 1.0, 9.0)
    assert own["slippage"] == pytest.approx(2.5)  # a quarter of a dollar above the decision price
    assert own["slippage_bps"] == pytest.approx(2.5 / 1705 * 10_000)
    assert (other["slippage"], other["traded_notional"]) == (0.0, 500.0)
    assert np.isnan(other["unrealized"])  # MSFT has no mark


def test_an_account_that_was_never_read_has_no_performance(ledger):
    assert validate(Performance, performance_table(ledger, ACCOUNT)).empty
