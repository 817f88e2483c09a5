"""The account is worth what cash and the fills' positions come to, within what the quotes leave open."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.base import BrokerConnectionError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import AccountSummary
from trading_platform.execution.equity import compare_equity, recent_flows
from trading_platform.execution.portfolio import performance_table
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import ACCOUNT, NOW, RUN, make_execution

INSTRUMENTS = {"AAPL": Instrument("AAPL"), "SAP": Instrument("SAP", currency="EUR")}
LATER = NOW + timedelta(minutes=10)


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl")


def bought(ledger, symbol="AAPL"):
    """Ten for 170.50 each, whose quote is 170.50."""
    ledger.record_executions([make_execution(1, symbol=symbol)], at=NOW, run_id=RUN)


def summary(equity, cash="998294", currency="USD", at=LATER):
    money = Decimal(equity)
    return AccountSummary(ACCOUNT, currency, money, Decimal(cash), money, money, money, at)


def test_cash_and_positions_at_quotes_are_the_equity_to_the_cent(ledger, broker):
    bought(ledger)
    agreement, marks = compare_equity(ledger, broker, summary("999999.00"), INSTRUMENTS)
    assert agreement.is_agreed
    assert (agreement.from_fills, agreement.difference) == (Decimal("999999.0"), 0)
    assert marks == {"AAPL": Decimal("170.50")}


def test_a_tenth_of_a_percent_of_each_holding_is_what_prices_may_have_moved(ledger, broker):
    bought(ledger)
    assert compare_equity(ledger, broker, summary("1000000.70"), INSTRUMENTS)[0].is_agreed
    off = compare_equity(ledger, broker, summary("1000001.00"), INSTRUMENTS)[0]
    assert off.is_comparable
    assert not off.is_agreed


def test_an_account_without_positions_leaves_one_cent_open(ledger, broker):
    assert compare_equity(ledger, broker, summary("998294.01"), INSTRUMENTS)[0].is_agreed
    assert not compare_equity(ledger, broker, summary("998294.02"), INSTRUMENTS)[0].is_agreed


def test_figures_that_may_be_older_than_the_last_fills_prove_nothing(ledger, broker):
    bought(ledger)
    agreement, _ = compare_equity(ledger, broker, summary("1000000", cash="1000000", at=NOW), INSTRUMENTS)
    assert not agreement.is_comparable
    assert "last three minutes" in agreement.obstacles[0]


def test_what_has_no_price_or_another_currency_can_not_be_compared(ledger, broker):
    bought(ledger, "SAP")
    bought_too = make_execution(2, symbol="ODD")
    ledger.record_executions([bought_too], at=NOW, run_id=RUN)
    agreement, marks = compare_equity(ledger, broker, summary("999999", currency="EUR"), INSTRUMENTS)
    assert agreement.obstacles == (
        "the account's base currency is EUR, not USD",
        "ODD has no price",
        "SAP is quoted in EUR, not USD",
    )
    assert not agreement.is_agreed
    assert marks == {}


def test_a_mute_quote_is_no_price_and_a_lost_connection_is_an_error(ledger, broker):
    bought(ledger)
    broker.mute.add("AAPL")
    assert compare_equity(ledger, broker, summary("999999"), INSTRUMENTS)[0].obstacles == ("AAPL has no price",)
    broker.is_lost = True
    with pytest.raises(BrokerConnectionError):
        compare_equity(ledger, broker, summary("999999"), INSTRUMENTS)


def test_a_deposit_is_warned_of_for_seven_days(ledger):
    for minutes, cash in enumerate(("1000000", "1005000", "1005000")):
        ledger.record_equity(summary(cash, cash=cash, at=NOW + timedelta(minutes=minutes)), run_id=RUN)
    frame = performance_table(ledger, ACCOUNT)
    assert list(recent_flows(frame, NOW + timedelta(days=6))["external_flow_usd"]) == [5000.0]
    assert recent_flows(frame, NOW + timedelta(days=8)).empty
