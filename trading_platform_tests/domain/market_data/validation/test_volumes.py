"""Volumes: none at all, and those of another feed."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from trading_platform_tests.domain.market_data.validation.builders import changed, findings, outcome, quiet_bars, rules

BARS = quiet_bars()
DAY = BARS["session"]


def test_a_bar_without_trades_is_valid_and_warned_of():
    result = outcome(changed(BARS, 30, volume=0.0))
    assert findings(result) == [("warned", "zero_volume", DAY[30])]
    assert result.blocked_symbols == frozenset()
    assert len(result.valid) == 60


@pytest.mark.parametrize("factor", [30.0, 1 / 30])
def test_a_volume_that_changes_for_good_is_told_once_where_it_changes(factor: float):
    bars = BARS.assign(volume=[1000.0 * (factor if row >= 30 else 1) + row for row in range(60)])
    result = outcome(bars)
    assert findings(result) == [("warned", "volume_shift", DAY[30])]
    assert "times that of the 20 bars before" in result.log["detail"][0]


def test_one_busy_day_is_no_shift():
    assert outcome(changed(BARS, 30, volume=500_000.0)).log.empty


def test_the_last_sessions_can_not_tell_yet():
    bars = BARS.assign(volume=[1000.0 * (30 if row >= 45 else 1) for row in range(60)])
    assert outcome(bars).log.empty
    assert outcome(bars, rules=rules(volume_window=10)).log["session"].tolist() == [DAY[45]]


def test_a_running_session_is_not_judged_by_its_volume():
    bars = quiet_bars(70, "5 mins").assign(volume=[1000.0 * (30 if row >= 35 else 1) for row in range(70)])
    chosen = rules(severities={"volume_shift": "warning"})
    assert len(outcome(bars, "5 mins", rules=chosen).log) == 1
    running = datetime(2012, 6, 4, 19, 59, tzinfo=timezone.utc)
    assert outcome(bars, "5 mins", rules=chosen, as_of=running).log.empty
