"""Tables: ib_insync's objects in, value types out."""

from __future__ import annotations

import math
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.brokers.base import BrokerError
from trading_platform.brokers.ibkr import client  # noqa: F401 - loads ib_insync on the broker's loop
from trading_platform.brokers.ibkr import translate as tr
from trading_platform.brokers.ibkr.acknowledgement import Acknowledgement
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus

UTC = timezone.utc
UNSET = sys.float_info.max


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1, "0.1"), (100.0, "100"), (190.12, "190.12"), (1e-08, "1E-8"), (-3.0, "-3"), (0.0, "0"), (1e16, "1E+16")],
)
def test_floats_become_the_decimals_that_were_on_the_wire(value: float, expected: str) -> None:
    assert str(tr.to_decimal(value)) == expected


@given(st.decimals(min_value="-1e9", max_value="1e9", places=4))
def test_a_price_of_four_places_survives_the_way_through_a_float(price: Decimal) -> None:
    assert tr.to_decimal(float(price)) == price


@pytest.mark.parametrize("value", [UNSET, -UNSET, math.nan, math.inf, 2**31 - 1, None])
def test_unset_values_are_none(value: float | None) -> None:
    assert tr.is_unset(value)
    assert tr.to_optional_decimal(value) is None
    assert tr.to_price(value) is None


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_minus_one_and_zero_are_no_price(value: float) -> None:
    assert tr.to_price(value) is None
    assert tr.to_optional_decimal(value) == Decimal(repr(value))


@pytest.mark.parametrize(
    ("instrument", "exchange", "primary", "shown"),
    [
        (Instrument("AAPL", primary_exchange="NASDAQ"), "SMART", "NASDAQ", "TRADES"),
        (Instrument("IWM", exchange="ARCA"), "ARCA", "", "TRADES"),
        (Instrument("BTC", "CRYPTO", calendar="24/7"), "PAXOS", "", "AGGTRADES"),
        (Instrument("BTC", "CRYPTO", exchange="ZEROHASH"), "ZEROHASH", "", "AGGTRADES"),
        (Instrument("EUR", "CASH"), "IDEALPRO", "", "MIDPOINT"),
    ],
)
def test_instruments_become_contracts(instrument: Instrument, exchange: str, primary: str, shown: str) -> None:
    contract = tr.to_contract(instrument)
    assert (contract.secType, contract.symbol, contract.currency) == (
        instrument.security_type,
        instrument.symbol,
        "USD",
    )
    assert (contract.exchange, contract.primaryExchange) == (exchange, primary)
    assert tr.what_to_show(instrument) == shown


@pytest.mark.parametrize(
    ("exchanges", "rules", "expected"),
    [("SMART,NYSE", "26,240", 26), ("NYSE,SMART", "240,26", 26), ("NYSE", "240", 240), ("SMART", "", None)],
)
def test_the_market_rule_is_the_one_of_the_exchange_asked_for(exchanges: str, rules: str, expected: int | None) -> None:
    from ib_insync import Contract, ContractDetails

    details = ContractDetails(contract=Contract(exchange="SMART"), validExchanges=exchanges, marketRuleIds=rules)
    assert tr.market_rule_id(details) == expected


def test_price_steps_are_sorted_and_must_be_a_grid() -> None:
    from ib_insync import PriceIncrement

    steps = tr.to_price_steps(612, [PriceIncrement(1.0, 0.01), PriceIncrement(0.0, 0.0001)])
    assert [(step.low_edge, step.increment) for step in steps] == [(0, Decimal("0.0001")), (1, Decimal("0.01"))]
    with pytest.raises(BrokerError, match="market rule 7: IBKR's price increments none are no grid"):
        tr.to_price_steps(7, [])


@pytest.mark.parametrize(
    ("raw", "filled", "text", "is_completed", "expected"),
    [
        ("PendingSubmit", 0, "", False, OrderStatus.SUBMITTED),
        ("PreSubmitted", 0, "", False, OrderStatus.SUBMITTED),
        ("Submitted", 0, "", False, OrderStatus.SUBMITTED),
        ("Submitted", 3, "", False, OrderStatus.PARTIALLY_FILLED),
        ("PendingCancel", 0, "", False, OrderStatus.SUBMITTED),
        ("Filled", 10, "Filled Size: 10", True, OrderStatus.FILLED),
        ("Cancelled", 0, "Cancelled by Trader", True, OrderStatus.CANCELLED),
        ("Cancelled", 0, "Expired", True, OrderStatus.EXPIRED),
        ("Cancelled", 0, "Order rejected - reason: x", True, OrderStatus.BROKER_REJECTED),
        ("Cancelled", 4, "Order rejected - reason: x", True, OrderStatus.CANCELLED),
        ("ApiCancelled", 0, "", False, OrderStatus.CANCELLED),
        ("Inactive", 0, "", False, OrderStatus.UNKNOWN),
        ("Inactive", 0, "", True, OrderStatus.BROKER_REJECTED),
        ("Inactive", 4, "", True, OrderStatus.CANCELLED),
        ("Bewitched", 0, "", False, OrderStatus.UNKNOWN),
        ("", 0, "", True, OrderStatus.UNKNOWN),
    ],
)
def test_ibkrs_words_for_a_status(raw: str, filled: int, text: str, is_completed: bool, expected: OrderStatus) -> None:
    assert tr.to_status(raw, Decimal(filled), text, is_completed=is_completed) is expected


@pytest.mark.parametrize(("raw", "side"), [("BUY", "BUY"), ("BOT", "BUY"), ("SELL", "SELL"), ("SLD", "SELL")])
def test_sides(raw: str, side: str) -> None:
    assert tr.to_side(raw) == side


def test_an_unknown_side_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(BrokerError, match="BORROW"):
        tr.to_side("BORROW")


def _raw_order(status: str, completed: str = "", **order: Any) -> Any:
    from ib_insync import Contract, Order, OrderState

    from trading_platform.brokers.ibkr.session import RawOrder

    fields = {"orderId": 5, "clientId": 10, "permId": 9, "action": "BUY", "totalQuantity": 10.0, "orderType": "LMT"}
    order = {**fields, "lmtPrice": 1.5, "auxPrice": 0.0, "tif": "DAY", "orderRef": "r", "account": "DU1", **order}
    return RawOrder(Contract(symbol="AAPL"), Order(**order), OrderState(status=status, completedStatus=completed))


def test_an_open_order_takes_the_words_of_its_newest_status_message() -> None:
    from trading_platform.brokers.ibkr.session import RawStatus

    order = tr.to_open_order(_raw_order("PreSubmitted"), RawStatus("Submitted", 4.0, 1.25))
    assert (order.status, order.raw_status) == (OrderStatus.PARTIALLY_FILLED, "Submitted")
    assert (order.filled_quantity, order.average_fill_price) == (4, Decimal("1.25"))
    assert (order.limit_price, order.stop_price) == (Decimal("1.5"), None)
    assert (order.client_order_id, order.perm_id, order.order_id, order.client_id) == ("r", 9, 5, 10)


def test_an_open_order_without_a_status_message_takes_its_own() -> None:
    order = tr.to_open_order(_raw_order("PreSubmitted"), None)
    assert (order.status, order.filled_quantity, order.average_fill_price) == (OrderStatus.SUBMITTED, 0, None)


def test_a_completed_order_may_name_its_quantity_only_as_filled() -> None:
    raw = _raw_order("Filled", "Filled Size: 10", orderId=0, totalQuantity=0.0, filledQuantity=10.0)
    order = tr.to_completed_order(raw)
    assert (order.quantity, order.filled_quantity, order.order_id, order.message) == (10, 10, 0, "Filled Size: 10")


def test_a_filled_order_without_a_filled_quantity_was_filled_whole() -> None:
    assert tr.to_completed_order(_raw_order("Filled")).filled_quantity == 10


def test_an_acknowledged_order_is_the_request_with_the_brokers_words() -> None:
    request = OrderRequest("ref", "AAPL", "BUY", Decimal(3), "LMT", "DAY", Decimal("1.5"))
    said = Acknowledgement(perm_id=9, status="Submitted", filled=1.0, average_price=1.4)
    order = tr.to_acknowledged_order(request, said, account="DU1", order_id=4, client_id=10)
    assert (order.status, order.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, 1)
    assert (order.average_fill_price, order.limit_price, order.order_id) == (Decimal("1.4"), Decimal("1.5"), 4)


def _fill(execution_id: str = "a", **fields: Any) -> Any:
    from ib_insync import CommissionReport, Contract, Execution, Fill

    when = datetime(2026, 1, 5, 15, 30, tzinfo=UTC)
    execution = Execution(execId=execution_id, time=when, acctNumber="DU1", side="BOT", shares=10.0, price=190.12)
    for name, value in {"orderRef": "r", "permId": 9, **fields}.items():
        setattr(execution, name, value)
    return Fill(Contract(symbol="AAPL"), execution, CommissionReport(), when)


def test_an_execution_without_its_report_has_no_commission() -> None:
    execution = tr.to_execution(_fill(), None)
    assert (execution.commission, execution.realized_pnl) == (None, None)
    assert (execution.side, execution.quantity, execution.price) == ("BUY", 10, Decimal("190.12"))


def test_an_unset_realized_profit_is_none_and_a_zero_is_zero() -> None:
    from ib_insync import CommissionReport

    report = CommissionReport("a", commission=1.0, realizedPNL=UNSET)
    assert tr.to_execution(_fill(), report).realized_pnl is None
    report = CommissionReport("a", commission=1.0, realizedPNL=0.0)
    assert tr.to_execution(_fill(), report).realized_pnl == 0


def test_a_corrected_execution_gives_way_to_its_correction() -> None:
    ids = ["0000e0d5.5f3c.01.01", "0000e0d5.5f3d.01.01", "0000e0d5.5f3c.01.02", "simple.1", "simple.2", "a.b.c.d1"]
    executions = [tr.to_execution(_fill(name), None) for name in ids]
    kept = [execution.execution_id for execution in tr.without_corrected(executions)]
    assert kept == ["0000e0d5.5f3c.01.02", "0000e0d5.5f3d.01.01", "simple.1", "simple.2", "a.b.c.d1"]


def _details(**fields: Any) -> Any:
    from ib_insync import Contract, ContractDetails

    contract = Contract(conId=7, symbol="AAPL", localSymbol="AAPL", tradingClass="NMS")
    return ContractDetails(contract=contract, minTick=0.01, timeZoneId="US/Eastern", **fields)


def test_details_say_where_prices_come_from() -> None:
    stock = Instrument("AAPL")
    paper = tr.to_details(stock, [_details(industry="Paper market", subcategory="synthetic path, seed 7")])
    assert paper.data_origin == "synthetic path, seed 7"
    assert tr.to_details(stock, [_details(industry="Technology", subcategory="Computers")]).data_origin == "broker"
    assert (paper.con_id, paper.min_tick, paper.time_zone) == (7, Decimal("0.01"), "US/Eastern")


@pytest.mark.parametrize(
    ("security_type", "increment", "lot"),
    [("STK", 0.0001, "1"), ("STK", 100.0, "100"), ("STK", 0.0, "1"), ("CRYPTO", 1e-08, "1E-8")],
)
def test_the_lot_of_a_stock_is_whole_since_the_api_takes_no_fractions(
    security_type: Any, increment: float, lot: str
) -> None:
    details = tr.to_details(Instrument("X", security_type), [_details(sizeIncrement=increment)])
    assert details.lot_size == Decimal(lot)


def test_a_quote_has_none_where_there_is_no_price() -> None:
    from ib_insync import Ticker

    now = datetime(2026, 1, 5, 15, 30, tzinfo=UTC)
    quote = tr.to_quote("AAPL", Ticker(bid=math.nan, ask=-1.0, last=190.1, marketDataType=3), now)
    assert (quote.bid, quote.ask, quote.last, quote.is_delayed) == (None, None, Decimal("190.1"), True)
    assert not tr.to_quote("AAPL", Ticker(marketDataType=1), now).is_delayed


def test_bars_become_a_sorted_utc_frame_of_floats() -> None:
    from ib_insync import BarData

    later, earlier = datetime(2026, 1, 5, 15, 35, tzinfo=UTC), datetime(2026, 1, 5, 15, 30, tzinfo=UTC)
    frame = tr.to_frame([BarData(later, 1, 2, 0.5, 1.5, 100), BarData(earlier, 1, 2, 0.5, 1.5, UNSET)])
    assert list(frame.columns) == ["ts_utc", "open", "high", "low", "close", "volume"]
    assert str(frame["ts_utc"].dtype) == "datetime64[ns, UTC]"
    assert set(frame.dtypes[1:]) == {np.dtype("float64")}
    assert frame["ts_utc"].is_monotonic_increasing
    assert frame["volume"].tolist() == [0.0, 100.0]


def test_a_daily_bar_carries_midnight_utc_of_its_session() -> None:
    from ib_insync import BarData

    frame = tr.to_frame([BarData(date(2026, 1, 5), 1, 1, 1, 1, -1)])
    assert frame["ts_utc"][0] == datetime(2026, 1, 5, tzinfo=UTC)
    assert frame["volume"][0] == 0.0


def test_a_summary_with_a_missing_figure_is_an_error() -> None:
    values = dict.fromkeys(tr.SUMMARY_TAGS, ("1.5", "USD"))
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert tr.to_account_summary("DU1", values, now).net_liquidation == Decimal("1.5")
    with pytest.raises(BrokerError, match="BuyingPower"):
        tr.to_account_summary("DU1", {k: v for k, v in values.items() if k != "BuyingPower"}, now)
    with pytest.raises(BrokerError, match="TotalCashValue"):
        tr.to_account_summary("DU1", {**values, "TotalCashValue": ("", "USD")}, now)
