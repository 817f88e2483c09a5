"""The sensor that asks again for the past of symbols whose vendor has rewritten it.

What was rewritten, runs find in what they fetch anyway (``ingest.collect``) and keep in ``<feed>_revised_bars``. What
may be replaced and what not is decided there too: asking again is all that this does. docs/decisions/0024 says why.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.defs.jobs import ACTIONS_JOB, bars_job_name
from trading_platform.defs.market_data.assets import (
    RANGE_END,
    RANGE_START,
    REFETCH_TAG,
    quarantined_key,
    raw_key,
    validated_key,
)
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.settings import get_settings

if TYPE_CHECKING:
    import pandas as pd
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob

REWRITE_TAG = "trading_platform/rewrite"
"""Tag of a run that asks again because of a rewrite: which one."""
ASKED_TAG = "trading_platform/asked_at"
WATCHED_SESSIONS = 10
"""Rewrites of older sessions than these are not acted upon: a request reaches over five stored sessions at most."""
MOST_ATTEMPTS = 3
FIRST_WAIT = timedelta(minutes=10)


@dataclass(frozen=True)
class Rewrite:
    """What one run noticed: the symbols whose past is to be asked for again, and whether all of it was rescaled.

    ``name`` is a function of what the vendor said: the same rewrite has the same name whenever it is noticed.
    """

    name: str
    symbols: tuple[str, ...]
    is_rescaled: bool


def found_rewrites(feed: Feed, lake: LakeResource, now: datetime) -> list[Rewrite]:
    """The rewrites of the last sessions, oldest first, each once.

    Only what was noticed beside the sessions that a run was for, or on another scale: the run's own sessions it has
    replaced already. What was noticed when asking again is not acted upon, so that a vendor who never says the same
    twice is asked no more than once per settled session.
    """
    from trading_platform.domain.market_data.history import look_back
    from trading_platform.storage.bar_store import BarStore

    calendar = get_calendar(feed.calendar)
    sessions = look_back(calendar.latest_session(now), WATCHED_SESSIONS, calendar)
    rows = BarStore(lake.get_lake(), feed.name).revisions([session.isoformat() for session in sessions])
    is_news = (rows["found_in"] == "overlap") | ((rows["kind"] == "rescaled") & (rows["found_in"] != "refetch"))
    seen: set[str] = set()
    found = []
    for _, noticed in rows[is_news].groupby("noticed_at_utc", sort=True):
        prints = {str(symbol): _fingerprint(str(symbol), own) for symbol, own in noticed.groupby("symbol", sort=True)}
        fresh = {symbol: one for symbol, one in prints.items() if one not in seen}
        seen |= set(fresh.values())
        if fresh:
            kinds = set(noticed.loc[noticed["symbol"].isin(fresh), "kind"])
            found.append(Rewrite(_digest(*fresh.values()), tuple(fresh), "rescaled" in kinds))
    return found


def refetch_sessions(feed: Feed, lake: LakeResource, now: datetime) -> list[date]:
    """The stored sessions that are asked for again: those that features look back on, and at least those watched."""
    from trading_platform.domain.market_data.history import look_back

    calendar = get_calendar(feed.calendar)
    count = max(feed.history_sessions, WATCHED_SESSIONS)
    stored = set(lake.get_lake().stored_sessions(raw_key(feed.name)))
    past = look_back(calendar.latest_session(now), count, calendar)[:-1]
    return [session for session in past if session.isoformat() in stored]


def rewrite_requests(
    feed: Feed, rewrite: Rewrite, sessions: Sequence[date], world: str, attempt: int, now: datetime
) -> list[dg.RunRequest]:
    """One ranged run that asks for the symbols again; before it, if the scale changed, the look for new splits."""
    name = f"{world}:{feed.name}:{rewrite.name}"
    tags = {REWRITE_TAG: name, ASKED_TAG: now.isoformat()}
    keys = (raw_key(feed.name), validated_key(feed.name), quarantined_key(feed.name))
    again = dg.RunRequest(
        run_key=f"rewrite:{name}:{attempt}",
        job_name=bars_job_name(feed.name),
        asset_selection=[dg.AssetKey(key) for key in keys],
        tags={
            **tags,
            RANGE_START: sessions[0].isoformat(),
            RANGE_END: sessions[-1].isoformat(),
            REFETCH_TAG: ",".join(rewrite.symbols),
        },
    )
    if not rewrite.is_rescaled or not feed.shows_actions:
        return [again]
    return [dg.RunRequest(run_key=f"rewrite:{name}:{attempt}:splits", job_name=ACTIONS_JOB), again]


def next_attempt(instance: dg.DagsterInstance, name: str, now: datetime) -> int | None:
    """The attempt that is due for a rewrite; ``None``: it was asked for, or has failed too often or too lately."""
    runs = instance.get_runs(dg.RunsFilter(tags={REWRITE_TAG: name}))
    if not runs:
        return 1
    has_failed = all(run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) for run in runs)
    last = max(datetime.fromisoformat(run.tags[ASKED_TAG]) for run in runs)
    is_time = now >= last + FIRST_WAIT * 2 ** (len(runs) - 1)
    return len(runs) + 1 if has_failed and is_time and len(runs) < MOST_ATTEMPTS else None


def build_rewrite_sensor(feeds: Sequence[Feed], jobs: Sequence["AssetJob"]) -> dg.SensorDefinition:
    """The sensor ``rewritten_history``."""
    names = {ACTIONS_JOB, *(bars_job_name(feed.name) for feed in feeds)}

    @dg.sensor(
        name="rewritten_history",
        jobs=[job for job in jobs if job.name in names],
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING
        if get_settings().schedules_running
        else dg.DefaultSensorStatus.STOPPED,
        description="Asks again for the stored past of symbols whose vendor has rewritten it, once per rewrite.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        settings = get_settings()
        now, world = settings.clock.now(), settings.world.name
        requests = []
        for feed in feeds:
            for rewrite in found_rewrites(feed, lake, now):
                attempt = next_attempt(context.instance, f"{world}:{feed.name}:{rewrite.name}", now)
                sessions = refetch_sessions(feed, lake, now) if attempt else []
                if attempt and sessions:
                    requests += rewrite_requests(feed, rewrite, sessions, world, attempt, now)
        if not requests:
            return dg.SkipReason("no vendor has rewritten stored bars since they were last asked for again")
        return dg.SensorResult(run_requests=requests)

    return sensor


def _fingerprint(symbol: str, rows: "pd.DataFrame") -> str:
    """What the vendor said of a symbol: the scale and up to which session, or the values of the bars."""
    rescaled = rows[rows["kind"] == "rescaled"]
    if len(rescaled):
        newest = rescaled.sort_values("session").iloc[-1]
        return f"{symbol} x{newest['factor']:.3g} up to {newest['session']}"
    values = rows[["ts_utc", "kind", "new_open", "new_high", "new_low", "new_close", "new_volume"]]
    return f"{symbol} {_digest(values.to_csv(index=False))}"


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\n".join(sorted(texts)).encode(), digest_size=6).hexdigest()
