"""Decisions about bars are remembered, each in a file of its own, and nobody's is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest

from trading_platform.domain.market_data.validation import BarDecision
from trading_platform.storage.bar_decisions import STAGE, BarDecisions
from trading_platform.storage.lake import Lake

AT = datetime(2013, 3, 1, 14, tzinfo=timezone.utc)
DECISION = BarDecision("ab12", "AAPL", AT, "released", "bad_print", "ann", AT, "seen on the tape")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def test_what_was_decided_comes_back_as_it_was(lake: Lake) -> None:
    BarDecisions(lake).record("daily", "2013-02-28", DECISION)
    assert BarDecisions(lake).of("daily", ["2013-02-27", "2013-02-28"]) == [DECISION]


def test_other_feeds_and_sessions_have_their_own(lake: Lake) -> None:
    decisions = BarDecisions(lake)
    decisions.record("daily", "2013-02-28", DECISION)
    assert decisions.of("daily", ["2013-02-27"]) == []
    assert decisions.of("daily2", ["2013-02-28"]) == []
    assert decisions.of("daily", []) == []


def test_all_decisions_about_a_bar_are_kept_oldest_first(lake: Lake) -> None:
    decisions = BarDecisions(lake)
    later = replace(DECISION, verdict="confirmed", at=AT + timedelta(seconds=1))
    decisions.record("daily", "2013-02-28", later)
    decisions.record("daily", "2013-02-28", DECISION)
    assert decisions.of("daily", ["2013-02-28"]) == [DECISION, later]


def test_many_at_once_lose_nothing(lake: Lake) -> None:
    many = [replace(DECISION, who=f"trader {number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: BarDecisions(lake).record("daily", "2013-02-28", one), many))
    assert {one.who for one in BarDecisions(lake).of("daily", ["2013-02-28"])} == {one.who for one in many}


def test_anyone_can_read_them(lake: Lake) -> None:
    path = BarDecisions(lake).record("daily", "2013-02-28", DECISION)
    (row,) = pd.read_parquet(path).to_dict("records")
    assert (row["feed"], row["session"], row["who"], row["why"]) == ("daily", "2013-02-28", "ann", "seen on the tape")
    assert len(lake.tables(STAGE)) == 1
    assert lake.tables("nothing") == []


@pytest.mark.parametrize("nothing", [{"who": " "}, {"why": ""}, {"at": AT.replace(tzinfo=None)}])
def test_nobody_no_reason_and_no_time_zone_are_refused(lake: Lake, nothing: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"who took it and why|time zone"):
        BarDecisions(lake).record("daily", "2013-02-28", replace(DECISION, **nothing))
    assert lake.tables(STAGE) == []
