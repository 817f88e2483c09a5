"""Jobs: named selections of assets, run in one process. None that can place an order is started again by Dagster.

``<feed>_bars``: a feed's bars and features. ``<strategy>_agent``: the whole chain of one strategy.
``session_<calendar>``: all of a calendar's strategies at once, what `trading-platform run` executes.
``account``: the broker's truth into the ledger. ``session_<calendar>_log``: the session into MLflow.
``instruments``: contract details. ``splits_and_dividends``: corporate actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.defs.features.assets import features_key
from trading_platform.defs.market_data.assets import (
    CORPORATE_ACTIONS,
    INSTRUMENTS,
    quarantined_key,
    raw_key,
    validated_key,
)
from trading_platform.defs.market_data.members import members_key
from trading_platform.defs.orders.keys import EXECUTIONS, intents_key, orders_key, risk_decisions_key
from trading_platform.defs.portfolio.assets import PERFORMANCE, POSITIONS
from trading_platform.defs.research.assets import session_run_key
from trading_platform.defs.signals.assets import signals_key
from trading_platform.domain.calendars import calendar_slug
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import StrategySpec

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob

Key = tuple[str, str]
NEVER_RETRIED = {"dagster/max_retries": "0"}
RETRIED_IF_ITS_WORKER_DIES = {"dagster/max_retries": "1"}
"""For jobs that only read. The instance's default is 0, so a selection made by hand is never started again either."""
ACTIONS_JOB = "splits_and_dividends"
"""A job may not share an asset's name."""
ACCOUNT_WIDE: tuple[Key, ...] = (EXECUTIONS, POSITIONS, PERFORMANCE)


def bars_job_name(feed: str) -> str:
    """Name of the job that collects a feed."""
    return f"{feed}_bars"


def agent_job_name(strategy: str) -> str:
    """Name of a strategy's job."""
    return f"{strategy}_agent"


def session_job_name(calendar: str) -> str:
    """Name of the job that runs everything of one calendar, e.g. ``session_xnys``, ``session_24_7``."""
    return f"session_{calendar_slug(calendar)}"


def log_job_name(calendar: str) -> str:
    """Name of the job that writes a calendar's session to MLflow."""
    return f"{session_job_name(calendar)}_log"


def bars_keys(feed: Feed) -> tuple[Key, ...]:
    """What a tick of a feed materializes."""
    members = (members_key(feed.name),) if feed.members is not None else ()
    bars = (*members, raw_key(feed.name), validated_key(feed.name), quarantined_key(feed.name))
    return (*bars, features_key(feed.name)) if feed.strategies else bars


def chain_keys(spec: StrategySpec) -> tuple[Key, ...]:
    """What a strategy adds to its feed, up to its orders and what risk said of them."""
    return signals_key(spec.name), intents_key(spec.name), orders_key(spec.name), risk_decisions_key(spec.name)


def build_jobs(specs: Sequence[StrategySpec], feeds: Sequence[Feed]) -> list[AssetJob]:
    """All jobs of these strategies and feeds."""
    by_name = {feed.name: feed for feed in feeds}
    jobs = [
        _job(
            bars_job_name(feed.name),
            bars_keys(feed),
            f"Collect, validate and measure the feed {feed.name}.",
            RETRIED_IF_ITS_WORKER_DIES,
        )
        for feed in feeds
    ]
    jobs += [
        _job(
            agent_job_name(spec.name),
            (*bars_keys(by_name[spec.feed]), *chain_keys(spec), *ACCOUNT_WIDE),
            f"One tick of {spec.name}: bars, features, signal, risk, order, performance. {spec.description}",
        )
        for spec in specs
    ]
    for calendar in sorted({spec.calendar for spec in specs}):
        own = [spec for spec in specs if spec.calendar == calendar]
        collected = {key: None for spec in own for key in bars_keys(by_name[spec.feed])}
        chains = [key for spec in own for key in chain_keys(spec)]
        logs = [session_run_key(spec.name) for spec in own]
        everything = (INSTRUMENTS, *collected, *chains, *ACCOUNT_WIDE, *logs)
        jobs.append(_job(session_job_name(calendar), everything, f"Everything on calendar {calendar}, once."))
        jobs.append(_job(log_job_name(calendar), logs, f"The session on {calendar} into MLflow."))
    if any(feed.shows_actions for feed in feeds):
        jobs.append(_job(ACTIONS_JOB, [CORPORATE_ACTIONS], "Splits and dividends of the stocks with daily bars."))
    jobs.append(_job("instruments", [INSTRUMENTS], "Contract details of every instrument in use."))
    jobs.append(_job("account", ACCOUNT_WIDE, "The broker's orders, fills, positions and equity into the ledger."))
    return jobs


def _job(name: str, keys: Iterable[Key], description: str, tags: Mapping[str, str] = NEVER_RETRIED) -> AssetJob:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*(dg.AssetKey(key) for key in keys)),
        description=description,
        executor_def=dg.in_process_executor,
        tags=tags,
    )
