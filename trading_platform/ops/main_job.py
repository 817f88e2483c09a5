"""The main job: the whole flow for the current session, executed in this process and recorded in Dagster.

For each feed the history that its strategies need is fetched first, in one ranged run; then one run per
calendar materializes everything from bars to performance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from trading_platform.definitions import build_definitions
from trading_platform.defs.jobs import session_job_name
from trading_platform.defs.partitions import session_partitions
from trading_platform.defs.sensors import history_request, missing_history
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import decision_for
from trading_platform.execution.holder import holder_name, is_proved_dead
from trading_platform.ops.interrupts import uninterrupted
from trading_platform.ops.run_document import RunDocument
from trading_platform.ops.run_progress import INTERRUPTIONS, Follower, Progress, Report
from trading_platform.ops.run_results import add_trading_results
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.settings import Settings
from trading_platform.specs.configured import configured_feeds, configured_specs

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
PROCESS_TAG = ".dagster/trading_platform_process"
"""Tag of every run that `trading-platform run` executes: which process does. Its prefix keeps it out of the UI."""

UNFINISHED = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


@dataclass(frozen=True)
class Calendar:
    """One calendar's part of the run: its strategies and the session they trade."""

    name: str
    session: date
    specs: tuple[StrategySpec, ...]


def run_main_job(settings: Settings, report: Report, notes: Sequence[str] = ()) -> RunDocument:
    """Materialize the whole flow once.

    Args:
        settings: complete: every service is up.
        report: told of progress, from another thread.
        notes: what the user should know of how the run was set up.

    Raises:
        KeyboardInterrupt: interrupted; the Dagster run under way has been closed.
    """
    specs, feeds, now = configured_specs(settings), configured_feeds(settings), settings.clock.now()
    main = get_calendar(specs[0].calendar if len({s.calendar for s in specs}) == 1 else "XNYS")
    document = RunDocument(
        as_of=now.isoformat(timespec="seconds"),
        session=main.latest_session(now).isoformat(),
        account=settings.ibkr_account or "",
        mode=settings.mode,
        market="open" if main.is_open(now) else "closed",
        notes=list(notes),
    )
    defs = build_definitions(settings)
    with dg.DagsterInstance.get() as instance:
        close_orphans(instance)
        executor = _Executor(defs, instance, report, document)
        calendars = list(_calendars(specs, now, document))
        _fetch_history(executor, settings, [feed for feed in feeds if feed.strategies], calendars, now)
        for calendar in calendars:
            document.sessions[calendar.name] = calendar.session.isoformat()
            executor.execute(
                session_job_name(calendar.name),
                f"{calendar.name} session {calendar.session}",
                partition_key=calendar.session.isoformat(),
            )
    # a tick may have passed while the run was under way
    moments = (now, settings.clock.now())
    decisions = {
        (spec.name, decision.tick_utc): (spec, decision)
        for calendar in calendars
        for spec in calendar.specs
        for decision in (decision_for(spec, get_calendar(spec.calendar), calendar.session, at) for at in moments)
    }
    add_trading_results(document, settings, list(decisions.values()))
    return document


def close_orphans(instance: dg.DagsterInstance) -> None:
    """Close the runs of earlier `trading-platform run` processes that were killed: nobody else would."""
    for run in instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)), limit=50):
        holder = run.tags.get(PROCESS_TAG)
        if holder is not None and is_proved_dead(holder):
            instance.report_run_failed(run, "The process that executed this run was killed.")


def _calendars(specs: Sequence[StrategySpec], now: datetime, document: RunDocument) -> Iterator[Calendar]:
    """The calendars in use with their latest session; the exchange before the market that never closes."""
    for name in sorted({spec.calendar for spec in specs}, reverse=True):
        session = get_calendar(name).latest_session(now)
        own = tuple(spec for spec in specs if spec.calendar == name)
        if not session_partitions(name).has_partition_key(session.isoformat()):
            names = ", ".join(spec.name for spec in own)
            document.notes.append(f"{names}: {session} is before the first session of {name} that the platform keeps")
            continue
        yield Calendar(name, session, own)


def _fetch_history(
    executor: _Executor, settings: Settings, feeds: Sequence[Feed], calendars: Sequence[Calendar], now: datetime
) -> None:
    lake = LakeResource(url=settings.lake, s3_endpoint_url=settings.s3_endpoint_url)
    in_use = {calendar.name for calendar in calendars}
    for feed in feeds:
        if feed.calendar not in in_use:
            continue
        for sessions in missing_history(feed, lake, now):
            request = history_request(feed, sessions)
            executor.execute(
                str(request.job_name),
                f"history of {feed.name}, {len(sessions)} sessions",
                asset_selection=request.asset_selection,
                tags=dict(request.tags),
            )


class _Executor:
    """Executes jobs in this process, and keeps what became of them in the document."""

    def __init__(
        self, defs: dg.Definitions, instance: dg.DagsterInstance, report: Report, document: RunDocument
    ) -> None:
        self._defs = defs
        self._instance = instance
        self._report = report
        self._document = document

    def execute(self, job: str, title: str, *, tags: dict[str, str] | None = None, **arguments: Any) -> None:
        """Execute ``job`` to its end.

        Raises:
            KeyboardInterrupt: interrupted; the run is closed.
        """
        run_id = str(uuid4())
        self._report(Progress("run", title))
        self._document.dagster_runs.append(run_id)
        follower = Follower(self._instance, run_id, self._report, self._document)
        try:
            with follower.following():
                result = self._defs.resolve_job_def(job).execute_in_process(
                    instance=self._instance,
                    run_id=run_id,
                    run_config=QUIET,
                    raise_on_error=False,
                    tags={**(tags or {}), PROCESS_TAG: holder_name(run_id)},
                    **arguments,
                )
            _require_uninterrupted(result)
        except (KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
            with uninterrupted():
                self._close(run_id)
            raise KeyboardInterrupt from error
        if not result.success and not follower.has_named_failure:
            self._document.failures.append(f"{title}: the Dagster run {run_id} failed")

    def _close(self, run_id: str) -> None:
        """Let the run end as canceled, whatever the interruption left it as."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and run.status in UNFINISHED:
            self._instance.report_run_canceled(run, message="Interrupted by the user.")


def _require_uninterrupted(result: dg.ExecuteInProcessResult) -> None:
    """Raise what ended the run if it was an interruption: Dagster records it and returns as if the run had failed.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    for event in result.all_events:
        error = None
        if event.is_step_failure:
            error = event.step_failure_data.error
        elif event.is_job_failure:
            error = event.job_failure_data.error
        if error is not None and error.cls_name in INTERRUPTIONS:
            raise KeyboardInterrupt
