"""Schedules: stopped unless told otherwise; on a closed market a skip with its reason, on an open one a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from trading_platform.clock import SystemClock
from trading_platform.definitions import build_definitions
from trading_platform.defs.schedules import (
    BARS_DELAY,
    after_open_tick,
    agent_tick,
    build_schedules,
    ingest_tick,
    settled_tick,
)
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.settings import ENV_PREFIX, Settings, get_settings
from trading_platform.specs.configured import configured_feeds, configured_specs

PLAIN = Settings(_env_file=None)
SPECS = {spec.name: spec for spec in configured_specs(PLAIN)}
FEEDS = {feed.name: feed for feed in configured_feeds(PLAIN)}
MakeProcess = Callable[..., "Process"]


def ticks_of(schedule: dg.ScheduleDefinition, start: datetime) -> Iterator[datetime]:
    """When the daemon would ask the schedule, from ``start`` on."""
    zone = schedule.execution_timezone
    return schedule_execution_time_iterator(start.timestamp(), schedule.cron_schedule, zone, ascending=True)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Process:
    """A process whose clock starts at some moment, with its schedules by name."""

    repository: dg.RepositoryDefinition

    @property
    def schedules(self) -> dict[str, dg.ScheduleDefinition]:
        return {schedule.name: schedule for schedule in self.repository.schedule_defs}

    def evaluate(self, name: str, due: datetime | None = None) -> dg.RunRequest | str:
        """What the daemon would get: a run request, or the reason of the skip. ``due``: by the wall clock."""
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_schedule_context(instance, due or SystemClock().now(), repository_def=self.repository) as context,
        ):
            data = self.schedules[f"{name}_schedule"].evaluate_tick(context)
        if data.skip_message:
            return data.skip_message
        (request,) = data.run_requests or ()
        return request


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeProcess]:
    """``process(moment, **settings)``"""

    def make(moment: str = "2013-02-28T20:45", **settings: Any) -> Process:
        offset = SystemClock.starting_at(at(moment)).offset.total_seconds()
        for name, value in {"home": tmp_path, "clock_offset_seconds": offset, **settings}.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
        get_settings.cache_clear()
        return Process(build_definitions(get_settings()).get_repository_def())

    yield make
    get_settings.cache_clear()


def test_every_agent_and_collector_has_its_schedule(process):
    assert set(process().schedules) == {
        "btc_agent_schedule",
        "iwm_agent_schedule",
        "momentum_agent_schedule",
        "tsla_agent_schedule",
        "minute_ingest_schedule",
        "minute_bars_after_close_schedule",
        "daily_bars_after_close_schedule",
        "tsla_bars_after_close_schedule",
        "iwm_bars_after_close_schedule",
        "btc_bars_after_close_schedule",
        "splits_and_dividends_schedule",
        "session_xnys_log_after_close_schedule",
        "session_24_7_log_after_close_schedule",
    }


def test_schedules_are_stopped_unless_the_settings_start_them(process):
    stopped = {schedule.default_status for schedule in process().schedules.values()}
    assert stopped == {dg.DefaultScheduleStatus.STOPPED}
    running = {schedule.default_status for schedule in process(schedules_running=True).schedules.values()}
    assert running == {dg.DefaultScheduleStatus.RUNNING}


def test_cadences(process):
    schedules = process().schedules
    assert all(schedule.description for schedule in schedules.values())
    cadences = {name: (schedule.cron_schedule, schedule.execution_timezone) for name, schedule in schedules.items()}
    assert cadences == cadences | {
        "tsla_agent_schedule": ("*/5 * * * *", "America/New_York"),
        "iwm_agent_schedule": ("*/15 * * * *", "America/New_York"),
        "btc_agent_schedule": ("0 * * * *", "UTC"),
        "momentum_agent_schedule": ("*/15 * * * *", "America/New_York"),
        "minute_ingest_schedule": ("* * * * *", "America/New_York"),
    }


@pytest.mark.parametrize(
    ("bar_size", "cron", "runs"),
    [
        ("1 min", "* * * * *", 510),
        ("5 mins", "*/5 * * * *", 102),
        ("15 mins", "*/15 * * * *", 34),
        ("1 hour", "0 * * * *", 9),
        ("1 day", None, 0),
    ],
)
def test_an_ingest_feed_is_collected_as_its_bars_end_and_settled_after_the_close(bar_size, cron, runs):
    feed = Feed("london", "XLON", bar_size, ("VOD",), 1, ())
    schedules = {schedule.name: schedule for schedule in build_schedules([], [feed])}
    assert schedules["london_bars_after_close_schedule"].execution_timezone == "Europe/London"
    assert ("london_ingest_schedule" in schedules) is (cron is not None)
    if cron is None:
        return
    ingest = schedules["london_ingest_schedule"]
    assert (ingest.cron_schedule, ingest.execution_timezone) == (cron, "Europe/London")
    ticks = ticks_of(ingest, at("2024-07-01T00:00"))
    asked = [ingest_tick(feed, next(ticks)) for _ in range(runs * 5)]
    keys = {run.run_key for run in asked if isinstance(run, dg.RunRequest) and run.partition_key == "2024-07-01"}
    assert len(keys) == runs


@pytest.mark.parametrize(
    ("calendar", "zone", "close", "session"),
    [
        ("XNYS", "America/New_York", "2024-03-12T20:00", "2024-03-12"),  # New York has moved its clocks,
        ("XLON", "Europe/London", "2024-03-12T16:30", "2024-03-12"),  # London not yet
        ("XLON", "Europe/London", "2024-04-02T15:30", "2024-04-02"),
        ("XNYS", "America/New_York", "2024-10-29T20:00", "2024-10-29"),
        ("XLON", "Europe/London", "2024-10-29T16:30", "2024-10-29"),  # back already, a week before New York
        ("XTKS", "Asia/Tokyo", "2024-07-01T06:00", "2024-07-01"),
        ("24/7", "UTC", "2024-07-02T00:00", "2024-07-01"),
    ],
)
def test_what_follows_the_close_keeps_to_the_markets_own_clock(calendar, zone, close, session):
    feed = Feed("days", calendar, "1 day", ("X",), 1, ())
    (after_close, *_) = build_schedules([], [feed])
    assert after_close.execution_timezone == zone
    due = at(close) + BARS_DELAY
    ticks = ticks_of(after_close, due - timedelta(hours=3))
    asked = {tick: settled_tick(calendar, BARS_DELAY, tick) for tick in (next(ticks) for _ in range(24))}
    runs = {tick: asked for tick, asked in asked.items() if isinstance(asked, dg.RunRequest)}
    assert [(tick, run.partition_key) for tick, run in runs.items()] == [(due, session)]


def test_daily_feeds_of_two_exchanges_have_schedules_of_their_own_and_one_job_of_splits_and_dividends():
    feeds = [
        Feed("daily", "XNYS", "1 day", ("IBM",), 5, ("momentum",)),
        Feed("daily_xlon", "XLON", "1 day", ("VOD",), 5, ("drift",)),
        Feed("daily_24_7", "24/7", "1 day", ("BTC",), 5, ("hodl",)),
    ]
    schedules = {schedule.name: schedule for schedule in build_schedules([], feeds)}
    assert set(schedules) == {
        "daily_bars_after_close_schedule",
        "daily_xlon_bars_after_close_schedule",
        "daily_24_7_bars_after_close_schedule",
        "splits_and_dividends_schedule",
        "splits_and_dividends_xlon_schedule",
    }
    assert {name for name, one in schedules.items() if one.job_name == "splits_and_dividends"} == {
        "splits_and_dividends_schedule",
        "splits_and_dividends_xlon_schedule",
    }


def test_an_evaluated_schedule_asks_for_the_platforms_session_and_tick(process):
    request = process("2013-02-28T20:45").evaluate("tsla_agent")
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2013-02-28"
    assert request.tags["trading_platform/tick"] == "2013-02-28T20:45:00+00:00"
    assert request.run_key == "tsla:2013-02-28T20:45:00+00:00"


@pytest.mark.parametrize(
    ("moment", "when"),
    [
        ("2013-03-02T16:00", "a Saturday"),
        ("2012-10-29T16:00", "a hurricane"),
        ("2012-11-22T16:00", "Thanksgiving"),
        ("2012-11-23T18:30", "the afternoon of a half day"),
        ("2013-02-28T13:00", "before the open"),
        ("2013-02-28T21:00", "at the close"),
        ("2013-03-11T20:00", "at the close in summer time"),
    ],
)
def test_a_tick_on_a_closed_market_is_a_skip_with_its_reason(moment, when):
    now = at(moment)
    asked = [agent_tick(SPECS[name], now) for name in ("tsla", "iwm", "momentum")]
    for skip in (*asked, ingest_tick(FEEDS["minute"], now)):
        assert isinstance(skip, dg.SkipReason), when
        assert skip.skip_message == f"XNYS is closed at {moment.replace('T', ' ')} UTC"


def test_the_daemon_is_told_the_reason_of_a_skip(process):
    saturday = process("2013-03-02T16:00")
    for name in ("tsla_agent", "iwm_agent", "momentum_agent", "minute_ingest"):
        assert saturday.evaluate(name) == "XNYS is closed at 2013-03-02 16:00 UTC"


def test_bitcoin_ticks_around_the_clock():
    for moment in ("2013-03-02T03:00", "2012-10-29T16:00", "2012-12-25T23:00", "2013-03-10T07:00"):
        request = agent_tick(SPECS["btc"], at(moment))
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == moment[:10]


@pytest.mark.parametrize(
    ("moment", "session", "tick"),
    [
        ("2012-11-23T17:55:02", "2012-11-23", "2012-11-23T17:55:00+00:00"),
        ("2013-03-08T14:30:02", "2013-03-08", "2013-03-08T14:30:00+00:00"),
        ("2013-03-11T13:30:02", "2013-03-11", "2013-03-11T13:30:00+00:00"),  # summer time since Sunday
        ("2013-11-04T14:30:02", "2013-11-04", "2013-11-04T14:30:00+00:00"),
    ],
)
def test_ticks_follow_half_days_and_summer_time(moment, session, tick):
    request = agent_tick(SPECS["tsla"], at(moment))
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.tags["trading_platform/tick"]) == (session, tick)


@pytest.mark.parametrize(
    ("moment", "is_run"),
    [
        ("2013-02-28T15:00", False),
        ("2013-02-28T20:30", False),
        ("2013-02-28T20:45", True),
        ("2012-11-23T17:45", True),
        ("2012-11-23T20:45", False),
    ],
)
def test_the_daily_agent_decides_in_the_last_minutes(moment, is_run):
    asked = agent_tick(SPECS["momentum"], at(moment))
    assert isinstance(asked, dg.RunRequest) is is_run
    if not is_run:
        assert isinstance(asked, dg.SkipReason)
        assert asked.skip_message


def run_keys(ask: Callable[[datetime], Any], start: datetime, step: timedelta, count: int) -> list[str]:
    asked = [ask(start + step * i) for i in range(count)]
    return [request.run_key for request in asked if isinstance(request, dg.RunRequest)]


def test_run_keys_name_the_tick_so_that_asking_again_asks_for_the_same_run():
    def ask(now: datetime) -> Any:
        return agent_tick(SPECS["tsla"], now)

    assert len(set(run_keys(ask, at("2013-02-28T20:45"), timedelta(seconds=37), 8))) == 1
    over_a_day = run_keys(ask, at("2013-02-28T00:00"), timedelta(minutes=5), 288)
    assert len(over_a_day) == len(set(over_a_day)) == 78


def test_run_keys_of_strategies_feeds_and_sessions_never_meet():
    now = at("2013-02-28T20:45")
    asked = [agent_tick(spec, now) for spec in SPECS.values()]
    asked += [ingest_tick(FEEDS["minute"], now), settled_tick("XNYS", BARS_DELAY, at("2013-02-28T21:15"))]
    keys = [request.run_key for request in asked if isinstance(request, dg.RunRequest)]
    assert len(keys) == len(set(keys)) == len(SPECS) + 2


def test_the_minute_ingest_runs_once_a_minute_of_the_session():
    keys = run_keys(
        lambda now: ingest_tick(FEEDS["minute"], now), at("2013-02-28T00:00:01"), timedelta(minutes=1), 1440
    )
    assert len(keys) == len(set(keys)) == 390


@pytest.mark.parametrize(
    ("name", "moment", "session"),
    [
        ("daily_bars_after_close", "2013-02-28T21:15", "2013-02-28"),
        ("daily_bars_after_close", "2012-11-23T18:15", "2012-11-23"),
        ("minute_bars_after_close", "2012-11-23T18:15", "2012-11-23"),
        ("tsla_bars_after_close", "2013-02-28T21:15", "2013-02-28"),
        ("btc_bars_after_close", "2013-03-03T00:15", "2013-03-02"),
        ("session_xnys_log_after_close", "2013-02-28T21:30", "2013-02-28"),
        ("session_24_7_log_after_close", "2013-03-03T00:30", "2013-03-02"),
    ],
)
def test_what_follows_the_close_runs_for_the_closed_session(process, name, moment, session):
    request = process(moment).evaluate(name)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == session


@pytest.mark.parametrize("moment", ["2013-02-28T16:00", "2012-10-29T21:15", "2013-03-02T21:15", "2012-11-23T21:15"])
def test_what_follows_the_close_is_skipped_at_any_other_time(moment):
    skip = settled_tick("XNYS", BARS_DELAY, at(moment))
    assert isinstance(skip, dg.SkipReason)
    assert str(skip.skip_message).startswith("XNYS ")


def test_a_tick_that_the_daemon_catches_up_with_is_judged_by_when_it_was_due(process):
    """The daemon was down from 16:10 to 18:00 in New York: bars and log of the session are still wanted."""
    due = SystemClock().now() - timedelta(hours=1, minutes=44)
    request = process("2013-02-28T23:00").evaluate("daily_bars_after_close", due)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2013-02-28"


def test_a_late_agent_does_not_trade_a_tick_that_is_over(process):
    due = SystemClock().now() - timedelta(hours=3)
    said = process("2013-02-28T23:00").evaluate("tsla_agent", due)
    assert str(said).startswith("XNYS is closed at 2013-02-28 23:00")


def test_a_new_spec_brings_its_own_schedule():
    spec = StrategySpec(
        name="spy_dip",
        strategy="trend_momentum",
        description="Buys dips.",
        universe=("SPY",),
        bar_size="5 mins",
        cadence_minutes=10,
        history_sessions=2,
    )
    feed = Feed("spy_dip", "XNYS", "5 mins", ("SPY",), 2, ("spy_dip",))
    (agent, settling, _log) = build_schedules([spec], [feed])
    assert settling.name == "spy_dip_bars_after_close_schedule"
    assert (agent.name, agent.cron_schedule) == ("spy_dip_agent_schedule", "*/10 * * * *")


@pytest.mark.parametrize(
    ("moment", "is_due"),
    [
        ("2013-02-28T14:30", False),  # the open
        ("2013-02-28T14:45", True),
        ("2013-02-28T14:59", True),
        ("2013-02-28T15:00", False),
        ("2013-03-02T14:45", False),  # a Saturday
        ("2013-03-11T13:45", True),  # New York has moved its clocks
    ],
)
def test_splits_and_dividends_are_looked_for_once_a_session_when_it_has_traded_a_little(moment, is_due):
    due = after_open_tick("XNYS", at(moment))
    assert isinstance(due, dg.RunRequest) is is_due
    if is_due:
        assert due.run_key == f"after-open:{moment[:10]}"
        assert due.partition_key is None
