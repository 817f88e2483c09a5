"""Research as assets: what MLflow is told of every session a strategy traded."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.common import asset, by_session
from trading_platform.defs.orders.assets import orders_key
from trading_platform.defs.portfolio.assets import PERFORMANCE
from trading_platform.defs.signals.assets import signals_key
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.mlflow_session import MlflowResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    import pandas as pd

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
            dg.AssetKey(PERFORMANCE),
        ],
        description=f"The MLflow run of `{spec.name}` for the session: its parameters, signals, orders and costs. "
        "One run per session; materializing again updates it. Written for single sessions, not for backfills.",
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
        from trading_platform.execution.tables import orders_table
        from trading_platform.ops.metadata import clean

        if len(context.partition_keys) > 1:
            return dg.MaterializeResult(metadata={"outcome": "a ranged run is not logged"})
        (session,) = context.partition_keys
        account = platform.settings.ibkr_account or ibkr.broker.account
        signals = lake.get_lake().read_sessions(signals_key(spec.name), [session], is_missing_ok=True)
        orders = orders_table(ledger.ledger, account, spec.name, [session])
        metrics = _metrics(signals, orders)
        with mlflow.session_run(
            context, strategy=spec.name, session=session, account=account, world=platform.settings.world.name
        ) as run:
            current = platform.spec(spec.name)
            run.log_params({"universe": ",".join(current.universe), "bar_size": current.bar_size, **current.parameters})
            run.log_metrics(metrics)
            run.log_frame("signals", signals)
            run.log_frame("orders", orders)
        link = {"mlflow_run": dg.MetadataValue.url(run.url)} if run.url else {}
        return dg.MaterializeResult(metadata={**clean({"mlflow_run_id": run.run_id, **metrics}), **link})

    return session_run


def _metrics(signals: "pd.DataFrame", orders: "pd.DataFrame") -> dict[str, Any]:
    filled = orders[orders["filled_quantity"] > 0]
    notional = filled["filled_quantity"] * filled["average_price_usd"]
    metrics: dict[str, Any] = {
        "signals": len(signals),
        "orders": len(orders),
        "filled_orders": len(filled),
        "traded_notional_usd": float(notional.sum()),
    }
    if len(filled):
        metrics["mean_slippage_bps"] = float(filled["slippage_bps"].mean())
    return metrics
