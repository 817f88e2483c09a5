from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.domain.orders.model import ControlResult, OrderIntent, WhatIf
from trading_platform.domain.orders.risk.base import RiskControl, name_of
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, Halt, SessionHours
from trading_platform.domain.orders.risk.decision import decide, default_controls
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform_tests.domain.orders import builders as b

D = Decimal
CONTROLS = {name_of(control): control for control in default_controls()}


def ask(control: str | RiskControl, intent: OrderIntent | None = None, **changes: Any) -> ControlResult:
    asked = CONTROLS[control] if isinstance(control, str) else control
    (decision,) = decide([intent or b.intent()], b.context(**changes), [asked])
    (result,) = decision.results
    return result


def holding(quantity: str) -> dict[str, Any]:
    return {"strategy_positions": {"TSLA": D(quantity)}, "account_positions": {"TSLA": D(quantity)}}


def limits(**changes: Any) -> dict[str, Any]:
    return {"limits": Limits.model_validate(changes)}


def of_account(**changes: Any) -> dict[str, Any]:
    return {"account_limits": AccountLimits.model_validate(changes)}


def marks(start: str = "1000000", peak: str = "1000000") -> dict[str, Any]:
    return {"equity_marks": EquityMarks(D(start), D(peak))}


def hours(opened_minutes_ago: int, closes_in_minutes: int) -> dict[str, Any]:
    opens, closes = b.NOW - timedelta(minutes=opened_minutes_ago), b.NOW + timedelta(minutes=closes_in_minutes)
    return {"session": SessionHours(opens, closes, is_always_open=False)}


BOTH = {"TSLA": b.quote(), "IWM": b.quote("IWM")}


def limit_order(price: str, side: Any = "BUY") -> OrderIntent:
    return b.intent(side=side, order_type="LMT", limit_price=D(price))


def working_at(price: str, side: Any = "SELL") -> tuple[WorkingOrder, ...]:
    return (replace(b.working(side=side, strategy="other"), limit_price=D(price)),)


def test_this_issue_s_controls_are_all_asked() -> None:
    assert list(CONTROLS) == [
        "AllowedList",
        "BrokerMargin",
        "BuyingPower",
        "ConsecutiveLosses",
        "DataValid",
        "DuplicateOrder",
        "FreshBars",
        "FreshPrice",
        "FreshSignal",
        "LastPriceCollar",
        "LimitPriceCollar",
        "MarketOpen",
        "MaxConcentration",
        "MaxDailyLoss",
        "MaxDrawdown",
        "MaxGrossExposure",
        "MaxLeverage",
        "MaxNetExposure",
        "MaxOpenOrders",
        "MaxOrderNotional",
        "MaxOrderQuantity",
        "MaxOrdersPerDay",
        "MaxOrdersPerMinute",
        "MaxPositionNotional",
        "MaxPositionQuantity",
        "MaxSectorConcentration",
        "NoHalt",
        "OrderHours",
        "PriceCollar",
        "RestrictedList",
        "SelfCross",
        "ShortSaleAllowed",
        "TickAndLot",
        "TradingHalt",
    ]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_sound_intent_passes_and_the_numbers_are_kept_as_text(control: str) -> None:
    result = ask(control)
    assert (result.control, result.is_passed, result.reason) == (control, True, "")
    assert result.numbers
    assert all(isinstance(text, str) and "E+" not in text for text in result.numbers.values())


SELL = b.intent(side="SELL")
OTHER = b.intent("IWM")


def bars(newest: str) -> dict[str, Any]:
    """TSLA's newest bar is that of a time of the day; due is that of the tick."""
    hour, minute = map(int, newest.split(":"))
    return {"bars": DueBars(b.TICK, {"TSLA": b.TICK.replace(hour=hour, minute=minute)})}


def forecast(
    after: str = "0", *, refusal: str = "", others: dict[str, tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The broker's forecasts: margin after ``intent()`` with 1000 USD of equity; before and after other orders."""
    own = b.intent().client_order_id
    found = {own: WhatIf(own, D(0), D(after), equity_with_loan_after=D(1000), refusal=refusal)}
    found |= {name: WhatIf(name, D(first), D(last)) for name, (first, last) in (others or {}).items()}
    return {"what_ifs": found}


REFUSED: list[tuple[str, OrderIntent, dict[str, Any], str]] = [
    ("MarketOpen", b.intent(), {"is_market_open": False}, "the market of TSLA is closed"),
    ("MarketOpen", b.intent(), {"is_market_open": None}, "is not known"),
    ("NoHalt", b.intent(), {"halts": (Halt("drawdown", b.NOW),)}, "halted since 2013-02-28 20:45 UTC: drawdown"),
    ("NoHalt", b.intent(), {"halts": (Halt("x", b.NOW, strategy="tsla"),)}, "halted"),
    ("NoHalt", b.intent(), {"halts": (Halt("x", b.NOW, symbol="TSLA"),)}, "halted"),
    ("NoHalt", b.intent(), {"halts": None}, "halts could not be read"),
    ("NoHalt", SELL, {"halts": (Halt("x", b.NOW),)} | holding("9"), "halted"),
    ("DataValid", b.intent(), {"quarantined": frozenset({"TSLA"})}, "bars of TSLA are quarantined"),
    ("DataValid", b.intent(), {"quarantined": None}, "is not known"),
    ("FreshPrice", b.intent(), {"quotes": {}}, "no quote of TSLA"),
    ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(age=timedelta(seconds=121))}}, "121 s old, limit 120 s"),
    ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(age=timedelta(seconds=-6))}}, "6 s in the future"),
    ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(bid="-1", ask="NaN", last=None)}}, "holds no price"),
    ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(is_delayed=True)}}, "delayed"),
    ("FreshSignal", b.intent(), {"signal_time_utc": b.NOW - timedelta(seconds=901)}, "901 s old, limit 900 s"),
    ("FreshSignal", b.intent(), {"signal_time_utc": b.NOW + timedelta(seconds=60)}, "60 s in the future"),
    ("FreshSignal", b.intent(), {"signal_time_utc": None}, "is not known"),
    ("MaxOrderNotional", b.intent(), limits(max_order_notional_usd=1000), "order of 1000.10 USD, limit 1000 USD"),
    ("MaxOrderNotional", SELL, limits(max_order_notional_usd=999) | holding("10"), "order of"),
    ("MaxOrderNotional", b.intent(), {"quotes": {}}, "no quote of TSLA to value it at"),
    ("MaxOrderNotional", b.intent(quantity="NaN"), {}, "quantity is NaN"),
    ("MaxPositionNotional", b.intent(), limits(max_position_notional_usd=2000) | holding("10"), "2000.20 USD"),
    (
        "MaxPositionNotional",
        b.intent(),
        limits(max_position_notional_usd=2000) | {"working": (b.working(),)},
        "2000.20 USD, limit 2000 USD",
    ),
    ("MaxPositionNotional", b.intent(), {"quotes": {}}, "no quote"),
    ("MaxPositionNotional", b.intent(), {"strategy_positions": {"TSLA": D("NaN")}}, "position in TSLA is NaN"),
    (
        "MaxGrossExposure",
        b.intent(),
        limits(max_gross_exposure_usd=2000)
        | {"strategy_positions": {"IWM": D(-10)}, "quotes": {"TSLA": b.quote(), "IWM": b.quote("IWM")}},
        "2000.20 USD, limit 2000 USD",
    ),
    (
        "MaxGrossExposure",
        b.intent(),
        limits(max_gross_exposure_usd=2000)
        | {"working": (b.working("IWM"),), "quotes": {"TSLA": b.quote(), "IWM": b.quote("IWM")}},
        "2000.20 USD, limit 2000 USD",
    ),
    ("MaxGrossExposure", b.intent(), {"strategy_positions": {"IWM": D(1)}}, "no quote of IWM"),
    ("BuyingPower", b.intent(), {"account": b.summary("1000")}, "need 1000.10 USD, available are 1000.00 USD"),
    ("BuyingPower", b.intent(), {"account": b.summary("2000"), "working": (b.working(),)}, "need 2000.20 USD"),
    ("BuyingPower", SELL, {"account": b.summary("1000")}, "need 1000.10 USD"),
    ("BuyingPower", b.intent(), {"account": None}, "no account summary"),
    ("BuyingPower", b.intent(), {"account": b.summary("NaN")}, "available funds of the account is NaN"),
    ("ShortSaleAllowed", SELL, holding("9"), "sales of 10 against a holding of 9 would be short"),
    ("ShortSaleAllowed", SELL, holding("15") | {"working": (b.working(side="SELL"),)}, "sales of 20"),
    ("ShortSaleAllowed", SELL, {"working": (b.working(),)}, "sales of 10 against a holding of 0"),
    ("TickAndLot", b.intent(quantity="10.5"), {}, "not a multiple of the lot 1"),
    ("TickAndLot", b.intent(quantity="-1"), {}, "not positive"),
    ("TickAndLot", b.intent(order_type="LMT", limit_price=D("100.001")), {}, "limit price 100.001 is not a multiple"),
    ("TickAndLot", b.intent(order_type="LMT", limit_price=D(0)), {}, "limit price 0 is not positive"),
    ("TickAndLot", b.intent(order_type="LMT"), {}, "needs a limit price"),
    ("TickAndLot", b.intent(order_type="STP"), {}, "needs a stop price"),
    ("TickAndLot", b.intent(order_type="STP", stop_price=D("1.001")), {}, "stop price 1.001 is not a multiple"),
    ("TickAndLot", b.intent(), {"instruments": {}}, "no instrument details of TSLA"),
    ("TickAndLot", b.intent(), {"instruments": {"TSLA": b.details(lot="0")}}, "can't be evaluated"),
    ("PriceCollar", b.intent(price="95"), {}, "ask 100.01 is 5.3 % away from the decision price 95, limit 5.0 %"),
    ("PriceCollar", b.intent(side="SELL", price="106"), {}, "bid 99.99 is 5.7 % away"),
    ("PriceCollar", b.intent(order_type="LMT", limit_price=D(106)), {}, "limit price 106 is 6.0 % away"),
    ("PriceCollar", b.intent(order_type="STP", stop_price=D(94)), {}, "stop price 94 is 6.0 % away"),
    ("PriceCollar", b.intent(), {"quotes": {}}, "no quote of TSLA"),
    ("PriceCollar", b.intent(price="NaN"), {}, "decision price is NaN"),
    ("PriceCollar", b.intent(price="0"), {}, "decision price is 0"),
    ("PriceCollar", b.intent(), {"quotes": {"TSLA": b.quote(ask=None, last="120")}}, "price 120 is 20.0 %"),
    ("LastPriceCollar", b.intent(price="94"), {}, "decision price 94 is 6.0 % away from the last price 100, limit 5.0"),
    ("LastPriceCollar", b.intent(), {"quotes": {"TSLA": b.quote(last="110")}}, "9.1 % away from the last price 110"),
    ("LastPriceCollar", b.intent(), {"quotes": {}}, "can't be evaluated: no quote of TSLA"),
    ("LimitPriceCollar", limit_order("106"), {}, "limit price 106 is 6.0 % away from the last price 100, limit 5.0 %"),
    ("LimitPriceCollar", b.intent(order_type="STP", stop_price=D(94)), {}, "stop price 94 is 6.0 % away"),
    ("LimitPriceCollar", limit_order("100"), {"quotes": {}}, "can't be evaluated: no quote of TSLA"),
    ("MaxOrderQuantity", b.intent(), limits(max_order_quantity=9), "order of 10 units, limit 9"),
    ("MaxOrderQuantity", SELL, limits(max_order_quantity=9) | holding("10"), "order of 10 units"),
    ("MaxOrderQuantity", b.intent(quantity="NaN"), {}, "can't be evaluated: quantity is NaN"),
    ("MaxPositionQuantity", b.intent(), limits(max_position_quantity=19) | holding("10"), "strategy's holding in TSLA"),
    ("MaxPositionQuantity", b.intent(), of_account(max_position_quantity=19) | holding("10"), "20 units, limit 19"),
    ("MaxPositionQuantity", b.intent(), {"account_positions": {"TSLA": D("NaN")}}, "can't be evaluated"),
    (
        "MaxPositionNotional",
        b.intent(),
        of_account(max_position_notional_usd=2000) | {"account_positions": {"TSLA": D(10)}},
        "the account's holding in TSLA could reach 2000.20 USD, limit 2000 USD",
    ),
    (
        "MaxGrossExposure",
        b.intent(),
        of_account(max_gross_exposure_usd=2000) | {"account": b.summary(gross="1000")},
        "gross exposure of the account could reach 2000.10 USD, limit 2000 USD",
    ),
    ("MaxGrossExposure", b.intent(), {"account": None}, "can't be evaluated: no account summary"),
    ("MaxNetExposure", b.intent(), limits(max_net_exposure_usd=1000), "of the strategy could reach 1000.10 USD"),
    (
        "MaxNetExposure",
        b.intent(),
        of_account(max_net_exposure_usd=1000) | {"account_positions": {"IWM": D(10)}, "quotes": BOTH},
        "net exposure of the account could reach 2000.20 USD, limit 1000 USD",
    ),
    (
        "MaxNetExposure",
        SELL,
        limits(max_net_exposure_usd=1000)
        | {"strategy_positions": {"TSLA": D(10), "IWM": D(-20)}, "account_positions": {"TSLA": D(10)}, "quotes": BOTH},
        "could reach 2000.20 USD, limit 1000 USD",
    ),
    ("MaxNetExposure", b.intent(), {"strategy_positions": {"IWM": D(1)}}, "can't be evaluated: no quote of IWM"),
    ("MaxLeverage", b.intent(), {"account": b.summary(equity="1000")}, "leverage could reach 1.00 (gross 1000.10 USD)"),
    ("MaxLeverage", b.intent(), {"account": b.summary(gross="999000")}, "leverage could reach 1.00 (gross 1000000.10"),
    ("MaxLeverage", b.intent(), {"account": None}, "can't be evaluated: no account summary"),
    ("MaxLeverage", b.intent(), {"account": b.summary(equity="0")}, "can't be evaluated: equity of the account is 0"),
    ("MaxLeverage", b.intent(), {"account": b.summary(gross="NaN")}, "can't be evaluated: gross position value"),
    ("MaxConcentration", b.intent(), limits(max_concentration_pct="0.1"), "could reach 0.10 % of equity, limit 0.1 %"),
    (
        "MaxConcentration",
        b.intent(),
        of_account(max_concentration_pct="0.15") | {"account_positions": {"TSLA": D(10)}},
        "the account's holding in TSLA could reach 0.20 % of equity, limit 0.15 %",
    ),
    ("MaxConcentration", b.intent(), {"account": None}, "can't be evaluated: no account summary"),
    (
        "MaxSectorConcentration",
        b.intent(),
        of_account(max_sector_pct="0.15")
        | {"account_positions": {"IWM": D(10)}, "sectors": {"TSLA": "consumer", "IWM": "consumer"}, "quotes": BOTH},
        "consumer holdings could reach 0.20 % of equity, limit 0.15 %",
    ),
    ("MaxSectorConcentration", b.intent(), of_account(max_sector_pct="0.1"), "unclassified holdings could reach"),
    ("MaxSectorConcentration", b.intent(), {"account_positions": {"IWM": D(1)}}, "can't be evaluated: no quote of IWM"),
    ("RestrictedList", b.intent(), limits(restricted_symbols=["TSLA"]), "TSLA is on the restricted list"),
    ("RestrictedList", SELL, of_account(restricted_symbols=["TSLA"]) | holding("10"), "TSLA is on the restricted list"),
    ("AllowedList", b.intent(), limits(allowed_symbols=["IWM"]), "not on the strategy's list of allowed symbols"),
    ("AllowedList", b.intent(), of_account(allowed_symbols=[]), "not on the account's list of allowed symbols"),
    ("AllowedList", SELL, limits(allowed_symbols=[]) | holding("NaN"), "can't be evaluated: position in TSLA is NaN"),
    (
        "MaxOpenOrders",
        b.intent(),
        limits(max_open_orders=1) | {"working": (b.working("IWM"),)},
        "open orders of the strategy would be 2, limit 1",
    ),
    (
        "MaxOpenOrders",
        b.intent(),
        of_account(max_open_orders=2) | {"working": (replace(b.working("IWM"), client_order_id="", strategy=""),) * 2},
        "open orders of the account would be 3, limit 2",
    ),
    (
        "MaxOrdersPerMinute",
        b.intent(),
        limits(max_orders_per_minute=1) | {"recent_submissions": (b.submission("a", seconds_ago=59),)},
        "orders of the strategy per minute would be 2, limit 1",
    ),
    (
        "MaxOrdersPerMinute",
        b.intent(),
        of_account(max_orders_per_minute=1) | {"recent_submissions": (b.submission("a", strategy="other"),)},
        "orders of the account per minute would be 2, limit 1",
    ),
    ("MaxOrdersPerMinute", b.intent(), {"recent_submissions": None}, "can't be evaluated: what was sent recently"),
    (
        "MaxOrdersPerDay",
        b.intent(),
        limits(max_orders_per_day=1) | {"recent_submissions": (b.submission("a", seconds_ago=80_000),)},
        "orders of the strategy per day would be 2, limit 1",
    ),
    (
        "MaxOrdersPerDay",
        b.intent(),
        of_account(max_orders_per_day=1) | {"recent_submissions": (b.submission("a", strategy="other"),)},
        "orders of the account per day would be 2, limit 1",
    ),
    ("MaxOrdersPerDay", b.intent(), {"recent_submissions": None}, "can't be evaluated: what was sent recently"),
    ("DuplicateOrder", b.intent(), {"working": (b.working(),)}, "r9 is working still"),
    ("DuplicateOrder", b.intent(), {"recent_submissions": (b.submission("a", seconds_ago=59),)}, "a was sent at 20:44"),
    ("DuplicateOrder", b.intent(), {"approved": (b.intent(revision=1),)}, "r1 was approved in the same tick"),
    ("DuplicateOrder", b.intent(), {"recent_submissions": None}, "can't be evaluated: what was sent recently"),
    ("SelfCross", b.intent(), {"working": working_at("150")}, "could trade with our own SELL of 10 (other.TSLA"),
    ("SelfCross", limit_order("101"), {"working": working_at("101")}, "could trade with our own SELL"),
    ("SelfCross", limit_order("99", "SELL"), {"working": working_at("99", "BUY")}, "could trade with our own BUY"),
    ("SelfCross", SELL, {"approved": (b.intent(strategy="two"),)}, "could trade with our own BUY"),
    ("SelfCross", limit_order("101"), {"working": working_at("NaN")}, "can't be evaluated: limit price of other"),
    ("OrderHours", b.intent(), limits(no_orders_after_open_minutes=6) | hours(5, 60), "is outside the hours"),
    ("OrderHours", b.intent(), limits(no_orders_before_close_minutes=6) | hours(60, 5), "20:45:12 UTC is outside"),
    ("OrderHours", b.intent(), {"session": None}, "can't be evaluated: the hours of the session are not known"),
    ("MaxDailyLoss", b.intent(), marks(start="1100000"), "lost 9.09 % since the session's open (1100000.00 USD)"),
    ("MaxDailyLoss", b.intent(), of_account(max_daily_loss_pct=9) | marks(start="1100000"), "limit 9 %"),
    ("MaxDailyLoss", b.intent(), {"equity_marks": None}, "can't be evaluated: the equity at the session's open"),
    ("MaxDailyLoss", b.intent(), marks(start="0"), "can't be evaluated: equity at the session's open is 0"),
    ("MaxDailyLoss", b.intent(), {"account": None}, "can't be evaluated: no account summary"),
    ("MaxDrawdown", b.intent(), marks(peak="1200000"), "16.67 % below its peak of 1200000.00 USD, limit 15 %"),
    ("MaxDrawdown", b.intent(), {"equity_marks": None}, "can't be evaluated: the account's highest equity"),
    ("ConsecutiveLosses", b.intent(), {"closed_trades": b.trades(1, -1, -1, -1, -1, -1)}, "5 losing trades in a row"),
    (
        "ConsecutiveLosses",
        b.intent(),
        limits(max_consecutive_losses=2) | {"closed_trades": b.trades(-1, -1, minutes_ago=59)},
        "paused until 2013-02-28 20:46 UTC",
    ),
    ("ConsecutiveLosses", b.intent(), {"closed_trades": None}, "can't be evaluated: the closed trades of tsla"),
    ("FreshBars", b.intent(), bars("20:35"), "newest bar of TSLA is that of 2013-02-28 20:35 UTC, due is that of"),
    (
        "FreshBars",
        b.intent(),
        {"bars": DueBars(b.TICK, {})},
        "there is no bar of TSLA, due is that of 2013-02-28 20:45",
    ),
    ("FreshBars", SELL, bars("20:35") | holding("10"), "newest bar of TSLA"),
    ("FreshBars", b.intent(), {"bars": None}, "can't be evaluated: which bars are there is not known"),
    ("TradingHalt", b.intent(), {"quotes": {"TSLA": replace(b.quote(), is_halted=True)}}, "trading in TSLA is halted"),
    ("TradingHalt", SELL, {"quotes": {"TSLA": replace(b.quote(), is_halted=True)}} | holding("10"), "is halted"),
    ("BrokerMargin", b.intent(), forecast(refusal="201: margin"), "the broker would refuse it: 201: margin"),
    (
        "BrokerMargin",
        b.intent(),
        forecast(after="1001"),
        "ask for 1001.00 USD of margin, equity with loan value is 1000",
    ),
    (
        "BrokerMargin",
        b.intent(),
        forecast(after="600", others={OTHER.client_order_id: ("100", "501")}) | {"approved": (OTHER,)},
        "ask for 1001.00 USD of margin",
    ),
    ("BrokerMargin", b.intent(), forecast(after="NaN"), "can't be evaluated: initial margin after the order is NaN"),
]


@pytest.mark.parametrize(("control", "intent", "changes", "says"), REFUSED)
def test_a_violation_is_refused_with_a_sentence_that_names_limit_and_value(
    control: str, intent: OrderIntent, changes: dict[str, Any], says: str
) -> None:
    result = ask(control, intent, **changes)
    assert not result.is_passed
    assert says in result.reason


def test_every_control_has_a_violation_in_the_table_above() -> None:
    assert {row[0] for row in REFUSED} == set(CONTROLS)


@pytest.mark.parametrize(
    ("control", "intent", "changes"),
    [
        ("NoHalt", b.intent(), {"halts": (Halt("x", b.NOW, strategy="other"), Halt("x", b.NOW, symbol="IWM"))}),
        ("NoHalt", SELL, {"halts": (Halt("x", b.NOW),)} | holding("10")),
        ("NoHalt", b.intent(), {"halts": (Halt("x", b.NOW),)} | holding("-10")),
        ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(age=timedelta(seconds=120))}}),
        ("FreshPrice", b.intent(), {"quotes": {"TSLA": b.quote(age=timedelta(seconds=-2))}}),
        ("MaxPositionNotional", SELL, limits(max_position_notional_usd=500) | holding("20")),
        ("MaxGrossExposure", SELL, limits(max_gross_exposure_usd=500) | holding("20")),
        ("BuyingPower", SELL, {"account": b.summary("0")} | holding("20")),
        ("BuyingPower", b.intent(), {"account": b.summary("1001")}),
        ("ShortSaleAllowed", SELL, holding("10")),
        ("ShortSaleAllowed", SELL, limits(is_short_allowed=True)),
        ("ShortSaleAllowed", b.intent(), holding("-20")),
        ("PriceCollar", b.intent(price="95.3"), {}),
        ("LastPriceCollar", b.intent(price="95"), {}),
        ("LimitPriceCollar", limit_order("105"), {}),
        ("LimitPriceCollar", b.intent(), {"quotes": {}}),
        ("MaxOrderQuantity", b.intent(), limits(max_order_quantity=10)),
        ("MaxPositionQuantity", SELL, limits(max_position_quantity=5) | holding("20")),
        ("MaxPositionQuantity", b.intent(), limits(max_position_quantity=20) | holding("10")),
        ("MaxNetExposure", SELL, limits(max_net_exposure_usd=500) | holding("20")),
        (
            "MaxNetExposure",
            b.intent(),
            limits(max_net_exposure_usd=500) | holding("-5"),
        ),
        ("MaxNetExposure", b.intent(), {"account_positions": {"XYZ": D(10)}}),
        ("MaxLeverage", SELL, {"account": b.summary(equity="1", gross="2000")} | holding("20")),
        ("MaxConcentration", SELL, limits(max_concentration_pct="0.01") | holding("20")),
        ("MaxSectorConcentration", SELL, of_account(max_sector_pct="0.01") | holding("20")),
        (
            "MaxSectorConcentration",
            b.intent(),
            of_account(max_sector_pct="0.15") | {"account_positions": {"IWM": D(10)}, "sectors": {"TSLA": "consumer"}},
        ),
        ("AllowedList", b.intent(), limits(allowed_symbols=["TSLA"])),
        ("AllowedList", SELL, of_account(allowed_symbols=["IWM"]) | holding("10")),
        ("RestrictedList", b.intent(), limits(restricted_symbols=["IWM"])),
        ("MaxOpenOrders", b.intent(), limits(max_open_orders=1) | {"working": (b.working(strategy="other"),)}),
        (
            "MaxOrdersPerMinute",
            b.intent(),
            limits(max_orders_per_minute=1) | {"recent_submissions": (b.submission("a", seconds_ago=60),)},
        ),
        (
            "MaxOrdersPerDay",
            b.intent(),
            limits(max_orders_per_day=1) | {"recent_submissions": (b.submission(b.intent().client_order_id),)},
        ),
        ("DuplicateOrder", b.intent(), {"recent_submissions": (b.submission("a", seconds_ago=60),)}),
        ("DuplicateOrder", b.intent(), {"recent_submissions": (b.submission("a", quantity="11"),)}),
        ("DuplicateOrder", b.intent(), {"recent_submissions": (b.submission("a", strategy="other"),)}),
        ("DuplicateOrder", b.intent(), {"recent_submissions": (b.submission(b.intent().client_order_id),)}),
        ("SelfCross", limit_order("100.99"), {"working": working_at("101")}),
        ("SelfCross", b.intent(), {"working": (b.working(strategy="other"), b.working("IWM", "SELL"))}),
        ("OrderHours", SELL, limits(no_orders_before_close_minutes=6) | hours(60, 5) | holding("10")),
        ("OrderHours", b.intent(), {"session": SessionHours(b.NOW, b.NOW, is_always_open=True)}),
        ("MaxDailyLoss", SELL, marks(start="2000000") | holding("10")),
        ("MaxDailyLoss", b.intent(), marks(start="1030000")),
        ("MaxDrawdown", SELL, marks(peak="2000000") | holding("10")),
        ("MaxDrawdown", b.intent(), marks(peak="900000")),
        ("ConsecutiveLosses", SELL, {"closed_trades": b.trades(-1, -1, -1, -1, -1)} | holding("10")),
        ("ConsecutiveLosses", b.intent(), {"closed_trades": b.trades(-1, -1, -1, -1, -1, minutes_ago=60)}),
        ("ConsecutiveLosses", b.intent(), {"closed_trades": b.trades(-1, -1, -1, -1, 0)}),
        ("FreshBars", b.intent(), bars("20:45")),
        ("FreshBars", b.intent(), bars("20:50")),
        ("TradingHalt", b.intent(), {"quotes": {"TSLA": replace(b.quote(), is_halted=False)}}),
        ("TradingHalt", b.intent(), {"quotes": {}}),
        ("BrokerMargin", b.intent(), forecast(after="1000")),
        ("BrokerMargin", b.intent(), {"what_ifs": {b.intent().client_order_id: WhatIf("without figures")}}),
        ("BrokerMargin", b.intent(), {}),
        ("BrokerMargin", SELL, forecast(refusal="no") | holding("10")),
    ],
)
def test_what_is_within_the_limit_or_only_reduces_passes(
    control: str, intent: OrderIntent, changes: dict[str, Any]
) -> None:
    assert ask(control, intent, **changes).is_passed


@pytest.mark.parametrize(
    "changes",
    [
        holding("10") | {"working": (b.working(side="SELL", quantity="1"),)},
        {"strategy_positions": {"TSLA": D(10)}, "account_positions": {"TSLA": D(5)}},
        {"strategy_positions": {"TSLA": D(10)}, "account_positions": {}},
        {"strategy_positions": {}, "account_positions": {"TSLA": D(10)}},
    ],
)
def test_a_sale_that_could_open_a_short_is_not_let_through_a_halt(changes: dict[str, Any]) -> None:
    assert not ask("NoHalt", SELL, halts=(Halt("x", b.NOW),), **changes).is_passed


def test_other_strategies_orders_count_for_the_account_and_not_for_the_strategy() -> None:
    others = (b.working(quantity="100", strategy="other"),)
    assert ask("MaxPositionNotional", working=others, **limits(max_position_notional_usd=2000)).is_passed
    assert not ask("BuyingPower", working=others, account=b.summary("5000")).is_passed


def test_an_intent_judged_again_at_submission_does_not_count_twice() -> None:
    stored = (WorkingOrder.from_intent(b.intent()),)
    for control in ("MaxPositionNotional", "MaxGrossExposure"):
        tight = limits(max_position_notional_usd=1500, max_gross_exposure_usd=1500)
        assert ask(control, working=stored, **tight).is_passed
        assert not ask(control, b.intent(revision=1), working=stored, **tight).is_passed
    assert ask("BuyingPower", working=stored, account=b.summary("1500")).is_passed
    sale = (WorkingOrder.from_intent(SELL),)
    assert ask("ShortSaleAllowed", SELL, working=sale, **holding("10")).is_passed


def test_the_collar_s_width_can_be_chosen() -> None:
    assert not ask("PriceCollar", b.intent(price="99"), **limits(max_price_deviation_pct="0.1")).is_passed


def test_without_a_forecast_of_the_broker_the_numbers_say_who_decided() -> None:
    assert ask("BrokerMargin").numbers == {"what_if": "not available: decided by our own arithmetic"}
