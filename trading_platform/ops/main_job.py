"""The main job: the whole flow for the current session, executed in this process and recorded in Dagster.

For each feed the history that its strategies need is fetched first, in one ranged run; then one run per
calendar materializes everything from bars to performance.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg

from trading_platform.defs.jobs import session_job_name
from trading_platform.defs.partitions import session_partitions
from trading_platform.defs.sensors import history_request, missing_history
from trading_platform.definitions import build_definitions
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import decision_for
from trading_platform.ops.run_document import AssetOutcome, CheckOutcome, RunDocument
from trading_platform.ops.run_results import add_trading_results
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import configured_feeds, configured_specs
from trading_platform.settings import Settings

if TYPE_CHECKING:
    from dagster import EventLogEntry

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
POLL_SECONDS = 0.2
Report = Callable[[str, str], None]
"""Told of every finished step: a kind ("run", "done", "failed", "check") and a sentence."""


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
    decisions = [
        (spec, decision_for(spec, get_calendar(spec.calendar), calendar.session, now))
        for calendar in calendars
        for spec in calendar.specs
    ]
    add_trading_results(document, settings, decisions)
    return document


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
    """Executes jobs in this process, follows their events, and keeps what became of them in the document."""

    def __init__(
        self, defs: dg.Definitions, instance: dg.DagsterInstance, report: Report, document: RunDocument
    ) -> None:
        self._defs = defs
        self._instance = instance
        self._report = report
        self._document = document

    def execute(self, job: str, title: str, **arguments: Any) -> None:
        run_id = str(uuid4())
        self._report("run", title)
        self._document.dagster_runs.append(run_id)
        with self._followed(run_id):
            result = self._defs.resolve_job_def(job).execute_in_process(
                instance=self._instance, run_id=run_id, run_config=QUIET, raise_on_error=False, **arguments
            )
        if not result.success:
            self._document.failures.append(f"{title}: the Dagster run {run_id} failed")

    @contextmanager
    def _followed(self, run_id: str) -> Iterator[None]:
        finished = threading.Event()
        follower = threading.Thread(target=self._follow, args=(run_id, finished), name="follow-run", daemon=True)
        follower.start()
        try:
            yield
        finally:
            finished.set()
            follower.join()

    def _follow(self, run_id: str, finished: threading.Event) -> None:
        cursor = None
        is_last = False
        while not is_last:
            is_last = finished.wait(POLL_SECONDS)
            more = True
            while more:
                page = self._instance.get_records_for_run(run_id, cursor=cursor)
                for record in page.records:
                    self._note(record.event_log_entry)
                cursor, more = page.cursor, page.has_more

    def _note(self, entry: EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        if event.is_step_failure:
            error = event.step_failure_data.user_failure_data or event.step_failure_data.error
            why = getattr(error, "description", None) or getattr(error, "message", "") or ""
            cause = getattr(getattr(error, "cause", None), "message", "") or ""
            self._fail(str(event.step_key), " ".join(f"{why} {cause}".split()))
        elif entry.asset_materialization is not None:
            key = entry.asset_materialization.asset_key.to_user_string()
            rows = entry.asset_materialization.metadata.get("rows")
            count = int(rows.value) if rows is not None and isinstance(rows.value, (int, float)) else None
            is_new = key not in self._document.assets
            self._document.assets[key] = AssetOutcome(status="materialized", rows=count)
            outcome = entry.asset_materialization.metadata.get("outcome")
            if outcome is not None:
                self._document.outcomes[key] = str(outcome.value)
            new = entry.asset_materialization.metadata.get("new_orders")
            self._document.new_orders += int(str(new.value)) if new is not None else 0
            if is_new or entry.asset_materialization.partition is None:
                self._report("done", f"{key}" + (f"  {count} rows" if count is not None else ""))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation = event.asset_check_evaluation_data
            check = CheckOutcome(
                asset=evaluation.asset_key.to_user_string(),
                check=evaluation.check_name,
                passed=evaluation.passed,
                severity=evaluation.severity.value,
            )
            self._document.checks.append(check)
            if not check["passed"]:
                self._report("check", f"{check['asset']}: {check['check']} ({check['severity']})")

    def _fail(self, step: str, why: str) -> None:
        key = step.replace("__", "/")
        self._document.assets[key] = AssetOutcome(status="failed", rows=None)
        self._document.failures.append(f"{key}: {why[:500]}")
        self._report("failed", f"{key}: {why[:300]}")
