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
from trading_platform.defs.partitions import session_partitions
from trading_platform.domain.calendars import ALWAYS_OPEN, DAILY_CALENDAR, calendar_slug, get_calendar
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import BAR_MINUTES, StrategySpec
from trading_platform.domain.signals.ticks import Skip, look_every_minutes, scheduled_decision, settled_session
from trading_platform.settings import get_settings

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
        if feed.is_ingest and not feed.is_daily:
            schedules.append(_ingest_schedule(feed))
        schedules.append(_after_close_schedule(feed))
    schedules += [
        _actions_schedule(calendar) for calendar in sorted({feed.calendar for feed in feeds if feed.shows_actions})
    ]
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


def ingest_tick(feed: Feed, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run of a feed that is collected bar by bar throughout the session."""
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


def _ingest_schedule(feed: Feed) -> dg.ScheduleDefinition:
    step = BAR_MINUTES[feed.bar_size]
    cron = "0 * * * *" if step >= 60 else "* * * * *" if step == 1 else f"*/{step} * * * *"
    return _schedule(
        f"{feed.name}_ingest",
        bars_job_name(feed.name),
        cron,
        feed.calendar,
        partial(ingest_tick, feed),
        description=_described(feed, "as they end, throughout the session."),
    )


def _after_close_schedule(feed: Feed) -> dg.ScheduleDefinition:
    return _schedule(
        f"{bars_job_name(feed.name)}_after_close",
        bars_job_name(feed.name),
        QUARTER_HOURS,
        feed.calendar,
        partial(settled_tick, feed.calendar, BARS_DELAY),
        description=_described(feed, "of the whole session, a quarter of an hour after the close."),
        is_late_welcome=True,
    )


def _described(feed: Feed, when: str) -> str:
    symbols = "1 symbol" if len(feed.symbols) == 1 else f"{len(feed.symbols)} symbols"
    if feed.members is not None:
        symbols = f"{symbols} and the session's members" if feed.symbols else "the session's members"
    own = f" {feed.description}" if feed.description else ""
    return f"{feed.bar_size} bars of {symbols} on {feed.calendar}, {when}{own}"


def _actions_schedule(calendar: str) -> dg.ScheduleDefinition:
    return _schedule(
        ACTIONS_JOB if calendar == DAILY_CALENDAR else f"{ACTIONS_JOB}_{calendar_slug(calendar)}",
        ACTIONS_JOB,
        QUARTER_HOURS,
        calendar,
        partial(after_open_tick, calendar),
        description=f"Splits and dividends that go ex today, once the session on {calendar} has traded a little.",
    )


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
    """A schedule on the market's own clock.

    ``is_late_welcome``: a tick that the daemon missed and catches up with is judged by when it was due.
    """
    settings = get_settings()

    @dg.schedule(
        name=f"{name}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone=session_partitions(calendar).timezone,
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
