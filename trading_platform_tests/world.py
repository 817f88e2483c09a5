"""A whole platform at a moment that stands still: the paper gateway, a ledger, a lake, and Dagster in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from pathlib import Path
from types import MethodType
from typing import Any

import dagster as dg
import pandas as pd

from trading_platform.clock import ManualClock, SystemClock
from trading_platform.definitions import build_definitions
from trading_platform.defs.sensors import history_request, missing_history
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.resources.dagster_storage import BulkEventLogStorage
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.platform import PlatformResource
from trading_platform.settings import Settings
from trading_platform.specs.configured import configured_feeds
from trading_platform.storage.lake import Lake
from trading_platform.storage.ledger import Ledger

LATE = datetime(2013, 2, 28, 20, 45, tzinfo=timezone.utc)
"""A quarter of an hour before the close of an ordinary session."""
SESSION = "2013-02-28"
ACCOUNT = "DU20130228"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def platform_at(clock: ManualClock, settings: Settings) -> PlatformResource:
    """The platform resource with this clock and these settings instead of the process's."""

    class Stopped(PlatformResource):
        @property
        def settings(self) -> Settings:
            return settings

        @property
        def clock(self) -> ManualClock:
            return clock

    return Stopped()


def instance_in_memory() -> dg.DagsterInstance:
    """A Dagster instance of its own that plans checks as the platform's storage does: once, not once per session."""
    instance = dg.DagsterInstance.ephemeral()
    events = instance.event_log_storage
    plan = BulkEventLogStorage._store_asset_check_evaluation_planned
    events._store_asset_check_evaluation_planned = MethodType(plan, events)  # type: ignore[attr-defined]
    return instance


@dataclass
class World:
    """One world. ``run`` executes a job as a Dagster run would, in this process."""

    home: Path
    clock: ManualClock
    gateway: PaperGateway
    settings: Settings
    ledger_url: str
    mlflow: Any = None
    instance: dg.DagsterInstance = field(default_factory=instance_in_memory)
    _made: dict[object, dg.Definitions] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.ledger_url)

    @property
    def lake(self) -> Lake:
        return self.lake_resource.get_lake()

    @property
    def lake_resource(self) -> LakeResource:
        return LakeResource(url=self.settings.lake)

    def with_settings(self, **changes: Any) -> World:
        """The same world seen with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    def feed(self, name: str) -> Feed:
        return next(feed for feed in configured_feeds(self.settings) if feed.name == name)

    def definitions(self) -> dg.Definitions:
        """What Dagster knows of this world; made anew when its clock, MLflow, settings or a file of them changed."""
        specs = self.settings.strategies
        files = sorted(specs.glob("*.yaml")) if specs else []
        asked = (self.clock.now(), id(self.mlflow), self.settings.model_dump_json())
        state = (*asked, *(file.read_text() for file in files))
        if state not in self._made:
            self._made.clear()
            self._made[state] = self._make_definitions()
        return self._made[state]

    def _make_definitions(self) -> dg.Definitions:
        resources: dict[str, Any] = {
            "platform": platform_at(self.clock, self.settings),
            "ledger": LedgerResource(database_url=self.ledger_url),
            "ibkr": IBKRResource(
                port=self.gateway.port,
                client_id=self.settings.ibkr_client_id,
                client_id_span=16,
                account=self.settings.ibkr_account,
                read_only=self.settings.read_only,
                connect_timeout_seconds=5,
                request_timeout_seconds=5,
                read_attempts=2,
                retry_wait_seconds=0.05,
                strategies=str(self.settings.strategies) if self.settings.strategies else None,
                clock_offset_seconds=SystemClock.starting_at(self.clock.now()).offset.total_seconds(),
            ),
        }
        if self.mlflow is not None:
            resources["mlflow"] = self.mlflow
        return build_definitions(self.settings, resources)

    def run(
        self,
        job: str,
        session: str | None = SESSION,
        *,
        assets: Sequence[Sequence[str]] | None = None,
        tags: Mapping[str, str] | None = None,
        sessions: tuple[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Execute ``job`` (or some of its assets) for a session, or for all from ``sessions[0]`` to ``sessions[1]``."""
        ranged = (
            {
                "dagster/asset_partition_range_start": sessions[0],
                "dagster/asset_partition_range_end": sessions[1],
            }
            if sessions
            else {}
        )
        return (
            self.definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=None if sessions else session,
                asset_selection=[dg.AssetKey(key) for key in assets] if assets else None,
                tags={**ranged, **(tags or {})},
                run_config=QUIET,
                raise_on_error=False,
            )
        )

    def fetch_history(self, feed: str) -> None:
        """What the sensor ``missing_history`` would start for the feed."""
        wanted = self.feed(feed)
        for sessions in missing_history(wanted, self.lake_resource, self.clock.now()):
            request = history_request(wanted, sessions)
            result = self.run(
                str(request.job_name),
                assets=[key.path for key in request.asset_selection or ()],
                sessions=(sessions[0].isoformat(), sessions[-1].isoformat()),
            )
            assert result.success

    def orders_at_broker(self) -> int:
        """How many orders the gateway has ever accepted in its account."""
        from trading_platform.brokers.ibkr.client import IBKRBroker
        from trading_platform.brokers.ibkr.config import IBKRConfig

        with IBKRBroker(IBKRConfig(port=self.gateway.port, client_id=90)) as broker:
            return len(broker.open_orders()) + len(broker.completed_orders())

    def table(self, *key: str, session: str = SESSION) -> pd.DataFrame:
        """A session of a table in the lake."""
        return self.lake.read_sessions((key[0], key[1]), [session])

    def close(self) -> None:
        self.ledger.close()
        self.gateway.stop_in_thread()
        self.instance.dispose()


@contextmanager
def world_at(
    home: Path, database_url: str, moment: datetime = LATE, account: str = ACCOUNT, **settings: Any
) -> Iterator[World]:
    """A running world below ``home``. ``database_url`` must be a migrated ledger's."""
    clock = ManualClock(moment)
    gateway = PaperGateway(
        GatewayConfig(port=0, account=account, state_path=home / "account.sqlite", pacing_enabled=False), clock.now
    ).start_in_thread()
    configured = Settings(
        _env_file=None,
        home=home,
        as_of_session=moment.date().isoformat(),
        ibkr_port=gateway.port,
        ibkr_account=account,
        ledger_database_url=database_url,
        **settings,
    )
    world = World(home, clock, gateway, configured, database_url)
    try:
        yield world
    finally:
        world.close()


@contextmanager
def copy_of(world: World, home: Path, database_url: str, **settings: Any) -> Iterator[World]:
    """A world of one's own at the same moment, with the lake of ``world``."""
    lake = home / "worlds" / world.settings.world.name / "lake"
    shutil.copytree(world.settings.lake, lake, copy_function=os.link)  # files of a lake are replaced, never changed
    with world_at(home, database_url, world.clock.now(), **settings) as own:
        yield own


def metadata_of(result: dg.ExecuteInProcessResult, *key: str) -> dict[str, Any]:
    """The metadata of the newest materialization of an asset in a run, as plain values."""
    events = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey(key)
    ]
    assert events, f"{key} was not materialized"
    return {name: value.value for name, value in events[-1].metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult, *key: str) -> dict[str, Any]:
    """The check evaluations of an asset in a run, by check name."""
    return {
        evaluation.check_name: evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.asset_key == dg.AssetKey(key)
    }


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the failed steps of a run said."""
    words = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            words.append((data.user_failure_data and data.user_failure_data.description) or "")
            error = data.error
            while error is not None:
                words.append(error.message)
                error = error.cause
    return " ".join(words)


def weekday_sessions(first: date, last: date, is_session: Callable[[date], bool]) -> list[str]:
    """ISO dates of the sessions in a span of days."""
    return [day.date().isoformat() for day in pd.date_range(first, last) if is_session(day.date())]
