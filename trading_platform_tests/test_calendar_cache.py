from __future__ import annotations

import pytest

from trading_platform.calendar_cache import cached_calendar
from trading_platform.domain.calendars import ALWAYS_OPEN, build_calendar


@pytest.mark.parametrize("name", ["XNYS", "XTKS", "FX"])
def test_a_calendar_read_back_is_the_one_that_was_made(name):
    made, first, again = build_calendar(name), cached_calendar(name), cached_calendar(name)
    assert first.schedule == made.schedule
    assert again.schedule == made.schedule
    assert again.time_zone == made.time_zone
    assert again.has_breaks == first.has_breaks == made.has_breaks == (name == "XTKS")


def test_the_calendar_that_never_closes_needs_no_cache():
    assert cached_calendar(ALWAYS_OPEN).schedule == build_calendar(ALWAYS_OPEN).schedule
