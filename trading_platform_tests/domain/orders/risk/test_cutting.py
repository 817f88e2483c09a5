"""An order is as large as the limits leave room for: not a lot more, not a lot less."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.orders.intents import build_intents
from trading_platform.domain.orders.model import ControlResult, OrderIntent, WhatIf
from trading_platform.domain.orders.risk.base import QuantityLimit, name_of, verdict
from trading_platform.domain.orders.risk.books import approve
from trading_platform.domain.orders.risk.context import EquityMarks, RiskContext, is_reducing, strategy_reach
from trading_platform.domain.orders.risk.cutting import CUT, cut_to_limits, decide_cut, judge, judge_again
from trading_platform.domain.orders.risk.decision import decide, default_controls
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.signals.model import Signal
from trading_platform_tests.domain.orders import builders as b

D = Decimal
LIMITS = [control for control in default_controls() if isinstance(control, QuantityLimit)]
PRICES = {"TSLA": D(100), "IWM": D(20), "AAPL": D(400)}
SECTORS = {"TSLA": "one", "AAPL": "one"}


def sized(intent: OrderIntent, quantity: Decimal) -> OrderIntent:
    return replace(intent, request=replace(intent.request, quantity=quantity))


def passes(intent: OrderIntent, context: RiskContext) -> bool:
    return all(control.evaluate(intent, context).is_passed for control in LIMITS)


def cut_of(intent: OrderIntent, **changes: Any) -> tuple[Decimal, str]:
    """The quantity that is decided on, and the control that it was cut for."""
    ((chosen, decision),) = decide_cut([intent], b.context(**changes))
    noted = [result.numbers["binding_control"] for result in decision.results if result.control == CUT]
    return chosen.request.quantity, "".join(noted)


def test_the_controls_that_cut_are_those_of_quantity_and_money() -> None:
    assert [name_of(control) for control in LIMITS] == [
        "BuyingPower",
        "MaxConcentration",
        "MaxGrossExposure",
        "MaxLeverage",
        "MaxNetExposure",
        "MaxOrderNotional",
        "MaxOrderQuantity",
        "MaxPositionNotional",
        "MaxPositionQuantity",
        "MaxSectorConcentration",
    ]


@pytest.mark.parametrize(
    ("changes", "quantity", "control"),
    [
        ({}, "100", ""),
        ({"limits": Limits(max_order_quantity=D(60))}, "60", "MaxOrderQuantity"),
        ({"limits": Limits(max_order_notional_usd=D(6000))}, "59", "MaxOrderNotional"),  # at the ask, 100.01
        ({"limits": Limits(max_position_quantity=D(50))}, "50", "MaxPositionQuantity"),
        ({"limits": Limits(max_position_notional_usd=D(4001))}, "40", "MaxPositionNotional"),
        ({"limits": Limits(max_gross_exposure_usd=D(3001))}, "30", "MaxGrossExposure"),
        ({"limits": Limits(max_net_exposure_usd=D(2001))}, "20", "MaxNetExposure"),
        ({"limits": Limits(max_concentration_pct=D("0.1001"))}, "10", "MaxConcentration"),
        ({"account_limits": AccountLimits(max_sector_pct=D("0.1001"))}, "10", "MaxSectorConcentration"),
        ({"account_limits": AccountLimits(max_leverage=D("0.005"))}, "49", "MaxLeverage"),
        ({"account": b.summary("3001")}, "30", "BuyingPower"),
        ({"account": b.summary("3001"), "working": (b.working("TSLA", quantity="10", strategy="x"),)}, "20", ""),
        ({"limits": Limits(max_order_quantity=D(60), max_position_quantity=D(50))}, "50", "MaxPositionQuantity"),
    ],
)
def test_an_order_is_cut_to_the_tightest_limit_and_says_which(
    changes: dict[str, Any], quantity: str, control: str
) -> None:
    cut, binding = cut_of(b.intent(quantity="100"), **changes)
    assert cut == D(quantity)
    assert binding == (control or ("BuyingPower" if cut < 100 else ""))


def test_a_cut_is_stored_with_the_quantity_that_was_wanted_and_the_limit_s_words() -> None:
    ((_, decision),) = decide_cut([b.intent(quantity="100")], b.context(limits=Limits(max_order_quantity=D(60))))
    assert decision.is_approved
    assert decision.reasons == ()
    assert decision.results[-1].numbers == {
        "wanted_quantity": "100",
        "quantity": "60",
        "binding_control": "MaxOrderQuantity",
        "binding_reason": "order of 100 units, limit 60",
    }


def test_what_can_not_be_cut_to_a_lot_or_to_a_trade_worth_making_is_rejected_whole() -> None:
    tight = b.context(limits=Limits(max_order_notional_usd=D(1000)))
    for lot, smallest in (("10", D(0)), ("1", D(950))):
        context = replace(tight, instruments={"TSLA": b.details(lot=lot)})
        ((intent, decision),) = decide_cut([b.intent(quantity="100")], context, smallest_trade_usd=smallest)
        assert intent.request.quantity == 100
        assert decision.reason_codes == ("MaxOrderNotional",)
        assert all(result.control != CUT for result in decision.results)


def test_a_limit_that_can_not_be_evaluated_cuts_nothing_and_rejects() -> None:
    context = b.context(account=None, limits=Limits(max_order_quantity=D(60)))
    ((intent, decision),) = decide_cut([b.intent(quantity="100")], context)
    assert intent.request.quantity == 100
    assert not decision.is_approved


def test_a_limit_that_is_not_of_quantity_cuts_nothing() -> None:
    ((intent, decision),) = decide_cut([b.intent(quantity="100", price="120")], b.context())
    assert intent.request.quantity == 100
    assert set(decision.reason_codes) == {"LastPriceCollar", "PriceCollar"}


def test_of_a_flip_the_part_that_the_limits_allow_is_left() -> None:
    held = {"TSLA": D(30)}
    limits = Limits(max_position_quantity=D(50), is_short_allowed=True)
    flip = b.intent(side="SELL", quantity="130")
    assert cut_of(flip, limits=limits, strategy_positions=held, account_positions=held)[0] == 80


def test_orders_of_one_tick_share_what_is_left() -> None:
    intents = [b.intent(symbol, quantity="50") for symbol in ("TSLA", "IWM", "AAPL")]
    context = b.context(
        limits=Limits(max_gross_exposure_usd=D(12_001)),
        quotes={symbol: b.flat_quote(symbol, D(100)) for symbol in PRICES},
        instruments={symbol: b.details(symbol) for symbol in PRICES},
    )
    judged = decide_cut(intents, context)
    assert [intent.request.quantity for intent, _ in judged] == [50, 50, 20]
    assert all(decision.is_approved for _, decision in judged)


def test_what_another_control_rejects_takes_no_room() -> None:
    intents = [b.intent("TSLA", quantity="50"), b.intent("IWM", quantity="50")]
    context = b.context(
        limits=Limits(max_gross_exposure_usd=D(6000), restricted_symbols=frozenset({"TSLA"})),
        quotes={symbol: b.flat_quote(symbol, D(100)) for symbol in ("TSLA", "IWM")},
        instruments={symbol: b.details(symbol) for symbol in ("TSLA", "IWM")},
    )
    (_, refused), (second, _) = decide_cut(intents, context)
    assert not refused.is_approved
    assert second.request.quantity == 50


def test_a_spec_can_ask_for_rejection_instead() -> None:
    context = b.context(limits=Limits(max_order_quantity=D(60)))
    ((cut, approved),) = judge([b.intent(quantity="100")], context, b.spec())
    ((whole, rejected),) = judge([b.intent(quantity="100")], context, b.spec(sizing={"on_limit": "reject"}))
    assert (cut.request.quantity, approved.is_approved) == (60, True)
    assert (whole.request.quantity, rejected.reason_codes) == (100, ("MaxOrderQuantity",))


def test_judged_again_with_the_broker_s_word_a_cut_order_keeps_its_size_and_its_note() -> None:
    context = b.context(limits=Limits(max_order_quantity=D(60)))
    judged = judge([b.intent(quantity="100")], context, b.spec())
    name = b.intent().client_order_id
    ((intent, decision),) = judge_again(judged, replace(context, what_ifs={name: WhatIf(name, refusal="no")}))
    assert intent.request.quantity == 60
    assert decision.reason_codes == ("BrokerMargin",)
    assert decision.results[-1].control == CUT


class Broken(QuantityLimit):
    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        if intent.request.quantity < 5:
            raise ZeroDivisionError("a bug")  # noqa: EM101
        return verdict(self, "never")


def test_a_control_that_breaks_while_it_is_asked_cuts_nothing() -> None:
    assert cut_to_limits(b.intent(), b.context(), [Broken()]) is None


signed = st.integers(-300, 300).map(Decimal)
symbols = st.sampled_from(sorted(PRICES))
limits = st.fixed_dictionaries(
    {},
    optional={
        "max_order_quantity": st.integers(1, 200),
        "max_order_notional_usd": st.integers(100, 40_000),
        "max_position_quantity": st.integers(1, 400),
        "max_position_notional_usd": st.integers(100, 60_000),
        "max_gross_exposure_usd": st.integers(100, 90_000),
        "max_net_exposure_usd": st.integers(100, 60_000),
        "max_concentration_pct": st.integers(1, 100),
        "is_short_allowed": st.booleans(),
    },
)
account_extra = st.fixed_dictionaries(
    {}, optional={"max_leverage": st.sampled_from(["0.2", "1", "2"]), "max_sector_pct": st.integers(1, 100)}
)
asked = st.lists(st.tuples(symbols, st.sampled_from(["BUY", "SELL"]), st.integers(1, 2000)), min_size=1, max_size=6)


@st.composite
def contexts(draw: st.DrawFn) -> RiskContext:
    lot = draw(st.sampled_from(["1", "10", "0.5"]))
    own = draw(st.dictionaries(symbols, signed))
    foreign = draw(st.dictionaries(symbols, signed))
    orders = draw(st.lists(st.tuples(symbols, st.sampled_from(["BUY", "SELL"]), st.integers(1, 100)), max_size=4))
    equity = draw(st.sampled_from([D(20_000), D(100_000)]))
    own_limits = draw(limits)
    return b.context(
        limits=Limits.model_validate(own_limits),
        account_limits=AccountLimits.model_validate(draw(limits) | draw(account_extra)),
        account=b.summary(available=draw(st.integers(0, 80_000)), equity=equity),
        quotes={symbol: b.flat_quote(symbol, price) for symbol, price in PRICES.items()},
        instruments={symbol: b.details(symbol, lot=lot) for symbol in PRICES},
        strategy_positions=own,
        account_positions={s: own.get(s, D(0)) + foreign.get(s, D(0)) for s in PRICES},
        working=tuple(
            replace(b.working(symbol, side, str(quantity), strategy=who), client_order_id=f"w{i}")
            for i, (symbol, side, quantity) in enumerate(orders)
            for who in [("tsla", "other")[i % 2]]
        ),
        sectors=SECTORS,
    )


def orders_of(wanted: list[tuple[str, Any, int]], context: RiskContext) -> list[OrderIntent]:
    """Whole lots of what was drawn."""
    lot = context.instruments["TSLA"].lot_size
    return [
        b.intent(symbol, side, number * lot, price=PRICES[symbol], revision=i)
        for i, (symbol, side, number) in enumerate(wanted)
    ]


@settings(deadline=None, max_examples=150)
@given(contexts(), asked)
def test_a_cut_order_passes_every_limit_and_one_more_lot_does_not(
    context: RiskContext, wanted: list[tuple[str, Any, int]]
) -> None:
    for intent, decision in zip(
        orders_of(wanted, context), decide_cut(orders_of(wanted, context), context), strict=True
    ):
        chosen, verdicts = decision
        lot = context.instruments[intent.request.symbol].lot_size
        assert chosen.request.quantity % lot == 0
        assert 0 < chosen.request.quantity <= intent.request.quantity
        if chosen.request.quantity < intent.request.quantity:
            assert passes(chosen, context)
            assert not passes(sized(chosen, chosen.request.quantity + lot), context)
        elif not passes(chosen, context):
            assert not verdicts.is_approved
            assert not passes(sized(chosen, lot), context), "a single lot would have fitted"
        if verdicts.is_approved:
            context = approve(chosen, context)


@settings(deadline=None, max_examples=150)
@given(contexts(), symbols, st.sampled_from(["BUY", "SELL"]), st.integers(1, 1000), st.integers(1, 1000))
def test_what_a_limit_of_quantity_passes_it_passes_when_smaller(
    context: RiskContext, symbol: str, side: Any, one: int, two: int
) -> None:
    small, large = orders_of([(symbol, side, min(one, two)), (symbol, side, max(one, two))], context)
    for control in LIMITS:
        if control.evaluate(large, context).is_passed:
            assert control.evaluate(small, context).is_passed, name_of(control)


@settings(deadline=None, max_examples=100)
@given(contexts(), asked)
def test_sums_carried_from_order_to_order_are_the_sums_done_anew(
    context: RiskContext, wanted: list[tuple[str, Any, int]]
) -> None:
    intents = orders_of(wanted, context)
    carried = decide(intents, context, LIMITS)
    for intent, decision in zip(intents, carried, strict=True):
        (afresh,) = decide([intent], replace(context), LIMITS)
        assert afresh == decision
        if decision.is_approved:
            context = replace(context, approved=(*context.approved, intent))


METHODS: list[dict[str, Any]] = [
    {"method": "percent_of_equity"},
    {"method": "fixed_notional", "notional_usd": 30_000},
    {"method": "fixed_quantity", "quantity": 500},
    {"method": "volatility_target", "target_volatility": "0.2"},
    {"method": "atr_risk", "risk_fraction": "0.01"},
    {"method": "fractional_kelly", "payoff_ratio": 1},
]


def sized_and_judged(
    sizing: dict[str, Any], signals: list[Signal], context: RiskContext, equity: Decimal
) -> dict[str, Decimal]:
    """Signed quantities of the approved orders of a tick, by symbol."""
    spec = b.spec(sizing=sizing | {"equity_fraction": 1}, universe=tuple(PRICES))
    plan = build_intents(
        signals,
        spec,
        equity=equity,
        positions=context.strategy_positions,
        working=context.working,
        quotes=context.quotes,
        instruments=context.instruments,
        tick=b.TICK,
        as_of=b.NOW,
        session=b.SESSION,
        account=b.ACCOUNT,
    )
    return {
        intent.request.symbol: intent.request.quantity * (1 if intent.request.side == "BUY" else -1)
        for intent, decision in judge(plan.intents, context, spec)
        if decision.is_approved
    }


measured = st.builds(
    lambda weight, volatility, atr, confidence: {
        "target_weight": weight,
        "side": "LONG" if weight > 0 else "SHORT" if weight < 0 else "FLAT",
        "volatility": volatility,
        "atr": atr,
        "confidence": confidence,
    },
    st.floats(-1, 1),
    st.floats(1e-4, 0.1),
    st.floats(0.1, 50),
    st.floats(0, 1),
)


@settings(deadline=None, max_examples=150)
@given(contexts(), st.sampled_from(METHODS), st.lists(measured, min_size=3, max_size=3))
def test_whatever_a_method_asks_for_the_orders_of_a_tick_together_keep_every_limit(
    context: RiskContext, sizing: dict[str, Any], inputs: list[dict[str, Any]]
) -> None:
    signals = [
        replace(b.signal(symbol, price=float(price)), **changes)
        for (symbol, price), changes in zip(PRICES.items(), inputs, strict=True)
    ]
    assert context.account is not None
    approved = sized_and_judged(sizing, signals, context, context.account.net_liquidation)
    limits = context.limits
    for symbol, quantity in approved.items():
        assert abs(quantity) <= limits.max_order_quantity
        assert abs(quantity) * PRICES[symbol] <= limits.max_order_notional_usd
    opened = {
        symbol: quantity
        for symbol, quantity in approved.items()
        if not is_reducing(b.intent(symbol, "BUY" if quantity > 0 else "SELL", abs(quantity)), context)
    }
    pending = {symbol: strategy_reach(symbol, None, "tsla", context) for symbol in PRICES}
    gross = D(0)
    for symbol, reach in pending.items():
        signed = approved.get(symbol, D(0))
        largest = max(abs(reach.highest + max(signed, D(0))), abs(reach.lowest + min(signed, D(0))))
        gross += largest * PRICES[symbol]
        if symbol in opened:
            assert largest <= limits.max_position_quantity
            assert largest * PRICES[symbol] <= limits.max_position_notional_usd
    if opened:
        assert gross <= limits.max_gross_exposure_usd


@settings(deadline=None, max_examples=100)
@given(limits, st.sampled_from(METHODS), measured, st.integers(1_000, 10**6), st.integers(0, 10**6))
def test_more_equity_never_makes_an_order_smaller_whatever_cuts_it(
    own: dict[str, Any], sizing: dict[str, Any], inputs: dict[str, Any], equity: int, more: int
) -> None:
    signal = replace(b.signal(), **inputs)

    def bought(money: Decimal) -> Decimal:
        context = b.context(
            limits=Limits.model_validate(own),
            account=b.summary(available=money, equity=money),
            equity_marks=EquityMarks(money, money),
        )
        return abs(sized_and_judged(sizing, [signal], context, money).get("TSLA", D(0)))

    assert bought(D(equity + more)) >= bought(D(equity))
