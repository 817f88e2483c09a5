from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk import decision as module
from trading_platform.domain.orders.risk.base import verdict
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError
from trading_platform.domain.orders.risk.decision import NoControlError, decide, default_controls
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform_tests.domain.orders import builders as b

D = Decimal


class Passes:
    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        return verdict(self, None, approved=len(context.approved))


class Refuses:
    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        return verdict(self, "never")


class Breaks:
    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        raise ZeroDivisionError("a bug")  # noqa: EM101


class Lacks:
    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        raise UnevaluableError("no wind")  # noqa: EM101


def test_an_intent_that_every_control_passes_is_approved() -> None:
    (decision,) = decide([b.intent()], b.context())
    assert decision.is_approved
    assert decision.client_order_id == b.intent().client_order_id
    assert len(decision.results) == len(default_controls())


def test_no_control_is_no_approval() -> None:
    assert not decide([b.intent()], b.context(), [])[0].is_approved


def test_every_control_is_asked_even_after_one_has_refused() -> None:
    (decision,) = decide([b.intent()], b.context(), [Refuses(), Passes(), Refuses()])
    assert [result.is_passed for result in decision.results] == [False, True, False]
    assert decision.reasons == ("Refuses: never", "Refuses: never")


@pytest.mark.parametrize(
    ("control", "says"),
    [(Breaks(), "can't be evaluated: ZeroDivisionError: a bug"), (Lacks(), "can't be evaluated: no wind")],
)
def test_a_control_that_breaks_rejects(control: Any, says: str) -> None:
    (decision,) = decide([b.intent()], b.context(), [Passes(), control])
    assert not decision.is_approved
    assert decision.results[1].reason == says


def test_only_approved_intents_count_for_those_after_them() -> None:
    intents = [b.intent(quantity=quantity, revision=i) for i, quantity in enumerate(["10", "0.5", "9", "11"])]
    decisions = decide(intents, b.context(limits=Limits(max_position_notional_usd=D(2100))))
    assert [decision.is_approved for decision in decisions] == [True, False, True, False]
    assert any("TickAndLot" in reason for reason in decisions[1].reasons)
    assert any("MaxPositionNotional" in reason for reason in decisions[3].reasons)


def test_a_file_without_a_control_does_not_go_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    default_controls.cache_clear()
    monkeypatch.setattr(module.importlib, "import_module", ModuleType)
    with pytest.raises(NoControlError, match="end the file with CONTROL"):
        default_controls()
    monkeypatch.undo()
    assert default_controls()


SYMBOLS = ("AAA", "BBB", "CCC")
quantities = st.integers(-30, 30).map(Decimal)
orders = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS), st.sampled_from(["BUY", "SELL"]), st.integers(1, 40), st.sampled_from(["tsla", "two"])
    ),
    max_size=4,
)


def furthest(
    position: Decimal, symbol: str, pending: Iterable[WorkingOrder], strategy: str | None
) -> tuple[Decimal, Decimal]:
    """The lowest and highest holding that pending orders alone can lead to."""
    moves = [
        order.signed_quantity for order in pending if order.symbol == symbol and strategy in (None, order.strategy)
    ]
    return position + sum(min(move, D(0)) for move in moves), position + sum(max(move, D(0)) for move in moves)


def grew(before: dict[str, Decimal], after: dict[str, Decimal], symbol: str) -> bool:
    return abs(after[symbol]) > abs(before[symbol])


@settings(deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["BUY", "SELL"]), st.integers(1, 40)),
        min_size=1,
        max_size=10,
    ),
    pending=orders,
    held=st.tuples(quantities, quantities, quantities),
    elsewhere=st.tuples(quantities, quantities, quantities),
    prices=st.tuples(*[st.decimals("1", "500", places=2)] * 3),
    limits=st.builds(
        Limits,
        max_order_notional_usd=st.integers(100, 20_000).map(Decimal),
        max_position_notional_usd=st.integers(100, 30_000).map(Decimal),
        max_gross_exposure_usd=st.integers(100, 60_000).map(Decimal),
        is_short_allowed=st.booleans(),
    ),
    available=st.integers(0, 50_000).map(Decimal),
    fills=st.lists(st.booleans(), min_size=14, max_size=14),
)
def test_no_subset_of_what_one_tick_approves_and_what_is_pending_breaks_a_limit_by_filling(
    *,
    asked: list[tuple[str, Any, int]],
    pending: list[tuple[str, Any, int, str]],
    held: tuple[Decimal, ...],
    elsewhere: tuple[Decimal, ...],
    prices: tuple[Decimal, ...],
    limits: Limits,
    available: Decimal,
    fills: list[bool],
) -> None:
    """The law of risk control, stated without its arithmetic: let any orders fill and look at the holdings."""
    price = dict(zip(SYMBOLS, prices, strict=True))
    mine = dict(zip(SYMBOLS, held, strict=True))
    account = {symbol: mine[symbol] + other for symbol, other in zip(SYMBOLS, elsewhere, strict=True)}
    working = tuple(b.working(symbol, side, str(quantity), strategy) for symbol, side, quantity, strategy in pending)
    intents = [
        b.intent(symbol, side, D(quantity), price=price[symbol], revision=10 + i)
        for i, (symbol, side, quantity) in enumerate(asked)
    ]
    context = b.context(
        limits=limits,
        account=b.summary(available),
        quotes={symbol: b.flat_quote(symbol, price[symbol]) for symbol in SYMBOLS},
        instruments={symbol: b.details(symbol) for symbol in SYMBOLS},
        strategy_positions=mine,
        account_positions=account,
        working=working,
    )
    decisions = decide(intents, context)
    approved = [intent for intent, decision in zip(intents, decisions, strict=True) if decision.is_approved]
    if not approved:
        return

    mine_after, account_after = dict(mine), dict(account)
    signed = [(order.symbol, order.signed_quantity, order.strategy == "tsla") for order in working]
    signed += [
        (intent.request.symbol, intent.request.quantity * (1 if intent.request.side == "BUY" else -1), True)
        for intent in approved
    ]
    for is_filled, (symbol, quantity, is_mine) in zip(fills, signed, strict=False):
        if is_filled:
            account_after[symbol] += quantity
            mine_after[symbol] += quantity if is_mine else 0

    # What pending orders alone can do is not for risk control to undo: it must only not make it worse.
    mine_before = {symbol: furthest(mine[symbol], symbol, working, "tsla") for symbol in SYMBOLS}
    account_before = {symbol: furthest(account[symbol], symbol, working, None) for symbol in SYMBOLS}
    for intent in approved:
        assert intent.notional_usd <= limits.max_order_notional_usd
    for symbol in SYMBOLS:
        worst = max(map(abs, mine_before[symbol]))
        assert abs(mine_after[symbol]) * price[symbol] <= max(limits.max_position_notional_usd, worst * price[symbol])
        if not limits.is_short_allowed:
            assert mine_after[symbol] >= min(mine_before[symbol][0], D(0))
    gross = sum((abs(mine_after[symbol]) * price[symbol] for symbol in SYMBOLS), D(0))
    gross_before = sum((max(map(abs, mine_before[symbol])) * price[symbol] for symbol in SYMBOLS), D(0))
    assert gross <= max(limits.max_gross_exposure_usd, gross_before)
    added = sum(
        ((abs(account_after[s]) - abs(account[s])) * price[s] for s in SYMBOLS if grew(account, account_after, s)), D(0)
    )
    added_before = sum(((max(map(abs, account_before[s])) - abs(account[s])) * price[s] for s in SYMBOLS), D(0))
    assert added <= max(available, added_before)
