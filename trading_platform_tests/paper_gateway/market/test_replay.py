from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.paper_gateway.market.datasets import SymbolHistory
from trading_platform.paper_gateway.market.replay import ReplayedSource
from trading_platform.paper_gateway.market.sessions import session_index
from trading_platform.paper_gateway.market.timeline import Timeline
from trading_platform_tests.paper_gateway.market.builders import at, daily_history, load_frames, minute_frame

NYSE = session_index("XNYS")
NOW = at(2026, 11, 20, 17)


def replayed(history: SymbolHistory, *, anchor: date, start: datetime = NOW, last: int | None = None) -> ReplayedSource:
    timeline = Timeline.of("XNYS", int(history.positions[-1]) if last is None else last, anchor=anchor, start=start)
    return ReplayedSource(history, timeline, name="test", tick=0.01, unit=1.0, seed=7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 60), missing=st.sets(st.integers(1, 58), max_size=10))
def test_a_shift_preserves_every_bar_session_for_session(seed: int, count: int, missing: set[int]) -> None:
    skip = tuple(number for number in missing if number < count - 1)
    history = daily_history("AAA", date(2013, 1, 2), count, seed=seed, skip=skip)
    original = replayed(history, anchor=date(2013, 1, 2), start=at(2013, 1, 2))
    shifted = replayed(history, anchor=date(2026, 11, 19))
    moved = shifted.first_position - original.first_position
    assert moved > 3000
    for position in range(original.first_position - 2, int(history.positions[-1]) + 1):
        assert shifted.day(position + moved) == original.day(position)
    assert NYSE.days[int(history.positions[-1]) + moved] == date(2026, 11, 19)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 40))
def test_sessions_after_the_anchor_replay_real_returns_without_a_jump(seed: int, count: int) -> None:
    history = daily_history("AAA", date(2013, 1, 2), count, seed=seed)
    source = replayed(history, anchor=date(2026, 11, 19))
    end = source.first_position + count - 1
    last, first = source.day(end), source.day(end + 1)
    assert last is not None
    assert first is not None
    assert first.open == pytest.approx(last.close, abs=0.011)
    for offset in range(1, 2 * count + 1):
        today, row = source.day(end + offset), (offset - 1) % count
        assert today is not None
        assert today.low <= min(today.open, today.close) <= max(today.open, today.close) <= today.high
        assert today.volume == history.volume[row]
        assert today.close / today.open == pytest.approx(history.close[row] / history.open[row], abs=0.002)
        if row:
            before = source.day(end + offset - 1)
            assert before is not None
            real = history.close[row] / history.close[row - 1]
            assert today.close / before.close == pytest.approx(real, abs=0.002)


def test_a_split_in_the_history_is_no_crash_in_its_replay() -> None:
    history = daily_history("AAA", date(2013, 1, 2), 20)
    halves = np.where(np.arange(20) < 10, 1.0, 0.5)
    prices = {name: getattr(history, name) * halves for name in ("open", "high", "low", "close")}
    split = replace(history, **prices, factor=0.5 / halves)
    source = replayed(split, anchor=date(2026, 11, 19))
    end = source.first_position + 19
    closes = [bar.close for bar in map(source.day, range(end, end + 21)) if bar is not None]
    assert min(np.diff(np.log(closes))) > -0.2
    raw = [bar.close for bar in map(source.day, range(end - 19, end + 1)) if bar is not None]
    assert min(np.diff(np.log(raw))) < -0.5


def test_a_symbol_that_came_late_repeats_its_own_history_and_one_that_left_is_gone() -> None:
    last = NYSE.up_to(date(2014, 12, 31))
    late = daily_history("LATE", date(2014, 12, 15), 12)
    assert int(late.positions[-1]) == last
    source = replayed(late, anchor=date(2026, 11, 19), last=last)
    following = NYSE.up_to(date(2026, 11, 20))
    opening, ending = source.day(following), source.day(following - 1)
    assert opening is not None
    assert ending is not None
    assert opening.open == pytest.approx(ending.close, abs=0.011)
    left = replayed(daily_history("LEFT", date(2013, 1, 2), 12), anchor=date(2026, 11, 19), last=last)
    assert left.day(following) is None
    newest = left.latest(following)
    assert newest is not None
    assert newest == left.first_position + 11


def test_a_session_without_a_bar_has_none_and_the_newest_one_is_found_before_it() -> None:
    source = replayed(daily_history("AAA", date(2013, 1, 2), 10, skip=(4, 5)), anchor=date(2026, 11, 19))
    gap = source.first_position + 5
    assert source.day(gap) is None
    assert source.latest(gap) == gap - 2
    assert source.latest(gap + 10) == gap + 10 - 2
    assert source.latest(source.first_position - 1) is None


def intraday_source(directory: Path, step: int, anchor: date) -> tuple[SymbolHistory, ReplayedSource]:
    frame = minute_frame("AAA", [at(2014, 6, 2, 13, 30), at(2014, 6, 3, 13, 30)], step=step)
    found = load_frames(directory, a=frame).find("AAA")
    assert found is not None
    return found[1], replayed(found[1], anchor=anchor)


def test_real_minutes_are_used_as_they_are(tmp_path: Path) -> None:
    history, source = intraday_source(tmp_path, 1, date(2026, 11, 19))
    minutes = source.minutes(NYSE.up_to(date(2026, 11, 18)))
    assert minutes is not None
    assert history.intraday is not None
    for name in ("open", "high", "low", "close", "volume"):
        assert (getattr(minutes, name) == getattr(history.intraday, name)[:390]).all()


@pytest.mark.parametrize("step", [5, 30, 60])
def test_coarse_bars_are_split_to_minutes_that_honour_each_of_them(step: int, tmp_path: Path) -> None:
    history, source = intraday_source(tmp_path, step, date(2026, 11, 19))
    minutes = source.minutes(NYSE.up_to(date(2026, 11, 18)))
    assert minutes is not None
    assert history.intraday is not None
    for bar, start in enumerate(range(0, 390, step)):
        part = slice(start, min(start + step, 390))
        assert minutes.open[part][0] == history.intraday.open[bar]
        assert minutes.high[part].max() == history.intraday.high[bar]
        assert minutes.low[part].min() == history.intraday.low[bar]
        assert minutes.close[part][-1] == history.intraday.close[bar]
        assert minutes.volume[part].sum() == history.intraday.volume[bar]


def test_a_replayed_session_keeps_its_intraday_shape_at_the_new_price(tmp_path: Path) -> None:
    history, source = intraday_source(tmp_path, 1, date(2026, 11, 19))
    minutes = source.minutes(NYSE.up_to(date(2026, 11, 20)))
    assert minutes is not None
    assert history.intraday is not None
    scale = history.close[-1] / history.open[0]
    assert np.allclose(minutes.close, history.intraday.close[:390] * scale, atol=0.006)
    assert minutes.open[0] == pytest.approx(history.close[-1], abs=0.011)


def test_a_half_day_does_not_play_the_minutes_of_a_whole_one(tmp_path: Path) -> None:
    _, source = intraday_source(tmp_path, 1, date(2026, 11, 27))
    half_day = NYSE.up_to(date(2026, 11, 27))
    assert NYSE.minutes(half_day) == 210
    assert source.minutes(half_day) is None
    assert source.day(half_day) is not None
