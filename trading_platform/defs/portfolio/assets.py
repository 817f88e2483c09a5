"""The portfolio as assets: positions and performance of the account, all strategies together."""

import dagster as dg

from trading_platform.defs.common import IBKR_POOL, Outputs, asset, contract_check, emit, table_spec
from trading_platform.defs.orders.keys import EXECUTIONS
from trading_platform.domain.calendars import get_calendar
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.ledger import LedgerResource
from trading_platform.resources.platform import PlatformResource

STAGE = "portfolio"
POSITIONS = (STAGE, "positions")
PERFORMANCE = (STAGE, "performance")
CASH_EXPLAINED = "cash_explained_by_fills"
EQUITY_AGREES = "equity_agrees_with_fills"
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
    from trading_platform.defs.portfolio.views import holdings
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
            "mode": f"{platform.settings.mode} account {ibkr.broker.account}",
            **exposure_facts(frame, equity),
            "unrealized_pnl_usd": float(frame["unrealized_pnl_usd"].sum()),
            "exposure": exposure_bars(values, float(equity)),
            "positions": holdings(frame, float(equity)),
        },
        checks=[agreement],
    )


@asset(
    key=PERFORMANCE,
    deps=[dg.AssetKey(POSITIONS)],
    check_specs=[
        contract_check(PERFORMANCE, "Performance"),
        dg.AssetCheckSpec(
            CASH_EXPLAINED,
            asset=dg.AssetKey(PERFORMANCE),
            description="The first reading and the fills since come to the broker's cash, to the cent. What is left "
            "over came or went without a trade: deposits, withdrawals, dividends, interest. Warns for seven days.",
        ),
        dg.AssetCheckSpec(
            EQUITY_AGREES,
            asset=dg.AssetKey(PERFORMANCE),
            description="Cash and the positions that fills sum up to, at quotes, come to the broker's net liquidation "
            "value, within the quotes' spread or 0.1 % of each holding, whichever is more. USD only.",
        ),
    ],
    pool=IBKR_POOL,
    **table_spec(
        PERFORMANCE,
        "Performance",
        description="Equity, cash, exposure, time-weighted growth and drawdown of the account, and what fills explain "
        "of its cash. One row per reading; key `account, ts_utc`; USD; times in UTC.",
        owner="team:trading",
        kinds=["ibkr", "postgres"],
    ),
)
def performance(
    context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, ledger: LedgerResource
) -> Outputs:
    """Record the account's equity and draw its course. A loss beyond the account's limits stops everything."""
    from trading_platform.defs.portfolio.views import cash_check, equity_check, performance_facts
    from trading_platform.execution.breaches import loss_breaches
    from trading_platform.execution.equity import compare_equity, recent_flows
    from trading_platform.execution.kill_switch import engage_on_breach
    from trading_platform.execution.portfolio import performance_table, strategy_figures
    from trading_platform.schemas.portfolio import Performance

    book = ledger.ledger
    summary = ibkr.broker.account_summary()
    book.record_equity(summary, run_id=context.run.run_id)
    breaches = loss_breaches(book, summary, platform.account_limits, get_calendar(MAIN_CALENDAR), now=platform.now())
    killed = engage_on_breach(book, ibkr.broker, account=summary.account, breaches=breaches, clock=platform.clock)
    for sentence in killed.sentences if killed is not None else ():
        context.log.error(sentence)
    frame = performance_table(book, summary.account)
    agreement, marks = compare_equity(book, ibkr.broker, summary, platform.universe.instruments)
    yield from emit(
        context,
        frame,
        Performance,
        PERFORMANCE,
        metadata={
            "mode": f"{platform.settings.mode} account {summary.account}",
            "breached_limits": list(breaches) or "none",
            "kill_switch": list(killed.sentences) if killed is not None else "not touched",
            **performance_facts(book, frame, strategy_figures(book, summary.account, marks)),
        },
        checks=[
            cash_check(dg.AssetKey(PERFORMANCE), CASH_EXPLAINED, frame, recent_flows(frame, platform.now())),
            equity_check(dg.AssetKey(PERFORMANCE), EQUITY_AGREES, agreement),
        ],
    )
