"""Schedules: when jobs run. Whether a tick is due is decided by pure functions in ``domain``; here is only I/O.

A tick on a closed market is a skip with its reason. Schedules are off unless the settings start them, as
`trading-platform dev` does.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import dagster as dg

from trading_platform.defs.common import TICK_TAG
from trading_platform.defs.jobs import ACTIONS_JOB, agent_job_name, bars_job_name, log_job_name
from trading_platform.domain.calendars import ALWAYS_OPEN, get_calendar
from trading_platform.domain.market_data.feeds import DAILY, MINUTE, Feed
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Skip, look_every_minutes, scheduled_decision, settled_session
from trading_platform.settings import get_settings

NEW_YORK = "America/New_York"
BARS_DELAY = timedelta(minutes=15)
LOG_DELAY = timedelta(minutes=30)
AFTER_OPEN = timedelta(minutes=15)
# Cron says how often to look, the calendar whether there is something to do: half days, other exchanges and a
# platform clock that was moved need no line of their own.
QUARTER_HOURS = "*/15 * * * *"
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
                    "* * * * *",
                    feed.calendar,
                    partial(minute_tick, feed),
                    description=f"1-minute bars of {len(feed.symbols)} symbols, each minute of the session.",
                )
            )
        schedules.append(
            _schedule(
                f"{bars_job_name(feed.name)}_after_close",
                bars_job_name(feed.name),
                QUARTER_HOURS,
                feed.calendar,
                partial(settled_tick, feed.calendar, BARS_DELAY),
                description="The whole session once more, a quarter of an hour after the close: it replaces the "
                "session's ticks, and stays.",
                is_late_welcome=True,
            )
        )
        if feed.name == DAILY:
            schedules.append(
                _schedule(
                    ACTIONS_JOB,
                    ACTIONS_JOB,
                    QUARTER_HOURS,
                    feed.calendar,
                    partial(after_open_tick, feed.calendar),
                    description="Splits and dividends that go ex today, once the session has traded a little.",
                )
            )
    schedules += [
        _schedule(
            f"{log_job_name(calendar)}_after_close",
            log_job_name(calendar),
            QUARTER_HOURS,
            calendar,
            partial(settled_tick, calendar, LOG_DELAY),
            description=f"The last session on {calendar} into MLflow, half an hour after the close.",
            is_late_welcome=True,
        )
        for calendar in sorted({spec.calendar for spec in specs})
    ]
    return schedules


def agent_tick(spec: StrategySpec, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run that is due for ``spec`` at ``now``, or why none is."""
    due = scheduled_decision(spec, get_calendar(spec.calendar), now)
    if isinstance(due, Skip):
        return dg.SkipReason(due.reason)
    tick = due.tick_utc.isoformat()
    return dg.RunRequest(run_key=f"{spec.name}:{tick}", partition_key=due.session.isoformat(), tags={TICK_TAG: tick})


def minute_tick(feed: Feed, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run of a feed that is collected each minute of the session."""
    session = get_calendar(feed.calendar).session_at(now)
    if session is None:
        return dg.SkipReason(f"{feed.calendar} is closed at {now:%Y-%m-%d %H:%M} UTC")
    return dg.RunRequest(run_key=f"{feed.name}:{now:%Y-%m-%dT%H:%M}", partition_key=session.isoformat())


def settled_tick(calendar: str, delay: timedelta, moment: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run for the session of ``calendar`` that closed ``delay`` ago."""
    session = settled_session(get_calendar(calendar), moment, delay)
    if isinstance(session, Skip):
        return dg.SkipReason(session.reason)
    return dg.RunRequest(run_key=f"settled:{session}", partition_key=session.isoformat())


def after_open_tick(calendar: str, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The unpartitioned run a quarter of an hour after a session of ``calendar`` has opened."""
    market = get_calendar(calendar)
    session = market.session_at(now)
    if session is None or not AFTER_OPEN <= now - market.open_of(session) < 2 * AFTER_OPEN:
        return dg.SkipReason(f"due a quarter of an hour after {calendar} opens, and it is {now:%Y-%m-%d %H:%M} UTC")
    return dg.RunRequest(run_key=f"after-open:{session}")


def _agent_schedule(spec: StrategySpec) -> dg.ScheduleDefinition:
    if spec.cadence_minutes is None:
        cron = QUARTER_HOURS
    else:
        step = look_every_minutes(spec.cadence_minutes, is_always_open=spec.calendar == ALWAYS_OPEN)
        cron = f"{'0' if step == 60 else f'*/{step}'} * * * *"
    name = agent_job_name(spec.name)
    return _schedule(name, name, cron, spec.calendar, partial(agent_tick, spec), description=spec.description)


def _schedule(
    name: str, job: str, cron: str, calendar: str, due: Due, *, description: str, is_late_welcome: bool = False
) -> dg.ScheduleDefinition:
    """``is_late_welcome``: a tick that the daemon missed and catches up with is judged by when it was due."""
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
        current = get_settings()
        if is_late_welcome:
            return due(context.scheduled_execution_time + timedelta(seconds=current.clock_offset_seconds))
        return due(current.clock.now())

    return schedule
