"""Put every intent before every control. Fail closed: what can't be judged is rejected."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import lru_cache

from trading_platform.domain.orders.model import UNEVALUABLE, ControlResult, OrderIntent, RiskDecision
from trading_platform.domain.orders.risk import controls as controls_package
from trading_platform.domain.orders.risk.base import RiskControl, name_of, verdict
from trading_platform.domain.orders.risk.books import approve
from trading_platform.domain.orders.risk.context import RiskContext, UnevaluableError


class NoControlError(Exception):
    """A file in ``risk/controls/`` does not end with ``CONTROL = …``."""


@lru_cache(maxsize=1)
def default_controls() -> tuple[RiskControl, ...]:
    """One of each control in ``risk/controls/``, by name.

    Raises:
        NoControlError: a file there holds no control; leaving it out silently would open a gap.
    """
    found: list[RiskControl] = []
    for module in pkgutil.iter_modules(controls_package.__path__):
        name = f"{controls_package.__name__}.{module.name}"
        control = getattr(importlib.import_module(name), "CONTROL", None)
        if control is None:
            msg = f"{name} holds no control: end the file with CONTROL = TheControl()"
            raise NoControlError(msg)
        found.append(control)
    return tuple(sorted(found, key=name_of))


def decide(
    intents: Sequence[OrderIntent], context: RiskContext, controls: Sequence[RiskControl] | None = None
) -> list[RiskDecision]:
    """Judge the intents of one tick, in their order, by all controls.

    Every control is asked even after one has refused, so that all reasons are shown. An approved intent
    counts, from then on, as if it will fill: together the approved ones keep every limit. The orders of a bracket are
    approved together or not at all.

    Args:
        intents: as planned; put those that reduce first.
        context: the world at the decision; ``approved`` may hold intents approved before in this tick.
        controls: the default is all of ``risk/controls/``. None at all approves nothing.

    Returns:
        One decision per intent, in the same order. Errors in a control become its refusal.
    """
    asked = default_controls() if controls is None else controls
    decisions: dict[str, RiskDecision] = {}
    for group in by_bracket(intents):
        trial = context
        for intent in group:
            decision = decisions[intent.client_order_id] = decide_one(intent, trial, asked)
            if decision.is_approved:
                trial = approve(intent, trial)
        refused = [intent.client_order_id for intent in group if not decisions[intent.client_order_id].is_approved]
        if not refused:
            context = trial
        for intent in group if refused else ():
            decisions[intent.client_order_id] = _not_alone(decisions[intent.client_order_id], refused)
    return [decisions[intent.client_order_id] for intent in intents]


def by_bracket(intents: Sequence[OrderIntent]) -> list[list[OrderIntent]]:
    """Single orders, and the orders of a bracket together, by their first."""
    groups: dict[str, list[OrderIntent]] = {}
    for intent in intents:
        groups.setdefault(intent.request.group, []).append(intent)
    return list(groups.values())


def _not_alone(decision: RiskDecision, refused: Sequence[str]) -> RiskDecision:
    """A bracket is approved whole or not at all: an entry without its exits is not what was asked for."""
    if not decision.is_approved:
        return decision
    reason = f"its bracket is refused: {', '.join(refused)} did not pass"
    whole = ControlResult("WholeBracket", is_passed=False, reason=reason, numbers={})
    return RiskDecision(decision.client_order_id, (*decision.results, whole))


def decide_one(intent: OrderIntent, context: RiskContext, controls: Sequence[RiskControl]) -> RiskDecision:
    """Judge one intent by ``controls``. Errors in a control become its refusal."""
    return RiskDecision(intent.client_order_id, tuple(_ask(control, intent, context) for control in controls))


def _ask(control: RiskControl, intent: OrderIntent, context: RiskContext) -> ControlResult:
    try:
        return control.evaluate(intent, context)
    except UnevaluableError as error:
        return verdict(control, f"{UNEVALUABLE}: {error}")
    except Exception as error:  # noqa: BLE001 - whatever breaks inside a control, the order must not pass it
        return verdict(control, f"{UNEVALUABLE}: {type(error).__name__}: {error}")
