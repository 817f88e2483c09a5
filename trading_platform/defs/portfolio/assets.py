"""The portfolio as assets: positions and performance of the account, all strategies together."""

import dagster as dg

from trading_platform.defs.common import IBKR_POOL, Outputs, asset, contract_check, emit, table_spec
from trading_platform.defs.orders.assets import EXECUTIONS
from trading_platform.domain.calendars import get_calendar
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.platform import PlatformResource

STAGE = "portfolio"
POSITIONS = (STAGE, "positions")
PERFORMANCE = (STAGE, "performance")
MAIN_CALENDAR = "XNYS"
"""The day of the daily loss begins with its open."""


@asset(
    key=POSITIONS,
    deps=[dg.AssetKey(EXECUTIONS)],
    check_specs=[
        contract_check(POSITIONS, "Positions"),
        dg.AssetCheckSpec(
            "ledger_agrees_with_broker",
            asset=dg.AssetKey(POSITIONS),
            description="The fills in the ledger add up to the positions at the broker, symbol by symbol.",
        ),
    ],
    pool=IBKR_POOL,
    **table_spec(
        POSITIONS,
        "Positions",
        description="Holdings of the account at the broker beside what the ledger's fills add up to. One row per "
        "symbol; key `account, symbol`; USD.",
        owner="team:trading",
        kinds=["ibkr", "postgres"],
    ),
)
def positions(
    context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, ledger: LedgerResource
) -> Outputs:
    """Read the account's positions and compare them with the ledger."""
    from trading_platform.execution.portfolio import exposure_facts, positions_table
    from trading_platform.ops.metadata import table_metadata
    from trading_platform.ops.plots import exposure_bars
    from trading_platform.schemas.portfolio import Positions

    frame = positions_table(
        ledger.ledger,
        ibkr.broker,
        platform.universe.instruments,
        at=platform.now(),
        run_id=context.run.run_id,
    )
    differing = frame[frame["quantity"] != frame["ledger_quantity"]]
    agreement = dg.AssetCheckResult(
        asset_key=dg.AssetKey(POSITIONS),
        check_name="ledger_agrees_with_broker",
        passed=differing.empty,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"differences": table_metadata(differing)} if len(differing) else {},
    )
    equity = ibkr.broker.account_summary().net_liquidation
    values = dict(zip(frame["symbol"], frame["market_value_usd"], strict=True))
    yield from emit(
        context,
        frame,
        Positions,
        POSITIONS,
        metadata={
            **exposure_facts(frame, equity),
            "unrealized_pnl_usd": float(frame["unrealized_pnl_usd"].sum()),
            "exposure": exposure_bars(values, float(equity)),
            "positions": table_metadata(
                frame[["symbol", "quantity", "average_price_usd", "last_price_usd", "unrealized_pnl_usd"]]
            ),
        },
        checks=[agreement],
    )


@asset(
    key=PERFORMANCE,
    deps=[dg.AssetKey(POSITIONS)],
    check_specs=[contract_check(PERFORMANCE, "Performance")],
    pool=IBKR_POOL,
    **table_spec(
        PERFORMANCE,
        "Performance",
        description="Equity, cash, exposure and drawdown of the account, one row per reading; key "
        "`account, ts_utc`; USD; times in UTC.",
        owner="team:trading",
        kinds=["ibkr", "postgres"],
    ),
)
def performance(
    context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, ledger: LedgerResource
) -> Outputs:
    """Record the account's equity and draw its course. A loss beyond the account's limits stops everything."""
    from trading_platform.execution.breaches import loss_breaches
    from trading_platform.execution.kill_switch import engage_on_breach
    from trading_platform.execution.portfolio import account_figures, performance_table
    from trading_platform.ops.plots import equity_curve
    from trading_platform.schemas.portfolio import Performance

    book = ledger.ledger
    summary = ibkr.broker.account_summary()
    book.record_equity(summary, run_id=context.run.run_id)
    breaches = loss_breaches(book, summary, platform.account_limits, get_calendar(MAIN_CALENDAR), now=platform.now())
    killed = engage_on_breach(book, ibkr.broker, account=summary.account, breaches=breaches, clock=platform.clock)
    for sentence in killed.sentences if killed is not None else ():
        context.log.error(sentence)
    frame = performance_table(book, ibkr.broker.account)
    latest = frame.iloc[-1]
    yield from emit(
        context,
        frame,
        Performance,
        PERFORMANCE,
        metadata={
            "account": ibkr.broker.account,
            "breached_limits": list(breaches),
            "kill_switch": list(killed.sentences) if killed is not None else "not touched",
            "equity_usd": float(latest["equity_usd"]),
            "cash_usd": float(latest["cash_usd"]),
            "gross_exposure_usd": float(latest["gross_exposure_usd"]),
            "drawdown_pct": float(latest["drawdown_pct"]),
            **account_figures(book, frame),
            "equity": equity_curve(list(zip(frame["ts_utc"], frame["equity_usd"], strict=True))),
        },
    )
