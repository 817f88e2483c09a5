"""Sensors: what runs because something happened. The decisions are pure functions; a sensor only does the I/O."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.defs.jobs import bars_job_name
from trading_platform.defs.market_data.assets import (
    RANGE_END,
    RANGE_START,
    quarantined_key,
    raw_key,
    validated_key,
)
from trading_platform.defs.rewritten_history import build_rewrite_sensor
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.settings import get_settings

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob
    from dagster._core.execution.plan.objects import StepFailureData

    from trading_platform.storage.ledger import Ledger, LedgerOrder

RETRY_MINUTES = 10
WATCH_SECONDS = 30
IDLE_WATCH_SECONDS = 300
FRESH = timedelta(minutes=30)
ONE_MORE_DAY = timedelta(days=1)


def build_sensors(feeds: Sequence[Feed], jobs: Sequence["AssetJob"]) -> list[dg.SensorDefinition]:
    """All sensors. ``jobs`` are those they may start."""
    return [_history(feeds, jobs), build_rewrite_sensor(feeds, jobs), _open_orders(), _run_failures()]


def missing_history(feed: Feed, lake: LakeResource, now: datetime) -> "tuple[tuple[date, ...], ...]":
    """Ranges of past sessions that are to be fetched now: some symbol's bars are not there for good, or what is there
    was never validated.

    Strategies need their look-back. Of a feed that none reads only what was begun is finished. A symbol that was asked
    for in vain has to wait before it is tried again (``domain.market_data.coverage``).
    """
    from trading_platform.domain.market_data.coverage import due_now, missing_by_symbol
    from trading_platform.domain.market_data.history import complete_sessions, look_back, missing_ranges
    from trading_platform.storage.bar_store import BarStore

    calendar = get_calendar(feed.calendar)
    needed = look_back(calendar.latest_session(now), feed.history_sessions, calendar)[:-1]
    store = BarStore(lake.get_lake(), feed.name)
    if not feed.strategies:
        begun = set(lake.get_lake().stored_sessions(store.raw))
        needed = [session for session in needed if session.isoformat() in begun]
    labels = [session.isoformat() for session in needed]
    stored, unanswered = store.bars(labels, ["symbol", "session", "received_at_utc"]), store.unanswered_bars(labels)
    missing = missing_by_symbol(needed, feed.symbols, complete_sessions(stored, calendar), unanswered)
    wanted = {session for sessions in due_now(missing, unanswered, now).values() for session in sessions}
    unvalidated = _unvalidated(lake, feed.name, stored)
    return missing_ranges([day for day in needed if day in wanted or day.isoformat() in unvalidated], (), calendar)


def _unvalidated(lake: LakeResource, feed: str, raw: "pd.DataFrame") -> set[str]:
    """Sessions of which a raw bar came after their bars were validated last: a run ended between the two."""
    import pandas as pd

    newest = raw.groupby("session")["received_at_utc"].max()
    for key in (validated_key(feed), quarantined_key(feed)):  # the second is hardly ever needed
        judged = lake.get_lake().read_sessions(
            key, list(newest.index), columns=["session", "received_at_utc"], is_missing_ok=True
        )
        seen = judged.groupby("session")["received_at_utc"].max()
        seen = pd.to_datetime(seen.reindex(newest.index), utc=True)
        newest = newest[~(seen >= newest)]
        if newest.empty:
            break
    return set(newest.index)


def history_request(feed: Feed, sessions: "Sequence[date]", attempt: str = "") -> dg.RunRequest:
    """One ranged run that fetches and validates the sessions. Features of the past are a backfill's business.

    The sensor starts a run once per ``attempt``.
    """
    first, last = sessions[0].isoformat(), sessions[-1].isoformat()
    return dg.RunRequest(
        run_key=f"history:{feed.name}:{first}:{last}:{attempt}",
        job_name=bars_job_name(feed.name),
        asset_selection=[dg.AssetKey(raw_key(feed.name)), dg.AssetKey(validated_key(feed.name))],
        tags={RANGE_START: first, RANGE_END: last},
    )


def _history(feeds: Sequence[Feed], jobs: Sequence["AssetJob"]) -> dg.SensorDefinition:
    names = {bars_job_name(feed.name) for feed in feeds}

    @dg.sensor(
        name="missing_history",
        jobs=[job for job in jobs if job.name in names],
        minimum_interval_seconds=60,
        default_status=_status(),
        description="Fetches the past sessions that a strategy's features need and the lake does not hold, "
        "and settles those that were left unfinished.",
    )
    def sensor(lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        settings = get_settings()
        now = settings.clock.now()
        # A run that failed, or that was made for another world's lake, must not keep this one from being tried.
        attempt = f"{settings.world.name}:{now:%Y-%m-%dT%H}:{now.minute // RETRY_MINUTES}"
        requests = [
            history_request(feed, sessions, attempt) for feed in feeds for sessions in missing_history(feed, lake, now)
        ]
        if not requests:
            return dg.SkipReason("the lake holds all the history that the strategies need")
        return dg.SensorResult(run_requests=requests)

    return sensor


def watched_orders(ledger: "Ledger", account: str, now: datetime) -> "tuple[LedgerOrder, ...]":
    """Orders of which the broker may still have news: all that may still add to a position, with an end.

    A live order is watched until it ends. An order in doubt, or one that is over and whose fills have not all arrived,
    is watched until the end of the broker's next day: what is not closed or filled by then is for a person.
    """
    from trading_platform.execution.closing import broker_day
    from trading_platform.storage.ledger.model import IN_DOUBT

    names = [order.client_order_id for order in ledger.working_orders(account)]
    orders = ledger.orders(account, client_order_ids=names) if names else []
    return tuple(
        order
        for order in orders
        if not (order.status in IN_DOUBT or order.status.is_terminal)
        or broker_day(now) <= broker_day(order.updated_at) + ONE_MORE_DAY
    )


def watch_request(account: str, orders: "Sequence[LedgerOrder]", now: datetime) -> dg.RunRequest:
    """One run per half minute while something happened within the last half hour, then one per five minutes."""
    is_fresh = now - max(order.updated_at for order in orders) < FRESH
    every = WATCH_SECONDS if is_fresh else IDLE_WATCH_SECONDS
    return dg.RunRequest(
        run_key=f"open_orders:{account}:{every}:{int(now.timestamp()) // every}",
        tags={"trading_platform/working_orders": str(len(orders))},
    )


def _open_orders() -> dg.SensorDefinition:
    @dg.sensor(
        name="open_orders",
        job_name="account",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=_status(),
        description="While orders are working, in doubt, or lack fills: the broker's orders and fills into the ledger.",
    )
    def sensor(ledger: LedgerResource) -> dg.RunRequest | dg.SkipReason:
        settings = get_settings()
        if settings.ibkr_account is None:
            return dg.SkipReason("TRADING_PLATFORM_IBKR_ACCOUNT is not set: name the account to be watched")
        now = settings.clock.now()
        watched = watched_orders(ledger.ledger, settings.ibkr_account, now)
        if not watched:
            return dg.SkipReason("no order is working")
        return watch_request(settings.ibkr_account, watched, now)

    return sensor


def _run_failures() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="run_failures",
        minimum_interval_seconds=15,
        default_status=_status(),
        description="Keeps every failed run with its error in `logs/run_failures.jsonl` below the platform's home.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> None:
        settings = get_settings()
        line = failure_line(context, settings.clock.now())
        path = settings.home.absolute() / "logs" / "run_failures.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            log.write(line + "\n")
        context.log.error(line)

    return sensor


def failure_line(context: dg.RunFailureSensorContext, at: datetime) -> str:
    """One JSON object: when it was seen, job, run, partition, and each failed step with its error."""
    run = context.dagster_run
    errors = {event.step_key or "": _words(event.step_failure_data) for event in context.get_step_failure_events()}
    return json.dumps(
        {
            "seen_at_utc": at.isoformat(),
            "job": run.job_name,
            "run_id": run.run_id,
            "partition": run.tags.get("dagster/partition", ""),
            "message": context.failure_event.message,
            "failed_steps": errors,
        }
    )


def _words(failure: "StepFailureData") -> str:
    """What the asset said, else the message of the error that was at the bottom of it."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else ""


def _status() -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if get_settings().schedules_running else dg.DefaultSensorStatus.STOPPED
