"""Stamps: in the session, on the grid, by the right convention and clock; and what is repaired of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest

from trading_platform.domain.market_data.bars import expected_bar_starts, session_labels
from trading_platform_tests.domain.market_data.validation.builders import XNYS, outcome, quiet_bars, rules

UTC = timezone.utc
BARS = quiet_bars(156, "5 mins")
"""Two sessions of 78 bars, 2012-06-04 and 05."""


def moved(bars: pd.DataFrame, by: timedelta) -> pd.DataFrame:
    """The bars at other times, labelled as ingest would."""
    stamps = bars["ts_utc"] + by
    return bars.assign(ts_utc=stamps, session=session_labels(stamps, "5 mins", XNYS))


def test_bars_stamped_with_their_ends_are_moved_to_their_starts_and_that_is_recorded():
    result = outcome(moved(BARS, timedelta(minutes=5)), "5 mins")
    assert result.quarantined.empty
    assert result.repaired["reason"].tolist() == ["end_stamped"] * 156
    pd.testing.assert_frame_equal(result.valid, BARS)
    assert result.repaired["ts_utc"].tolist() == [stamp + timedelta(minutes=5) for stamp in BARS["ts_utc"]]
    assert not result.blocked_symbols


def test_the_short_first_bar_of_an_hourly_session_is_moved_to_the_open():
    bars = quiet_bars(14, "1 hour")
    ends = [*(bars["ts_utc"][1:7]), pd.Timestamp("2012-06-04T20:00Z")]
    stamped = bars.iloc[:7].assign(ts_utc=pd.DatetimeIndex(ends).as_unit("ns"))
    more = stamped.assign(symbol="IBM")
    many = pd.concat([stamped, more], ignore_index=True)
    # seven bars prove nothing by themselves
    assert outcome(many, "1 hour").repaired.empty
    minutes = moved(quiet_bars(390, "5 mins").iloc[:78], timedelta(minutes=5))
    assert len(outcome(minutes, "5 mins").repaired) == 78


def test_a_symbol_that_lacks_its_last_bar_is_moved_with_the_others_of_the_session():
    short = moved(BARS.iloc[:77].assign(symbol="IBM"), timedelta(minutes=5))
    result = outcome(pd.concat([moved(BARS, timedelta(minutes=5)), short], ignore_index=True), "5 mins")
    assert len(result.repaired) == 156 + 77
    assert result.valid.loc[result.valid["symbol"] == "IBM", "ts_utc"].tolist() == BARS["ts_utc"][:77].tolist()


def test_a_bar_at_the_open_denies_that_stamps_are_ends_and_the_one_at_the_close_is_outside():
    extra = BARS.iloc[[77]].assign(ts_utc=BARS["ts_utc"][77] + timedelta(minutes=5))
    result = outcome(pd.concat([BARS.iloc[:78], extra], ignore_index=True), "5 mins")
    assert result.repaired.empty
    assert result.quarantined["reason"].tolist() == ["outside_session"]


def test_while_the_session_runs_stamps_are_left_alone():
    now = datetime(2012, 6, 5, 19, 59, tzinfo=UTC)
    result = outcome(moved(BARS, timedelta(minutes=5)), "5 mins", as_of=now)
    assert set(result.repaired["session"]) == {"2012-06-04"}


@pytest.mark.parametrize("hours", [-4, 1, -1, 8])
def test_bars_by_another_clock_are_all_convicted_those_within_the_session_too(hours: int):
    bars = BARS.assign(ts_utc=BARS["ts_utc"] + timedelta(hours=hours))
    result = outcome(bars, "5 mins")
    if abs(hours) == 1:  # most bars lie within the session: only those outside can be told
        assert set(result.quarantined["reason"]) == {"outside_session"}
        return
    assert result.quarantined["reason"].tolist() == ["time_zone_shift"] * 156
    assert f"if moved by {-hours:+d} hours" in result.quarantined["detail"][0]


def test_daily_bars_stamped_with_open_close_or_local_midnight_are_moved_to_midnight_utc():
    bars = quiet_bars(3)
    stamps = [pd.Timestamp("2012-06-04T13:30Z"), pd.Timestamp("2012-06-05T20:00Z"), pd.Timestamp("2012-06-06T04:00Z")]
    result = outcome(bars.assign(ts_utc=pd.DatetimeIndex(stamps).as_unit("ns")))
    pd.testing.assert_frame_equal(result.valid, bars)
    assert result.repaired["reason"].tolist() == ["daily_stamp"] * 3
    assert result.repaired["ts_utc"].tolist() == stamps
    strange = outcome(bars.assign(ts_utc=bars["ts_utc"] + timedelta(hours=7)))
    assert strange.quarantined["reason"].tolist() == ["outside_session"] * 3


def test_a_daily_bar_that_becomes_a_double_by_its_repair_is_removed():
    bars = quiet_bars(3)
    again = bars.iloc[[1]].assign(ts_utc=pd.Timestamp("2012-06-05T13:30Z").as_unit("ns"))
    result = outcome(pd.concat([bars, again], ignore_index=True))
    assert sorted(result.repaired["reason"]) == ["daily_stamp", "exact_duplicate"]
    assert len(result.valid) == 3
    assert result.removed == 1


def test_extended_hours_are_outside_the_session_unless_the_feed_has_them():
    early = BARS.iloc[:12].assign(ts_utc=BARS["ts_utc"][:12] - timedelta(hours=2), session="2012-06-04")
    assert set(outcome(early, "5 mins").log["reason"]) == {"time_zone_shift"}
    few = early.iloc[:3]
    assert set(outcome(few, "5 mins").log["reason"]) == {"outside_session"}
    extended = rules(extended_before_minutes=330, extended_after_minutes=240)
    assert outcome(early, "5 mins", rules=extended).log.empty


def test_rows_out_of_order_are_counted_and_put_in_order():
    result = outcome(BARS.iloc[::-1].reset_index(drop=True), "5 mins")
    assert result.reordered == 155
    assert result.log.empty
    pd.testing.assert_frame_equal(result.valid, BARS)


@pytest.mark.parametrize("day", ["2013-03-08", "2013-03-11", "2012-11-02", "2012-11-05", "2012-11-23", "2013-07-03"])
def test_around_clock_changes_and_on_half_days_the_expected_bars_are_the_valid_ones(day: str):
    starts = expected_bar_starts(date.fromisoformat(day), "5 mins", XNYS)
    bars = quiet_bars(len(starts), "5 mins").assign(ts_utc=pd.DatetimeIndex(starts).as_unit("ns"), session=day)
    assert outcome(bars, "5 mins").log.empty
    late = outcome(bars.assign(ts_utc=bars["ts_utc"] + timedelta(minutes=60)), "5 mins")
    assert len(late.quarantined) == 12
