"""What a risk control is. One class per control, one file per class, in ``risk/controls/``.

A control's file ends with ``CONTROL = TheControl()``: that line puts it into ``default_controls()``, and no
other file has to change.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from trading_platform.domain.orders.model import ControlResult, OrderIntent
from trading_platform.domain.orders.risk.context import RiskContext


class RiskControl(Protocol):
    """One question asked of every order intent."""

    def evaluate(self, intent: OrderIntent, context: RiskContext) -> ControlResult:
        """Judge one intent.

        Returns:
            The verdict, with the numbers it rests on as strings.

        Raises:
            UnevaluableError: a number is missing. Whatever is raised, the intent is rejected.
        """
        ...


class QuantityLimit:
    """Base of the controls that a smaller order may pass where a larger one does not.

    The law: what passes, passes with any smaller quantity, everything else being equal. Sizing asks these how large
    an order may be, see ``cutting``; ``test_cutting`` holds every one of them to the law.
    """


def name_of(control: RiskControl) -> str:
    """The control's name in verdicts: its class."""
    return type(control).__name__


def verdict(control: RiskControl, reason: str | None, **numbers: object) -> ControlResult:
    """A verdict: passed when there is no ``reason`` against the intent.

    ``Decimal`` numbers are written without exponent, other values as ``str`` has them.
    """
    written = {key: format(value, "f") if isinstance(value, Decimal) else str(value) for key, value in numbers.items()}
    return ControlResult(name_of(control), reason is None, reason or "", written)
