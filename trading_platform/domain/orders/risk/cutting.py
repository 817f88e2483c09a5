"""Cutting orders to what the limits leave, by asking the controls themselves.

The arithmetic of limits is written once, in the controls. Here it is only asked: which of the controls that are a
:class:`~.base.QuantityLimit` refuse the order, and with how many lots would they not. Since such a control that passes
an order passes every smaller one, the largest is found by bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trading_platform.domain.orders.model import ControlResult, OrderIntent, RiskDecision
from trading_platform.domain.orders.risk.base import QuantityLimit, RiskControl, name_of
from trading_platform.domain.orders.risk.books import approve
from trading_platform.domain.orders.risk.context import RiskContext
from trading_platform.domain.orders.risk.decision import by_bracket, decide, default_controls
from trading_platform.domain.signals.spec import StrategySpec

CUT = "CutToLimits"
"""Name of the result that a decision on a cut order carries beside the controls'. It is always passed."""


@dataclass(frozen=True)
class Cut:
    """An order made smaller. ``control`` is what would refuse one lot more, ``reason`` why it refused the whole."""

    intent: OrderIntent
    wanted_quantity: Decimal
    control: str
    reason: str

    @property
    def result(self) -> ControlResult:
        """The cut as it is stored with the decision."""
        numbers = {
            "wanted_quantity": f"{self.wanted_quantity:f}",
            "quantity": f"{self.intent.request.quantity:f}",
            "binding_control": self.control,
            "binding_reason": self.reason,
        }
        return ControlResult(CUT, is_passed=True, reason="", numbers=numbers)


def decide_cut(
    intents: Sequence[OrderIntent],
    context: RiskContext,
    controls: Sequence[RiskControl] | None = None,
    *,
    smallest_trade_usd: Decimal = Decimal(0),
) -> list[tuple[OrderIntent, RiskDecision]]:
    """As :func:`~.decision.decide`, but each order is first cut to the largest that limits of quantity allow.

    Each cut sees position, working orders and what this call has approved before it. An order that would be cut to
    nothing, or to less than ``smallest_trade_usd``, is left whole and so rejected, with the limit as its reason; so
    is one that a limit can't be evaluated for. A bracket's entry and exits are cut to one quantity.

    Returns:
        The intents in their order, as cut, each with its decision. A cut adds a result called ``CutToLimits`` with
        the quantity that was wanted and the control that binds.
    """
    asked = default_controls() if controls is None else controls
    judged: dict[str, tuple[OrderIntent, RiskDecision]] = {}
    for group in by_bracket(intents):
        cut = _cut_together(group, context, asked, smallest_trade_usd)
        chosen = group if cut is None else [_of(intent, cut.intent.request.quantity) for intent in group]
        for intent, decision in zip(chosen, decide(chosen, context, asked), strict=True):
            results = decision.results if cut is None else (*decision.results, cut.result)
            judged[intent.client_order_id] = intent, replace(decision, results=results)
        for intent in chosen:
            if judged[intent.client_order_id][1].is_approved:
                context = approve(intent, context)
    return [judged[intent.client_order_id] for intent in intents]


def _cut_together(
    group: Sequence[OrderIntent], context: RiskContext, controls: Sequence[RiskControl], smallest_trade_usd: Decimal
) -> Cut | None:
    """The smallest cut that one of the group needs, each judged as if those before it were approved."""
    smallest: Cut | None = None
    quantity = group[0].request.quantity
    for intent in group:
        cut = cut_to_limits(_of(intent, quantity), context, controls, smallest_trade_usd=smallest_trade_usd)
        if cut is not None:
            quantity = cut.intent.request.quantity
            smallest = replace(cut, wanted_quantity=group[0].request.quantity)
        context = approve(_of(intent, quantity), context)
    return smallest


def judge(
    intents: Sequence[OrderIntent], context: RiskContext, spec: StrategySpec
) -> list[tuple[OrderIntent, RiskDecision]]:
    """Put a tick's planned intents before all controls, cut to limits if the spec's sizing says so.

    Backtest, replay, paper and live call this one function on what ``build_intents`` planned.
    """
    if spec.sizing.on_limit == "reject":
        return list(zip(intents, decide(intents, context), strict=True))
    return decide_cut(intents, context, smallest_trade_usd=spec.order.min_trade_notional_usd)


def judge_again(
    judged: Sequence[tuple[OrderIntent, RiskDecision]], context: RiskContext
) -> list[tuple[OrderIntent, RiskDecision]]:
    """The same intents, of the same size, by a context that knows more. What was noted of cuts stays noted."""
    intents = [intent for intent, _ in judged]
    decisions = decide(intents, context)
    return [
        (intent, replace(decision, results=(*decision.results, *(r for r in before.results if r.control == CUT))))
        for (intent, before), decision in zip(judged, decisions, strict=True)
    ]


def cut_to_limits(
    intent: OrderIntent,
    context: RiskContext,
    controls: Sequence[RiskControl],
    *,
    smallest_trade_usd: Decimal = Decimal(0),
) -> Cut | None:
    """The order with the largest whole number of lots that every :class:`~.base.QuantityLimit` passes.

    ``None`` if it needs no cut, or if no cut helps.
    """
    details = context.instruments.get(intent.request.symbol)
    if details is None or details.lot_size <= 0:
        return None
    lot = details.lot_size
    try:
        refusals = [
            (control, result)
            for control in controls
            if isinstance(control, QuantityLimit) and not (result := control.evaluate(intent, context)).is_passed
        ]
        if not refusals:
            return None
        lots, binding = int(intent.request.quantity / lot), refusals[0]
        for refusal in refusals:
            fewer = _most_lots(intent, context, refusal[0], lots, lot)
            if fewer < lots:
                lots, binding = fewer, refusal
    except Exception:  # noqa: BLE001 - the decision meets the same error and makes it a refusal
        return None
    cut = _of(intent, lots * lot)
    if lots == 0 or cut.notional_usd < smallest_trade_usd:
        return None
    return Cut(cut, intent.request.quantity, name_of(binding[0]), binding[1].reason)


def _most_lots(intent: OrderIntent, context: RiskContext, control: RiskControl, at_most: int, lot: Decimal) -> int:
    """The largest number of lots up to ``at_most`` that the control passes."""
    if control.evaluate(_of(intent, at_most * lot), context).is_passed:
        return at_most
    passed, refused = 0, at_most
    while refused - passed > 1:
        middle = (passed + refused) // 2
        if control.evaluate(_of(intent, middle * lot), context).is_passed:
            passed = middle
        else:
            refused = middle
    return passed


def _of(intent: OrderIntent, quantity: Decimal) -> OrderIntent:
    return replace(intent, request=replace(intent.request, quantity=quantity))
