from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.base import RiskControl, name_of
from trading_platform.domain.orders.risk.context import Halt
from trading_platform.domain.orders.risk.controls.price_collar import PriceCollar
from trading_platform.domain.orders.risk.decision import decide, default_controls
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.spec import LimitsSpec
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
    return {"limits": LimitsSpec.model_validate(changes)}


def test_this_issue_s_controls_are_all_asked() -> None:
    assert list(CONTROLS) == [
        "BuyingPower",
        "DataValid",
        "FreshPrice",
        "FreshSignal",
        "MarketOpen",
        "MaxGrossExposure",
        "MaxOrderNotional",
        "MaxPositionNotional",
        "NoHalt",
        "PriceCollar",
        "ShortSaleAllowed",
        "TickAndLot",
    ]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_sound_intent_passes_and_the_numbers_are_kept_as_text(control: str) -> None:
    result = ask(control)
    assert (result.control, result.is_passed, result.reason) == (control, True, "")
    assert result.numbers
    assert all(isinstance(text, str) and "E+" not in text for text in result.numbers.values())


SELL = b.intent(side="SELL")
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
    assert not ask(PriceCollar(D("0.001")), b.intent(price="99")).is_passed
