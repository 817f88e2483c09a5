from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trading_platform.domain.signals.spec import OrderSpec
from trading_platform_tests.domain.orders import builders as b

BRACKET = {"target_pct": 3, "stop_pct": 1}
STOP = {"order_type": "STP", "stop_offset_bps": 10}

GOOD: list[dict[str, Any]] = [
    {},
    {"order_type": "LMT", "time_in_force": "IOC"},
    {"order_type": "MOC"},
    {"order_type": "LOC", "limit_offset_bps": 20},
    {"order_type": "TRAIL", "trail_percent": 2, "time_in_force": "GTC"},
    {**STOP, "time_in_force": "GTD", "good_till_minutes": 30},
    {**STOP, "replace_working": True},
    {"bracket": BRACKET},
    {"bracket": {"target_pct": 3, "trail_pct": 1, "time_in_force": "DAY"}},
    {**STOP, "bracket": BRACKET},
]

SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"order_type": "STP"}, "order_type STP needs stop_offset_bps"),
    ({"stop_offset_bps": 10}, "stop_offset_bps is for order_type STP and STP LMT"),
    ({"order_type": "TRAIL"}, "order_type TRAIL needs trail_percent"),
    ({"trail_percent": 2}, "trail_percent is for order_type TRAIL"),
    ({"time_in_force": "GTD"}, "time_in_force GTD needs good_till_minutes"),
    ({"good_till_minutes": 5}, "good_till_minutes is for time_in_force GTD"),
    ({"order_type": "MOC", "time_in_force": "GTC"}, "time_in_force must be DAY"),
    ({**STOP, "time_in_force": "IOC"}, "order_type STP waits and time_in_force IOC does not"),
    ({"order_type": "MOC", "bracket": BRACKET}, "a bracket's entry can't be MOC"),
    ({"order_type": "TRAIL", "trail_percent": 1, "bracket": BRACKET}, "a bracket's entry can't be TRAIL"),
    ({"time_in_force": "IOC", "bracket": BRACKET}, "a bracket's entry can't be IOC"),
    ({"replace_working": True, "bracket": BRACKET}, "replace_working is not for brackets"),
    ({"replace_working": True, "time_in_force": "IOC"}, "replace_working needs an order that works on"),
    ({"replace_working": True, "order_type": "LOC"}, "replace_working needs an order that works on"),
    ({"bracket": {"target_pct": 3}}, "a bracket needs stop_pct or trail_pct"),
    ({"bracket": {"target_pct": 3, "stop_pct": 1, "trail_pct": 1}}, "and not both"),
    ({"bracket": {"target_pct": 0, "stop_pct": 1}}, "greater than 0"),
    ({"order_type": "REL"}, "'MKT', 'LMT', 'STP'"),
]


@pytest.mark.parametrize("order", GOOD)
def test_an_order_that_makes_sense_is_taken(order: dict[str, Any]) -> None:
    assert OrderSpec.model_validate(order)


@pytest.mark.parametrize(("order", "says"), SENSELESS)
def test_an_order_that_makes_no_sense_is_refused_with_the_reason(order: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        OrderSpec.model_validate(order)


def test_orders_for_the_close_need_a_market_that_closes() -> None:
    with pytest.raises(ValidationError, match="needs a market that closes: calendar 24/7 never does"):
        b.spec(calendar="24/7", order={"order_type": "MOC"})
