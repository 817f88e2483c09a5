"""The front door: assembles Dagster's Definitions from the stages, and nothing else.

Import-light on purpose, since every run is a process that passes here: no pandas, no MLflow, no plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading_platform.calendar_cache import use_cached_calendars
from trading_platform.defs.features.assets import build_features
from trading_platform.defs.jobs import build_jobs
from trading_platform.defs.kill_switch import KILL_SWITCH_JOBS
from trading_platform.defs.market_data.assets import build_bars, build_instruments
from trading_platform.defs.market_data.corporate_actions import build_corporate_actions
from trading_platform.defs.market_data.members import build_members
from trading_platform.defs.orders.assets import (
    build_executions,
    build_order_intents,
    build_orders,
    build_risk_decisions,
)
from trading_platform.defs.portfolio.assets import performance, positions
from trading_platform.defs.research.assets import build_session_run
from trading_platform.defs.schedules import build_schedules
from trading_platform.defs.sensors import build_sensors
from trading_platform.defs.signals.assets import build_signals
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeIOManager, LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.mlflow_session import MlflowResource
from trading_platform.resources.platform import PlatformResource
from trading_platform.settings import ENV_PREFIX, Settings, get_settings
from trading_platform.specs.configured import configured_feeds, configured_sources, configured_specs

DEFAULT_PORT = 4002
CHAIN = (build_signals, build_order_intents, build_orders, build_risk_decisions)
"""What each strategy has of its own, upstream first."""
CLIENT_IDS = 16
"""How many API client ids, from the configured one on, runs at the same time may use; IBKR has 32."""


def build_resources(settings: Settings) -> dict[str, Any]:
    """The resources that the settings describe. Secrets stay in the environment and out of the UI."""
    lake = LakeResource(
        url=settings.lake,
        s3_endpoint_url=settings.s3_endpoint_url,
        keep_versions_days=settings.lake_keep_versions_days,
    )
    return {
        "platform": PlatformResource(),
        "ibkr": IBKRResource(
            host=settings.ibkr_host,
            port=settings.ibkr_port or DEFAULT_PORT,
            client_id=settings.ibkr_client_id,
            client_id_span=CLIENT_IDS,
            account=settings.ibkr_account,
            mode=settings.mode,
            live_confirmation=settings.live_confirmation,
            read_only=settings.read_only,
            connect_timeout_seconds=settings.ibkr_connect_timeout_seconds,
            request_timeout_seconds=settings.ibkr_request_timeout_seconds,
            state_dir=str(settings.home.absolute() / "ibkr"),
            strategies=str(settings.strategies) if settings.strategies else None,
            clock_offset_seconds=settings.clock_offset_seconds,
        ),
        "ledger": LedgerResource(),
        "lake": lake,
        "io_manager": LakeIOManager(lake=lake),
        "mlflow": MlflowResource(
            tracking_uri=dg.EnvVar(f"{ENV_PREFIX}MLFLOW_TRACKING_URI"),
            ui_url=settings.mlflow_ui_url,
            artifact_root=settings.mlflow_artifacts,
            s3_endpoint_url=settings.s3_endpoint_url,
        ),
    }


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Everything Dagster is to know. ``resources`` replace those of the settings, for tests."""
    use_cached_calendars()
    specs, feeds, sources = configured_specs(settings), configured_feeds(settings), configured_sources(settings)
    jobs = build_jobs(specs, feeds)
    symbols = sorted({symbol for feed in feeds for symbol in feed.symbols})
    return dg.Definitions(
        assets=[
            build_instruments(symbols),
            *build_members(feeds),
            *(asset for feed in feeds for asset in build_bars(feed, sources)),
            *build_corporate_actions(feeds),
            *(build_features(feed) for feed in feeds if feed.strategies),
            *(build(spec) for spec in specs for build in CHAIN),
            build_executions(specs),
            positions,
            performance,
            *(build_session_run(spec) for spec in specs),
        ],
        jobs=[*jobs, *KILL_SWITCH_JOBS],
        schedules=build_schedules(specs, feeds),
        sensors=build_sensors(feeds, jobs),
        resources={**build_resources(settings), **(resources or {})},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location that workspace.yaml names."""
    return build_definitions(get_settings())
