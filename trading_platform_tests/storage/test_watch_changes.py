"""Changes of watch lists are remembered, each in a file of its own, and nobody's is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from trading_platform.domain.market_data.watch_lists import WatchChange
from trading_platform.storage.lake import Lake
from trading_platform.storage.watch_changes import STAGE, WatchChanges

AT = datetime(2013, 2, 28, 15, tzinfo=timezone.utc)
CHANGE = WatchChange("default", "FB", "added", "ann", AT, "earnings")


def test_changes_come_back_as_they_were_oldest_first(lake: Lake) -> None:
    later = replace(CHANGE, change="removed", at=AT + timedelta(seconds=1))
    WatchChanges(lake).record(later)
    WatchChanges(lake).record(CHANGE)
    assert WatchChanges(lake).of("default") == [CHANGE, later]


def test_other_lists_have_their_own(lake: Lake) -> None:
    WatchChanges(lake).record(replace(CHANGE, watch_list="default2"))
    assert WatchChanges(lake).of("default") == []


def test_many_at_once_lose_nothing(lake: Lake) -> None:
    many = [replace(CHANGE, symbol=f"S{number}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(WatchChanges(lake).record, many))
    assert {one.symbol for one in WatchChanges(lake).of("default")} == {one.symbol for one in many}


@pytest.mark.parametrize("nothing", [{"who": " "}, {"why": ""}, {"at": AT.replace(tzinfo=None)}])
def test_nobody_no_reason_and_no_time_zone_are_refused(lake: Lake, nothing: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"who took it and why|time zone"):
        WatchChanges(lake).record(replace(CHANGE, **nothing))  # type: ignore[arg-type]  # wrong on purpose
    assert lake.tables(STAGE) == []
