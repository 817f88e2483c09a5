"""Bars that could be, but that the bars around them do not support."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pytest

from trading_platform_tests.domain.market_data.validation.builders import (
    XNYS,
    changed,
    findings,
    outcome,
    quiet_bars,
    rules,
    scaled,
)

BARS = quiet_bars()
DAY = BARS["session"]


def test_quiet_bars_are_all_valid_whatever_their_size_and_level():
    for bar_size in ("1 day", "1 hour", "5 mins", "1 min"):
        for level in (0.3, 100.0, 5000.0):
            result = outcome(quiet_bars(200, bar_size, level=level), bar_size)
            assert result.log.empty
            assert len(result.valid) == 200


@pytest.mark.parametrize(
    ("fault", "reason", "numbers"),
    [
        ({"low": 10.0}, "bad_print", "low 10 is 0.1"),
        ({"high": 200.0}, "bad_print", "high 200 is 1.99"),
    ],
)
def test_a_wick_that_nothing_supports_is_a_bad_print(fault: dict[str, Any], reason: str, numbers: str):
    result = outcome(changed(BARS, 30, **fault))
    assert findings(result) == [("quarantined", reason, DAY[30])]
    assert numbers in result.log["detail"][0]
    assert "the bar before and after" in result.log["detail"][0]
    assert result.blocked_symbols == {"AAPL"}
    assert len(result.valid) == 59


def test_a_wick_is_acquitted_by_a_neighbour_that_was_there_too():
    crash = changed(BARS, 30, low=50.0)
    assert findings(outcome(crash)) == [("quarantined", "bad_print", DAY[30])]
    assert outcome(changed(crash, 31, low=60.0, open=62.0, close=98.0)).log["reason"].tolist() == []


def test_in_a_penny_stock_ticks_are_no_bad_prints():
    penny = quiet_bars(level=0.1)
    assert outcome(changed(penny, 30, low=0.02)).log.empty
    assert not outcome(changed(penny, 30, low=0.02), rules=rules(min_move=0.01)).log.empty


@pytest.mark.parametrize("factor", [1.2, 0.8, 1.45])
def test_a_bar_far_from_both_neighbours_that_agree_is_isolated(factor: float):
    result = outcome(scaled(BARS, 30, factor))
    assert findings(result) == [("quarantined", "isolated_bar", DAY[30])]


def test_a_move_that_stays_is_no_isolated_bar():
    assert outcome(scaled(BARS, slice(30, 60), 1.2)).log.empty


def test_a_move_of_which_half_is_taken_back_is_no_isolated_bar():
    assert outcome(scaled(scaled(BARS, slice(30, 60), 1.15), 30, 1.15)).log.empty


@pytest.mark.parametrize("power", [10, 100, 1000, 0.1, 0.01])
def test_prices_in_cents_are_a_scale_error_as_long_as_they_last(power: float):
    result = outcome(scaled(BARS, slice(30, 33), power))
    assert findings(result) == [("quarantined", "scale_error", day) for day in DAY[30:33]]
    assert "last believed close" in result.log["detail"][0]
    assert len(result.valid) == 57


def test_a_scale_error_is_seen_at_once_without_any_later_bar():
    now = XNYS.open_of(datetime.fromisoformat(DAY[59]).date())
    assert findings(outcome(scaled(BARS, 59, 100), as_of=now)) == [("quarantined", "scale_error", DAY[59])]


def test_a_jump_is_held_and_stays_valid():
    result = outcome(scaled(BARS, slice(30, 60), 1.6))
    assert findings(result) == [("held", "unexplained_jump", DAY[30])]
    assert "the limit is 1.5" in result.log["detail"][0]
    assert result.blocked_symbols == {"AAPL"}
    assert len(result.valid) == 60


@pytest.mark.parametrize("ratio", [2.0, 3.0, 7.0])
def test_a_split_that_nobody_reported_is_told_from_other_jumps(ratio: float):
    bars = scaled(BARS, slice(30, 60), 1 / ratio)
    assert findings(outcome(bars)) == [("held", "split_like_jump", DAY[30])]
    assert outcome(bars, splits={"AAPL": {DAY[30]: ratio}}).log.empty
    assert outcome(bars, splits={"AAPL": {DAY[29]: 1.0, DAY[30]: ratio}, "IBM": {DAY[3]: 2.0}}).log.empty


def test_a_known_split_that_the_prices_do_not_show_is_a_jump_too():
    result = outcome(BARS, splits={"AAPL": {DAY[30]: 4.0}})
    assert findings(result) == [("held", "split_like_jump", DAY[30])]
    assert "split by 4" in result.log["detail"][0]


def test_a_split_on_a_day_without_a_bar_is_seen_at_the_next_bar():
    bars = scaled(BARS, slice(30, 60), 0.5).drop(index=30).reset_index(drop=True)
    assert outcome(bars, splits={"AAPL": {DAY[30]: 2.0}}).log.empty


def test_a_bar_with_prices_from_before_and_after_a_known_split_is_a_mixture():
    bars = changed(scaled(BARS, slice(30, 60), 1 / 7), 30, open=100.0, high=100.5)
    result = outcome(bars, splits={"AAPL": {DAY[30]: 7.0}})
    assert ("quarantined", "split_day_mixture", DAY[30]) in findings(result)
    assert "the session's split is 7" in result.log["detail"][0]


def test_within_a_session_a_mixture_is_told_without_knowing_the_split():
    bars = changed(quiet_bars(60, "1 min"), 0, open=700.0, high=701.0)
    result = outcome(bars, "1 min")
    assert result.log["reason"].tolist() == ["split_day_mixture"]
    assert "as a split by 7" in result.log["detail"][0]
    wide = outcome(changed(bars, 0, open=173.0, high=173.0), "1 min")
    assert wide.log["reason"].tolist() == ["excessive_range"]


def test_a_bar_that_repeats_the_last_to_the_last_digit_is_held():
    repeated = BARS.copy()
    repeated.loc[30, ["open", "high", "low", "close", "volume"]] = repeated.loc[29]
    result = outcome(repeated)
    assert findings(result) == [("held", "stale_repeat", DAY[30])]
    assert "the same 2 times" in result.log["detail"][0]
    other_volume = changed(repeated, 30, volume=7.0)
    assert outcome(other_volume).log.empty


def test_quiet_minutes_may_repeat_themselves_for_a_while():
    bars = quiet_bars(60, "1 min")
    for row in (30, 31, 32):
        bars.loc[row, ["open", "high", "low", "close", "volume"]] = bars.loc[29]
    assert outcome(bars, "1 min").log["ts_utc"].tolist() == [bars["ts_utc"][32]]
    flat = bars.assign(high=100.0, low=100.0, open=100.0, close=100.0, volume=5.0)
    assert outcome(flat, "1 min").log.empty


def test_a_ticker_that_comes_back_after_a_long_time_is_warned_of_and_not_compared():
    bars = scaled(BARS, slice(50, 60), 9.0).drop(index=range(20, 50)).reset_index(drop=True)
    result = outcome(bars)
    assert findings(result) == [("warned", "long_gap", DAY[50])]
    assert "30 sessions without a bar" in result.log["detail"][0]
    assert not result.blocked_symbols


def test_what_follows_a_convicted_bar_is_compared_with_the_one_before_it():
    bars = scaled(scaled(BARS, slice(31, 60), 4.3), 30, 100.0)
    assert [(action, reason) for action, reason, _ in findings(outcome(bars))] == [
        ("quarantined", "scale_error"),
        ("held", "unexplained_jump"),
    ]


def test_neighbours_are_those_of_the_same_symbol():
    both = pd.concat([BARS, quiet_bars(symbol="IBM", level=9000.0)], ignore_index=True)
    assert outcome(both).log.empty


def test_bars_of_other_sessions_lend_themselves_as_neighbours_and_are_not_judged():
    today = scaled(BARS, 59, 1.7).iloc[[59]]
    assert outcome(today).log.empty
    result = outcome(today, context=scaled(BARS, 30, 5.0).iloc[:59])
    assert findings(result) == [("held", "unexplained_jump", DAY[59])]
    assert len(result.valid) == 1


def test_severities_are_what_the_configuration_says():
    jump = scaled(BARS, slice(30, 60), 1.6)
    for severity, action in (("quarantine", "quarantined"), ("hold", "held"), ("warning", "warned")):
        result = outcome(jump, rules=rules(severities={"unexplained_jump": severity}))
        assert result.log["action"].unique().tolist() == [action]
        assert bool(result.blocked_symbols) == (severity != "warning")
    assert outcome(jump, rules=rules(severities={"unexplained_jump": "ignore"})).log.empty


class TestWhileTheSessionRuns:
    """Later bars are not known, or must not count."""

    NOW = datetime(2012, 6, 4, 18, 0, tzinfo=timezone.utc)

    def test_a_wick_is_judged_by_what_came_before(self) -> None:
        bars = changed(quiet_bars(40, "5 mins"), 20, high=150.0)
        bars = changed(bars, 21, high=150.0, open=149.0)
        running = outcome(bars, "5 mins", as_of=self.NOW)
        assert running.log["reason"].tolist() == ["bad_print"]
        assert "the bar before and after" not in running.log["detail"][0]
        assert outcome(bars, "5 mins").log["reason"].tolist() == []

    def test_an_isolated_bar_is_not_told_and_a_jump_is_held(self) -> None:
        bars = scaled(quiet_bars(40, "5 mins"), 20, 1.4)
        running = outcome(bars, "5 mins", as_of=self.NOW)
        assert running.log[["action", "reason"]].drop_duplicates().to_numpy().tolist() == [["held", "unexplained_jump"]]
        assert outcome(bars, "5 mins").log["reason"].tolist() == ["isolated_bar"]
