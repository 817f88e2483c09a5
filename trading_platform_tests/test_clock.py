"""Clocks: always aware, always UTC, and only one of them looks at the wall."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.clock import UTC, ManualClock, SystemClock

MOMENT = datetime(2013, 2, 28, 15, 45, tzinfo=timezone(timedelta(hours=-5)))


def test_the_system_clock_reads_utc_and_runs():
    clock = SystemClock()
    first = clock.now()
    assert first.tzinfo is UTC
    assert timedelta(0) <= clock.now() - first < timedelta(seconds=5)


def test_a_moved_clock_starts_at_the_moment_and_runs_on():
    clock = SystemClock.starting_at(MOMENT)
    assert timedelta(0) <= clock.now() - MOMENT < timedelta(seconds=5)
    assert clock.now().tzinfo is UTC


def test_processes_that_share_an_offset_agree():
    first = SystemClock.starting_at(MOMENT)
    second = SystemClock(timedelta(seconds=first.offset.total_seconds()))
    assert abs(second.now() - first.now()) < timedelta(seconds=1)


@pytest.mark.parametrize("make", [SystemClock.starting_at, ManualClock, lambda moment: ManualClock(MOMENT).set(moment)])
def test_a_moment_without_a_zone_is_refused(make):
    with pytest.raises(ValueError, match="no time zone"):
        make(datetime(2013, 2, 28))  # noqa: DTZ001 - the point of the test


def test_a_manual_clock_stands_still_until_it_is_moved():
    clock = ManualClock(MOMENT)
    assert clock.now() == clock.now() == MOMENT
    assert clock.now().tzinfo is UTC
    assert clock.advance(timedelta(minutes=5)) == MOMENT + timedelta(minutes=5) == clock.now()


def test_a_manual_clock_does_not_go_back():
    clock = ManualClock(MOMENT)
    with pytest.raises(ValueError, match="can't go back"):
        clock.set(MOMENT - timedelta(microseconds=1))
    assert clock.now() == MOMENT


@given(st.lists(st.timedeltas(timedelta(0), timedelta(days=400)), max_size=8))
def test_steps_add_up(steps):
    clock = ManualClock(MOMENT)
    for step in steps:
        clock.advance(step)
    assert clock.now() - MOMENT == sum(steps, timedelta(0))


def test_readers_never_see_a_manual_clock_go_back():
    clock, seen, is_over = ManualClock(MOMENT), [], threading.Event()

    def read() -> None:
        while not is_over.is_set() and len(seen) < 200_000:
            seen.append(clock.now())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2_000):
        clock.advance(timedelta(seconds=1))
    is_over.set()
    reader.join()
    assert seen == sorted(seen)
