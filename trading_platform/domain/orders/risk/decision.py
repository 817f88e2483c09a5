"""Put every intent before every control. Fail closed: what can't be judged is rejected."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import lru_cache

from trading_platform.domain.orders.model import ControlResult, OrderIntent, RiskDecision
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
    counts, from then on, as if it will fill: together the approved ones keep every limit.

    Args:
        intents: as planned; put those that reduce first.
        context: the world at the decision; ``approved`` may hold intents approved before in this tick.
        controls: the default is all of ``risk/controls/``. None at all approves nothing.

    Returns:
        One decision per intent, in the same order. Errors in a control become its refusal.
    """
    asked = default_controls() if controls is None else controls
    decisions = []
    for intent in intents:
        decision = decide_one(intent, context, asked)
        decisions.append(decision)
        if decision.is_approved:
            context = approve(intent, context)
    return decisions


def decide_one(intent: OrderIntent, context: RiskContext, controls: Sequence[RiskControl]) -> RiskDecision:
    """Judge one intent by ``controls``. Errors in a control become its refusal."""
    return RiskDecision(intent.client_order_id, tuple(_ask(control, intent, context) for control in controls))


def _ask(control: RiskControl, intent: OrderIntent, context: RiskContext) -> ControlResult:
    try:
        return control.evaluate(intent, context)
    except UnevaluableError as error:
        return verdict(control, f"can't be evaluated: {error}")
    except Exception as error:  # noqa: BLE001 - whatever breaks inside a control, the order must not pass it
        return verdict(control, f"can't be evaluated: {type(error).__name__}: {error}")
