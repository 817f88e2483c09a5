"""What a person decided about a bar holds for that bar, whenever it comes, and for no other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

from trading_platform.domain.market_data.validation import BarDecision, Validation
from trading_platform_tests.domain.market_data.validation.builders import changed, findings, outcome, quiet_bars, scaled

BARS = quiet_bars()
OTHER = BARS["close"][30] * 1.002
BAD = changed(BARS, 30, low=10.0)
AT = datetime(2013, 1, 2, tzinfo=timezone.utc)


def decision(result: Validation, verdict: Any, row: int = 0, **changes: Any) -> BarDecision:
    """About a row of the log."""
    listed = result.log.iloc[row]
    given = {
        "bar_id": listed["bar_id"],
        "symbol": listed["symbol"],
        "ts_utc": listed["ts_utc"].to_pydatetime(),
        "verdict": verdict,
        "reason": listed["reason"],
        "who": "ann",
        "at": AT,
        "why": "seen on the tape",
    }
    return BarDecision(**given | changes)


def test_a_released_bar_is_valid_from_then_on():
    released = decision(outcome(BAD), "released")
    result = outcome(BAD, decisions=[released])
    assert result.log.empty
    assert len(result.valid) == 60


def test_a_confirmed_bar_stays_out_with_who_said_so_and_its_symbol_is_traded_again():
    result = outcome(BAD, decisions=[decision(outcome(BAD), "confirmed")])
    assert findings(result) == [("quarantined", "bad_print", BARS["session"][30])]
    assert result.log["detail"][0] == "confirmed by ann at 2013-01-02 00:00 UTC: seen on the tape"
    assert not result.blocked_symbols


def test_a_held_bar_is_let_go_or_set_aside():
    jump = scaled(BARS, slice(30, 60), 1.7)
    held = outcome(jump)
    assert outcome(jump, decisions=[decision(held, "released")]).log.empty
    out = outcome(jump, decisions=[decision(held, "confirmed")])
    assert ("quarantined", "unexplained_jump", BARS["session"][30]) in findings(out)


def test_the_newest_decision_holds():
    first = outcome(BAD)
    newer = decision(first, "confirmed", at=AT + timedelta(minutes=1))
    for both in ([decision(first, "released"), newer], [newer, decision(first, "released")]):
        assert outcome(BAD, decisions=both).quarantined["is_blocking"].tolist() == [False]


def test_with_other_values_it_is_another_bar():
    released = decision(outcome(BAD), "released")
    worse = changed(BAD, 30, low=9.0)
    assert findings(outcome(worse, decisions=[released])) == [("quarantined", "bad_print", BARS["session"][30])]


def test_what_is_no_bar_can_not_be_released():
    broken = changed(BARS, 30, high=1.0)
    released = decision(outcome(broken), "released")
    assert outcome(broken, decisions=[released]).quarantined["reason"].tolist() == ["high_below_low"]


def test_of_rows_that_contradict_each_other_the_released_one_is_valid_and_nobody_is_blocked():
    both = pd.concat([BARS, changed(BARS.iloc[[30]], 30, close=OTHER)], ignore_index=True)
    first = outcome(both)
    assert first.quarantined["reason"].tolist() == ["conflicting_duplicate"] * 2
    assert first.blocked_symbols == {"AAPL"}
    result = outcome(both, decisions=[decision(first, "released", row=1)])
    assert len(result.valid) == 60
    assert result.valid["close"][30] == first.log["close"][1]
    assert len(result.quarantined) == 1
    assert not result.blocked_symbols


def test_both_of_two_contradictory_rows_can_be_released_and_one_is_taken():
    both = pd.concat([BARS, changed(BARS.iloc[[30]], 30, close=OTHER)], ignore_index=True)
    first = outcome(both)
    result = outcome(both, decisions=[decision(first, "released", row=row) for row in (0, 1)])
    assert len(result.valid) == 60
    assert not result.valid.duplicated(["symbol", "ts_utc"]).any()


def test_decisions_about_bars_that_are_not_there_change_nothing():
    stranger = decision(outcome(BAD), "confirmed", symbol="IBM")
    elsewhere = decision(outcome(BAD), "confirmed", ts_utc=AT)
    assert outcome(BARS, decisions=[stranger, elsewhere]).log.empty


def test_a_bars_id_survives_storage_and_tells_nan_apart(tmp_path):
    from trading_platform.storage.lake import Lake

    bars = changed(changed(BARS, 30, low=10.0), 31, close=np.nan)
    log = outcome(bars).log
    lake = Lake(str(tmp_path))
    lake.write_table(("market_data", "log"), log)
    again = lake.read_table(("market_data", "log"))
    assert again["bar_id"].tolist() == log["bar_id"].tolist()
    assert log["bar_id"].is_unique
    assert (
        outcome(bars.sample(frac=1, random_state=1, ignore_index=True)).log["bar_id"].tolist() == log["bar_id"].tolist()
    )
