"""Schedules: when jobs run. Whether a tick is due is decided by pure functions in ``domain``; here is only I/O.

A tick on a closed market is a skip with its reason. Schedules are off unless the settings start them, as
`trading-platform dev` does.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import dagster as dg

from trading_platform.defs.common import TICK_TAG
from trading_platform.defs.jobs import agent_job_name, bars_job_name, log_job_name
from trading_platform.domain.calendars import ALWAYS_OPEN, get_calendar
from trading_platform.domain.market_data.feeds import DAILY, MINUTE, Feed
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Skip, decision_at, is_daily_decision_due
from trading_platform.settings import get_settings

NEW_YORK = "America/New_York"
Due = Callable[[datetime], dg.RunRequest | dg.SkipReason]


def build_schedules(specs: Sequence[StrategySpec], feeds: Sequence[Feed]) -> list[dg.ScheduleDefinition]:
    """All schedules of these strategies and feeds."""
    schedules = [_agent_schedule(spec) for spec in specs]
    for feed in feeds:
        if feed.name == MINUTE:
            schedules.append(
                _schedule(
                    "minute_ingest",
                    bars_job_name(feed.name),
                    "* * * * 1-5",
                    feed.calendar,
                    f"1-minute bars of {len(feed.symbols)} symbols, each minute of the session.",
                    lambda now, feed=feed: _session_tick(feed, now),
                )
            )
        if feed.name == DAILY:
            schedules.append(
                _schedule(
                    "daily_bars_after_close",
                    bars_job_name(feed.name),
                    "15 13,16 * * 1-5",
                    feed.calendar,
                    "The session's final daily bars, a quarter of an hour after the close, half days included.",
                    lambda now, feed=feed: _settled(feed.calendar, now),
                )
            )
    for calendar in sorted({spec.calendar for spec in specs}):
        cron = "5 0 * * *" if calendar == ALWAYS_OPEN else "30 13,16 * * 1-5"
        schedules.append(
            _schedule(
                f"{log_job_name(calendar)}_after_close",
                log_job_name(calendar),
                cron,
                calendar,
                f"The last session on {calendar} into MLflow.",
                lambda now, calendar=calendar: _settled(calendar, now),
            )
        )
    return schedules


def agent_tick(spec: StrategySpec, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run that is due for ``spec`` at ``now``, or why none is."""
    calendar = get_calendar(spec.calendar)
    due = decision_at(spec, calendar, now)
    if isinstance(due, Skip):
        return dg.SkipReason(due.reason)
    if spec.is_daily and not is_daily_decision_due(calendar, now):
        return dg.SkipReason(f"{spec.name} decides in the last minutes of the session, and it is {now:%H:%M} UTC")
    tick = due.tick_utc.isoformat()
    return dg.RunRequest(
        run_key=f"{spec.name}:{tick}", partition_key=due.session.isoformat(), tags={TICK_TAG: tick}
    )


def _agent_schedule(spec: StrategySpec) -> dg.ScheduleDefinition:
    if spec.cadence_minutes is None:
        cron = "45 12,15 * * 1-5"  # half days close at 13:00
    elif spec.cadence_minutes < 60:
        cron = f"*/{spec.cadence_minutes} * * * {'*' if spec.calendar == ALWAYS_OPEN else '1-5'}"
    else:
        cron = f"0 */{spec.cadence_minutes // 60} * * {'*' if spec.calendar == ALWAYS_OPEN else '1-5'}"
    return _schedule(
        agent_job_name(spec.name),
        agent_job_name(spec.name),
        cron,
        spec.calendar,
        spec.description,
        lambda now: agent_tick(spec, now),
    )


def _session_tick(feed: Feed, now: datetime) -> dg.RunRequest | dg.SkipReason:
    session = get_calendar(feed.calendar).session_at(now)
    if session is None:
        return dg.SkipReason(f"{feed.calendar} is closed at {now:%Y-%m-%d %H:%M} UTC")
    return dg.RunRequest(run_key=f"{feed.name}:{now:%Y-%m-%dT%H:%M}", partition_key=session.isoformat())


def _settled(calendar: str, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The last completed session, unless a session is under way."""
    sessions = get_calendar(calendar)
    if calendar != ALWAYS_OPEN and sessions.is_open(now):
        return dg.SkipReason(f"{calendar} is still open at {now:%Y-%m-%d %H:%M} UTC")
    session = sessions.last_completed_session(now)
    return dg.RunRequest(run_key=f"settled:{session}", partition_key=session.isoformat())


def _schedule(
    name: str, job: str, cron: str, calendar: str, description: str, due: Due
) -> dg.ScheduleDefinition:
    settings = get_settings()

    @dg.schedule(
        name=f"{name}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC" if calendar == ALWAYS_OPEN else NEW_YORK,
        description=description,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if settings.schedules_running else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return due(get_settings().clock.now())

    return schedule
