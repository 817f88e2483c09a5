"""Orders as assets: intents, orders, risk decisions and executions. Only ``<strategy>_orders`` has a side effect.

The decisions are in ``domain.orders``; what touches ledger and broker is in ``execution``; the ledger is the
truth, these tables are what people read.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.common import (
    IBKR_POOL,
    Outputs,
    asset,
    by_session,
    contract_check,
    emit,
    newest_session_of,
    sessions_of,
    table_spec,
)
from trading_platform.defs.market_data.assets import quarantined_key, validated_key
from trading_platform.defs.orders.keys import EXECUTIONS, RECONCILED, intents_key, orders_key, risk_decisions_key
from trading_platform.defs.signals.assets import signals_key
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from datetime import date, datetime

    import pandas as pd

    from trading_platform.execution.trade import OrderRun


def build_order_intents(spec: StrategySpec) -> dg.AssetsDefinition:
    """The asset ``orders/<strategy>_order_intents``."""
    key = intents_key(spec.name)

    @asset(
        key=key,
        ins={"signals": dg.AssetIn(key=dg.AssetKey(signals_key(spec.name)))},
        check_specs=[contract_check(key, "OrderIntents")],
        pool=IBKR_POOL,
        **by_session(spec.calendar),
        **table_spec(
            key,
            "OrderIntents",
            description=f"What `{spec.name}` asked to trade in the session, sized, with risk's verdict on each. "
            "One row per order; key `client_order_id`. A tick is decided once: a re-run shows the stored decision.",
            owner=spec.owner,
            kinds=["ibkr", "postgres"],
        ),
    )
    def order_intents(
        context: dg.AssetExecutionContext,
        platform: PlatformResource,
        ibkr: IBKRResource,
        ledger: LedgerResource,
        lake: LakeResource,
        signals: Any,
    ) -> Outputs:
        from trading_platform.execution.tables import intents_table
        from trading_platform.execution.trade import decide_current_tick
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.orders import OrderIntents

        run = _order_run(context, platform, ibkr, ledger, lake, spec.name)
        decided = decide_current_tick(run, signals)
        frame = intents_table(run.ledger, decided.account, spec.name, run.sessions)
        yield from emit(
            context,
            frame,
            OrderIntents,
            key,
            metadata={
                "mode": f"{run.settings.mode} account {decided.account}",
                "outcome": decided.outcome,
                "approved": int(frame["is_approved"].sum()),
                "rejected": int((~frame["is_approved"]).sum()),
                "cut_to_limits": int((frame["cut_by"] != "").sum()),
                "notional_usd": float(frame["notional_usd"].sum()),
                "skipped_signals": table_metadata(decided.skipped),
                "intents": table_metadata(
                    frame[["symbol", "side", "quantity", "cut_by", "notional_usd", "is_approved", "reasons"]]
                ),
            },
        )

    return order_intents


def build_orders(spec: StrategySpec) -> dg.AssetsDefinition:
    """The asset ``orders/<strategy>_orders``: the only one that sends anything to the market."""
    key = orders_key(spec.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(intents_key(spec.name))],
        check_specs=[contract_check(key, "Orders")],
        pool=IBKR_POOL,
        **by_session(spec.calendar),
        **table_spec(
            key,
            "Orders",
            description=f"Orders of `{spec.name}` in the session with their state in the ledger. Approved intents of "
            "the current tick are sent to the broker, each exactly once. Backfills, past sessions, closed markets, "
            "stale prices and halts send nothing and say so. One row per order; key `client_order_id`.",
            owner=spec.owner,
            kinds=["ibkr", "postgres"],
        ),
    )
    def orders(
        context: dg.AssetExecutionContext,
        platform: PlatformResource,
        ibkr: IBKRResource,
        ledger: LedgerResource,
        lake: LakeResource,
    ) -> Outputs:
        from trading_platform.defs.orders.views import (
            blotter,
            fills_on_candles,
            order_facts,
            orders_at_a_glance,
            trace_of_orders,
        )
        from trading_platform.execution.tables import orders_table
        from trading_platform.execution.trade import submit_current_tick
        from trading_platform.schemas.orders import Orders

        run = _order_run(context, platform, ibkr, ledger, lake, spec.name)
        sent = submit_current_tick(run)
        frame = orders_table(run.ledger, sent.account, spec.name, run.sessions)
        fills = run.ledger.fills(sent.account, client_order_ids=list(frame["client_order_id"]))
        if sent.refusals:
            context.log.warning("nothing was sent: %s", "; ".join(sent.refusals))
        yield from emit(
            context,
            frame,
            Orders,
            key,
            metadata={
                "mode": f"{run.settings.mode} account {sent.account}",
                "new_orders": sent.new_orders,
                "outcome": sent.outcome,
                "refusals": list(sent.refusals) or "none",
                **order_facts(frame),
                "orders": orders_at_a_glance(frame),
                "blotter": blotter(frame),
                **fills_on_candles(lake, spec, frame, fills),
                "trace": trace_of_orders(frame, {spec.name: spec}),
            },
        )

    return orders


def build_risk_decisions(spec: StrategySpec) -> dg.AssetsDefinition:
    """The asset ``orders/<strategy>_risk_decisions``."""
    key = risk_decisions_key(spec.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(intents_key(spec.name)), dg.AssetKey(orders_key(spec.name))],
        check_specs=[contract_check(key, "RiskDecisions")],
        **by_session(spec.calendar),
        **table_spec(
            key,
            "RiskDecisions",
            description=f"What risk said of every intent of `{spec.name}` in the session, when the tick was decided "
            "and again right before sending, with the numbers it used. One row per control that refused, or one for an "
            "approval; key `client_order_id, stage, attempt, control`; times in UTC.",
            owner=spec.owner,
            kinds=["postgres"],
        ),
    )
    def risk_decisions(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, ledger: LedgerResource
    ) -> Outputs:
        from trading_platform.defs.orders.views import decision_facts, refusals_over_time
        from trading_platform.execution.tables import risk_decisions_table
        from trading_platform.schemas.orders import RiskDecisions

        account = platform.settings.ibkr_account or ibkr.broker.account
        sessions = context.partition_keys
        frame = risk_decisions_table(ledger.ledger, account, spec.name, sessions)
        yield from emit(
            context,
            frame,
            RiskDecisions,
            key,
            metadata={
                "mode": f"{platform.settings.mode} account {account}",
                **decision_facts(frame),
                "refusals": refusals_over_time(ledger.ledger, account, sessions[-1], strategy=spec.name),
            },
        )

    return risk_decisions


def build_executions(strategies: Sequence[StrategySpec]) -> dg.AssetsDefinition:
    """The asset ``orders/executions``: the broker's fills, reconciled into the ledger."""

    @asset(
        key=EXECUTIONS,
        deps=[newest_session_of(orders_key(spec.name)) for spec in strategies],
        check_specs=[
            contract_check(EXECUTIONS, "Executions"),
            dg.AssetCheckSpec(
                RECONCILED,
                asset=dg.AssetKey(EXECUTIONS),
                description="Broker and ledger agree: no order's fate is unknown, none is doubled, positions match.",
            ),
        ],
        pool=IBKR_POOL,
        **table_spec(
            EXECUTIONS,
            "Executions",
            description="Fills of the account, all strategies, as the broker reported them. The broker's open and "
            "completed orders and executions are read into the ledger first; contradictions turn the kill switch on. "
            "One row per fill; key "
            "`account, execution_id`; prices in USD; times in UTC.",
            owner="team:trading",
            kinds=["ibkr", "postgres"],
        ),
    )
    def executions(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, ledger: LedgerResource
    ) -> Outputs:
        from trading_platform.defs.orders.views import fills_table, refusals_over_time, slippage_facts, trace_of_fills
        from trading_platform.execution.kill_switch import engage_on_broken_reconciliation
        from trading_platform.execution.reconcile import reconcile
        from trading_platform.execution.tables import executions_table
        from trading_platform.schemas.orders import Executions

        book = ledger.ledger
        report = reconcile(
            book,
            ibkr.broker,
            account=ibkr.broker.account,
            clock=platform.clock,
            run_id=context.run.run_id,
            close_of=platform.close_of,
        )
        killed = engage_on_broken_reconciliation(book, ibkr.broker, report, clock=platform.clock)
        for sentence in killed.sentences if killed is not None else ():
            context.log.error(sentence)
        frame = executions_table(book, ibkr.broker.account)
        reconciled = dg.AssetCheckResult(
            asset_key=dg.AssetKey(EXECUTIONS),
            check_name=RECONCILED,
            passed=report.is_clean,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"problems": list(report.problems)} if report.problems else {},
        )
        yield from emit(
            context,
            frame,
            Executions,
            EXECUTIONS,
            metadata={
                "mode": f"{platform.settings.mode} account {report.account}",
                "new_fills": report.new_fills,
                "kill_switch": list(killed.sentences) if killed is not None else "not touched",
                "commission_usd": round(float(frame["commission_usd"].sum()), 2),
                "trace": trace_of_fills(frame, {spec.name: spec for spec in platform.specs}),
                **slippage_facts(frame),
                "refusals": refusals_over_time(book, report.account, platform.now().date().isoformat()),
                "fills": fills_table(frame),
            },
            checks=[reconciled],
        )

    return executions


def _order_run(
    context: dg.AssetExecutionContext,
    platform: PlatformResource,
    ibkr: IBKRResource,
    ledger: LedgerResource,
    lake: LakeResource,
    strategy: str,
) -> "OrderRun":
    from trading_platform.execution.trade import OrderRun

    spec = platform.spec(strategy)
    return OrderRun(
        spec=spec,
        sessions=tuple(context.partition_keys),
        run_id=context.run.run_id,
        run_tags=dict(context.run.tags),
        settings=platform.settings,
        clock=platform.clock,
        instruments=platform.universe.instruments,
        ledger=ledger.ledger,
        connect=lambda: ibkr.broker,
        quarantined=lambda: _quarantined(lake, spec.feed, sessions_of(context)),
        log=context.log.info,
        newest_bars=lambda: newest_ended_bars(lake, spec, sessions_of(context)),
        signals_run_id=lambda: _maker_of(context, signals_key(strategy)),
    )


def _maker_of(context: dg.AssetExecutionContext, key: tuple[str, str]) -> str | None:
    """The run that made the newest materialization of the run's last session of an asset."""
    newest = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(key), asset_partitions=[context.partition_keys[-1]]), limit=1
    )
    return newest.records[0].run_id if newest.records else None


def _quarantined(lake: LakeResource, feed: str, sessions: "Sequence[date]") -> frozenset[str]:
    """Symbols whose bars of the run's last session were set aside or are held, and nobody has decided yet."""
    from trading_platform.domain.market_data.validation import blocked_symbols

    log: pd.DataFrame = lake.get_lake().read_sessions(
        quarantined_key(feed), [sessions[-1].isoformat()], is_missing_ok=True
    )
    return blocked_symbols(log)


def newest_ended_bars(lake: LakeResource, spec: StrategySpec, sessions: "Sequence[date]") -> "dict[str, datetime]":
    """Start of each symbol's newest bar that has ended, in the run's last session or the one before.

    A daily bar counts while its session lasts: it is the day so far.
    """
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.bars import newest_bars
    from trading_platform.domain.market_data.history import look_back

    wanted = [session.isoformat() for session in look_back(sessions[-1], 1, get_calendar(spec.calendar))]
    bars = lake.get_lake().read_sessions(validated_key(spec.feed), wanted, is_missing_ok=True)
    return newest_bars(bars if spec.is_daily or bars.empty else bars[bars["is_final"]])
