"""Research as assets: what MLflow is told of every session a strategy traded."""

import dagster as dg

from trading_platform.defs.common import asset, by_session
from trading_platform.defs.orders.keys import orders_key, risk_decisions_key
from trading_platform.defs.portfolio.assets import PERFORMANCE
from trading_platform.defs.signals.assets import signals_key
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.mlflow_session import MlflowResource
from trading_platform.resources.platform import PlatformResource

STAGE = "research"


def session_run_key(strategy: str) -> tuple[str, str]:
    """Key of the strategy's MLflow runs."""
    return STAGE, f"{strategy}_session_run"


def build_session_run(spec: StrategySpec) -> dg.AssetsDefinition:
    """The asset ``research/<strategy>_session_run``: one MLflow run per session."""
    key = session_run_key(spec.name)

    @asset(
        key=key,
        deps=[
            dg.AssetKey(signals_key(spec.name)),
            dg.AssetKey(orders_key(spec.name)),
            dg.AssetKey(risk_decisions_key(spec.name)),
            dg.AssetKey(PERFORMANCE),
        ],
        description=f"The MLflow run of `{spec.name}` for the session: its parameters, signals, refusals by reason, "
        "orders, fills, costs, and which Dagster runs made them. One run per session; materializing again updates it. "
        "Written for single sessions, not for backfills.",
        owners=[spec.owner],
        kinds={"mlflow"},
        group_name=STAGE,
        **by_session(spec.calendar),
    )
    def session_run(
        context: dg.AssetExecutionContext,
        platform: PlatformResource,
        ibkr: IBKRResource,
        ledger: LedgerResource,
        lake: LakeResource,
        mlflow: MlflowResource,
    ) -> dg.MaterializeResult[None]:
        from trading_platform.execution.session_activity import read_activity
        from trading_platform.ops.links import asset_path
        from trading_platform.ops.metadata import clean

        if len(context.partition_keys) > 1:
            return dg.MaterializeResult(metadata={"outcome": "a ranged run is not logged"})
        (session,) = context.partition_keys
        account = platform.settings.ibkr_account or ibkr.broker.account
        signals = lake.get_lake().read_sessions(signals_key(spec.name), [session], is_missing_ok=True)
        activity = read_activity(ledger.ledger, account, spec.name, session)
        metrics = {"signals": len(signals), **activity.metrics}
        with mlflow.session_run(
            context,
            strategy=spec.name,
            session=session,
            account=account,
            world=platform.settings.world.name,
            alone=ledger.ledger.alone,
        ) as run:
            current = platform.spec(spec.name)
            run.log_params({"universe": ",".join(current.universe), "bar_size": current.bar_size, **current.parameters})
            run.log_metrics(metrics)
            run.log_tags({**activity.tags, "mode": platform.settings.mode})
            run.log_frame("signals", signals)
            for name, frame in activity.tables.items():
                run.log_frame(name, frame)
        link = {"mlflow_run": dg.MetadataValue.url(run.url)} if run.url else {}
        page = {"orders_page": dg.MetadataValue.url(asset_path(orders_key(spec.name), session))}
        return dg.MaterializeResult(metadata={**clean({"mlflow_run_id": run.run_id, **metrics}), **link, **page})

    return session_run
