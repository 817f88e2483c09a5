from __future__ import annotations

from decimal import Decimal

import pytest

from trading_platform.domain.orders.risk.breaches import breaches
from trading_platform.domain.orders.risk.context import EquityMarks
from trading_platform.domain.orders.risk.limits import AccountLimits

LIMITS = AccountLimits(max_daily_loss_pct=Decimal(3), max_drawdown_pct=Decimal(15))


@pytest.mark.parametrize(
    ("equity", "start", "peak", "words"),
    [
        ("100", "100", "100", ()),
        ("97.01", "100", "100", ()),
        ("97", "100", "100", ("lost 3.00 %",)),
        ("85", "86", "100", ("15.00 % below its peak",)),
        ("80", "100", "100", ("lost 20.00 %", "20.00 % below its peak")),
        ("120", "100", "100", ()),
    ],
)
def test_a_limit_is_breached_when_it_is_reached(equity: str, start: str, peak: str, words: tuple[str, ...]) -> None:
    found = breaches(Decimal(equity), EquityMarks(Decimal(start), Decimal(peak)), LIMITS)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_without_marks_nothing_is_breached() -> None:
    assert breaches(Decimal(1), None, LIMITS) == ()
    assert breaches(Decimal(1), EquityMarks(Decimal(0), Decimal(0)), LIMITS) == ()
