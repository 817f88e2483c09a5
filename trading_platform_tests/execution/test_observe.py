"""What sizing and risk get to see: nothing guessed, nothing counted as free that may be under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.base import BrokerConnectionError, BrokerTimeoutError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.domain.orders.risk.context import EquityMarks, RiskContext, UnevaluableError
from trading_platform.domain.orders.risk.controls.market_open import MarketOpen
from trading_platform.domain.orders.risk.controls.order_hours import OrderHours
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.execution.observe import equity_of, observe
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.domain.orders.builders import context, intent, spec
from trading_platform_tests.execution.quoting_broker import QuotingBroker
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    make_broker_order,
    make_execution,
    make_intent,
    record,
    start,
)

SPEC = spec(name="momentum", universe=("AAPL", "IBM"))
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("AAPL", "IBM", "MSFT")}


@pytest.fixture
def broker(tmp_path: Path) -> QuotingBroker:
    return QuotingBroker(tmp_path / "books.jsonl")


def look(ledger: Ledger, broker: QuotingBroker) -> RiskContext:
    return observe(ledger, broker, SPEC, INSTRUMENTS, now=NOW, quarantined={"IBM"}, signal_time_utc=NOW)


def test_everything_that_risk_needs_is_there(ledger, broker):
    seen = look(ledger, broker)
    assert set(seen.quotes) == set(seen.instruments) == {"AAPL", "IBM"}
    assert seen.is_market_open is True
    assert seen.halts == ()
    assert seen.quarantined == {"IBM"}
    assert equity_of(seen) == 1_000_000


def test_a_symbol_without_a_quote_costs_the_others_nothing(ledger, broker):
    broker.mute.add("AAPL")
    broker.unknown.add("IBM")
    seen = look(ledger, broker)
    assert set(seen.quotes) == {"IBM"}
    assert set(seen.instruments) == {"AAPL"}


def test_a_lost_connection_is_no_missing_quote(ledger, broker):
    broker.is_lost = True
    with pytest.raises(BrokerConnectionError):
        look(ledger, broker)


def test_positions_that_can_not_be_read_are_not_flat(ledger, broker):
    broker.is_silent = True
    with pytest.raises(BrokerTimeoutError):
        look(ledger, broker)


def test_an_order_being_sent_counts_as_working(ledger, broker):
    record(ledger)
    start(ledger, make_intent())
    (order,) = look(ledger, broker).working
    assert (order.symbol, order.remaining_quantity) == ("AAPL", 10)


def test_an_order_reported_filled_before_its_execution_arrived_counts_as_working(ledger, broker):
    """Killed between the acknowledgement and the executions: the next tick must not buy again."""
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    ledger.record_broker_order(ACCOUNT, make_broker_order(intent, OrderStatus.FILLED, filled="10"), at=NOW, run_id=RUN)
    seen = look(ledger, broker)
    assert seen.strategy_positions == {}
    assert [(order.symbol, order.signed_quantity) for order in seen.working] == [("AAPL", 10)]
    ledger.record_executions([make_execution(1, intent)], at=NOW, run_id=RUN)
    seen = look(ledger, broker)
    assert seen.strategy_positions == {"AAPL": Decimal(10)}
    assert seen.working == ()


def test_orders_placed_by_hand_count_for_the_account_and_need_a_price(ledger, broker):
    broker.place_by_hand(OrderRequest("", "MSFT", "BUY", Decimal(3)))
    seen = look(ledger, broker)
    assert [(order.symbol, order.strategy) for order in seen.working] == [("MSFT", "")]
    assert "MSFT" in seen.quotes


def test_an_order_that_ledger_and_broker_both_know_counts_once(ledger, broker):
    record(ledger)
    intent = make_intent()
    start(ledger, intent)
    broker.place_by_hand(intent.request)
    assert len(look(ledger, broker).working) == 1


def test_halts_of_the_account_and_of_all_accounts_are_seen(ledger, broker):
    ledger.halt(ACCOUNT, reason="one", who="me", at=NOW)
    ledger.halt("*", reason="two", who="me", at=NOW)
    ledger.halt("DU9", reason="another account's", who="me", at=NOW)
    assert [halt.reason for halt in look(ledger, broker).halts or ()] == ["one", "two"]


def test_no_equity_is_no_number():
    with pytest.raises(ValueError, match="no account summary"):
        equity_of(context(account=None))


def test_what_was_sent_is_remembered_for_a_day(ledger, broker):
    record(ledger, ("AAPL", "IBM"))
    start(ledger, make_intent())
    (sent,) = look(ledger, broker).recent_submissions or ()
    assert (sent.client_order_id, sent.symbol, sent.side, sent.quantity, sent.sent_utc) == (
        make_intent().client_order_id,
        "AAPL",
        "BUY",
        10,
        NOW,
    )
    later = observe(
        ledger, broker, SPEC, INSTRUMENTS, now=NOW + timedelta(days=1, seconds=1), quarantined=(), signal_time_utc=NOW
    )
    assert later.recent_submissions == ()


def test_equity_is_known_at_the_open_and_at_its_peak(ledger, broker):
    first = broker.account_summary()
    assert look(ledger, broker).equity_marks == EquityMarks(first.net_liquidation, first.net_liquidation)
    for hours_ago, equity in ((400 * 24, 9_000_000), (72, 1_300_000), (24, 1_100_000), (0.5, 1_200_000)):
        ledger.record_equity(
            replace(first, net_liquidation=Decimal(equity), ts_utc=NOW - timedelta(hours=hours_ago)), run_id=RUN
        )
    assert look(ledger, broker).equity_marks == EquityMarks(Decimal(1_100_000), Decimal(1_300_000))


def test_the_strategy_s_closed_trades_the_hours_and_the_sectors_are_there(ledger, broker):
    record(ledger)
    ledger.record_executions(
        [
            make_execution(1, make_intent(), price="100"),
            make_execution(2, make_intent(side="SELL"), price="90"),
            make_execution(3, quantity="5", price="50"),
        ],
        at=NOW,
        run_id=RUN,
    )
    seen = look(ledger, broker)
    assert [(trade.symbol, trade.pnl_usd) for trade in seen.closed_trades or ()] == [("AAPL", -100)]
    assert seen.session is not None
    assert seen.session.open_utc.isoformat() == "2024-03-05T14:30:00+00:00"
    assert seen.session.close_utc.isoformat() == "2024-03-05T21:00:00+00:00"
    assert set(seen.sectors) == {"AAPL", "IBM", "MSFT"}
    assert seen.account_limits == SPEC.account_limits


def test_holdings_of_nobody_s_need_a_price_too(ledger, broker):
    broker.transfer("MSFT", "3")
    assert "MSFT" in look(ledger, broker).quotes


HALF_DAY = datetime(2012, 11, 23, tzinfo=timezone.utc)
"""The Friday after Thanksgiving: New York closes at 13:00, 18:00 UTC."""


@pytest.mark.parametrize(("hour", "minute", "is_open"), [(17, 58, True), (18, 0, False), (19, 0, False)])
def test_a_half_day_ends_early(ledger, tmp_path, hour, minute, is_open):
    now = HALF_DAY.replace(hour=hour, minute=minute)
    broker = QuotingBroker(tmp_path / "books.jsonl", now=now)
    seen = observe(ledger, broker, SPEC, INSTRUMENTS, now=now, quarantined=(), signal_time_utc=now)
    assert seen.is_market_open is is_open
    assert MarketOpen().evaluate(intent("AAPL"), seen).is_passed is is_open
    if is_open:
        assert seen.session is not None
        assert seen.session.close_utc == HALF_DAY.replace(hour=18)
        assert OrderHours().evaluate(intent("AAPL"), seen).is_passed
        last_minute = seen.at(HALF_DAY.replace(hour=17, minute=59, second=30))
        assert not OrderHours().evaluate(intent("AAPL"), last_minute).is_passed
    else:
        with pytest.raises(UnevaluableError):
            OrderHours().evaluate(intent("AAPL"), seen)


@pytest.mark.parametrize(
    ("cadence", "lag", "tick", "as_of", "due"),
    [
        (5, 120, "15:30:00", "15:30:07", "15:25"),
        (5, 120, "15:30:00", "15:36:59", "15:25"),  # a bar that has ended since the tick may be a little late
        (60, 120, "15:30:00", "15:37:00", "15:30"),  # and no more than that
        (60, 0, "15:30:00", "15:35:00", "15:30"),
    ],
)
def test_due_is_the_bar_before_the_tick_or_a_newer_one_that_had_its_time(cadence, lag, tick, as_of, due):
    of = spec(cadence_minutes=cadence, limits={"max_bar_lag_seconds": lag})
    at = {name: datetime.fromisoformat(f"2024-03-05T{text}+00:00") for name, text in {"t": tick, "a": as_of}.items()}
    found = due_bars(of, {"AAPL": NOW}, tick_utc=at["t"], as_of_utc=at["a"])
    assert found is not None
    assert found.due_utc.strftime("%H:%M") == due
    assert found.newest_utc == {"AAPL": NOW}


def test_unknown_bars_stay_unknown():
    assert due_bars(spec(), None, tick_utc=NOW, as_of_utc=NOW) is None
