"""Follows the events of a Dagster run while it executes: progress for the screen, outcomes for the document."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trading_platform.ops.run_document import AssetOutcome, CheckOutcome, RunDocument

if TYPE_CHECKING:
    from dagster import AssetMaterialization, DagsterEvent, DagsterInstance, EventLogEntry
    from dagster_shared.error import SerializableErrorInfo

POLL_SECONDS = 0.2
WRAPPERS = frozenset(
    {"DagsterExecutionStepExecutionError", "DagsterExecutionLoadInputError", "DagsterExecutionHandleOutputError"}
)
"""Errors that Dagster puts around the one that matters."""

INTERRUPTIONS = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt"})
OURS = "trading_platform."


@dataclass(frozen=True)
class Progress:
    """Something that happened. ``seconds`` is how long the asset took, ``rows`` what it holds now."""

    kind: Literal["run", "step", "done", "failed", "check"]
    text: str
    rows: int | None = None
    seconds: float | None = None


Report = Callable[[Progress], None]
"""Told of everything that happens, from another thread."""


class Follower:
    """Reads a run's events from the instance as they appear, and keeps what became of each in the document."""

    def __init__(self, instance: DagsterInstance, run_id: str, report: Report, document: RunDocument) -> None:
        self._instance = instance
        self._run_id = run_id
        self._report = report
        self._document = document
        self._started: dict[str, float] = {}
        self._reported: set[str] = set()
        self.has_named_failure = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow while the block runs; at its end the last event has been read."""
        finished = threading.Event()
        follower = threading.Thread(target=self._follow, args=(finished,), name="follow-run", daemon=True)
        follower.start()
        try:
            yield
        finally:
            finished.set()
            follower.join()

    def _follow(self, finished: threading.Event) -> None:
        cursor = None
        is_last = False
        while not is_last:
            is_last = finished.wait(POLL_SECONDS)
            more = True
            while more:
                page = self._instance.get_records_for_run(self._run_id, cursor=cursor)
                for record in page.records:
                    self.note(record.event_log_entry)
                cursor, more = page.cursor, page.has_more

    def note(self, entry: EventLogEntry) -> None:
        """Take in one event."""
        event = entry.dagster_event
        if event is None:
            return
        if event.is_step_start:
            self._started[str(event.step_key)] = entry.timestamp
            self._report(Progress("step", asset_name(str(event.step_key))))
        elif event.is_step_failure:
            self._fail(asset_name(str(event.step_key)), step_error(event))
        elif event.event_type_value == "ASSET_MATERIALIZATION_PLANNED":
            key = event.asset_key.to_user_string() if event.asset_key else ""
            self._document.assets.setdefault(key, AssetOutcome(status="skipped", rows=None))
        elif entry.asset_materialization is not None:
            started = self._started.get(str(event.step_key))
            self._made(entry.asset_materialization, None if started is None else entry.timestamp - started)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._checked(event)
        elif event.is_job_failure and not self.has_named_failure:
            error = event.job_failure_data.error
            self._fail("", plain_error(error) if error is not None else str(event.message))

    def _made(self, materialization: AssetMaterialization, seconds: float | None) -> None:
        key = materialization.asset_key.to_user_string()
        metadata = materialization.metadata
        rows = metadata.get("rows")
        count = int(rows.value) if rows is not None and isinstance(rows.value, (int, float)) else None
        self._document.assets[key] = AssetOutcome(status="materialized", rows=count)
        outcome, new_orders = metadata.get("outcome"), metadata.get("new_orders")
        if outcome is not None:
            self._document.outcomes[key] = str(outcome.value)
        if new_orders is not None:
            self._document.new_orders += int(str(new_orders.value))
        if key not in self._reported:  # a ranged run has an event for each of its sessions
            self._reported.add(key)
            self._report(Progress("done", key, count, seconds))

    def _checked(self, event: DagsterEvent) -> None:
        evaluation = event.asset_check_evaluation_data
        check = CheckOutcome(
            asset=evaluation.asset_key.to_user_string(),
            check=evaluation.check_name,
            passed=evaluation.passed,
            severity=evaluation.severity.value,
        )
        self._document.checks.append(check)
        if not check["passed"]:
            severity = "" if check["severity"] == "ERROR" else " (a warning)"
            self._report(Progress("check", f"{check['asset']}: check {check['check']} failed{severity}"))

    def _fail(self, key: str, why: str) -> None:
        self.has_named_failure = True
        if key:
            self._document.assets[key] = AssetOutcome(status="failed", rows=None)
        sentence = f"{key}: {why}" if key else why
        self._document.failures.append(sentence)
        self._report(Progress("failed", sentence))


def asset_name(step: str) -> str:
    """The asset that the step ``step`` makes, as people read it."""
    return step.replace("__", "/")


def step_error(event: DagsterEvent) -> str:
    """Why a step failed, in one sentence."""
    data = event.step_failure_data
    said = data.user_failure_data
    if said is not None and said.description:
        return " ".join(said.description.split())
    if data.error is None:
        return "failed without saying why"
    if data.error.cls_name in INTERRUPTIONS:
        return "interrupted"
    return plain_error(data.error)


def plain_error(error: SerializableErrorInfo) -> str:
    """The error that matters, without what Dagster wraps around it; our own errors without their class."""
    while error.cls_name in WRAPPERS and error.cause is not None:
        error = error.cause
    message = " ".join(error.message.split())
    name, _, sentence = message.partition(": ")
    return sentence if sentence and name.startswith(OURS) else message
