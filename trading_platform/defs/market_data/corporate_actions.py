"""Splits and dividends as an asset. Finding them is in ``ingest.corporate_actions``, using them in ``domain``."""

from collections.abc import Sequence

import dagster as dg

from trading_platform.defs.common import IBKR_POOL, Outputs, asset, contract_check, emit, table_spec
from trading_platform.defs.market_data.assets import CORPORATE_ACTIONS, validated_key
from trading_platform.domain.market_data.feeds import DAILY, Feed
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

YEAR_OF_SESSIONS = 253


def build_corporate_actions(feeds: Sequence[Feed]) -> list[dg.AssetsDefinition]:
    """The asset ``market_data/corporate_actions`` of the symbols in the daily feed, if there is one."""
    return [_corporate_actions(feed) for feed in feeds if feed.name == DAILY]


def _corporate_actions(daily: Feed) -> dg.AssetsDefinition:
    @asset(
        key=CORPORATE_ACTIONS,
        deps=[dg.AssetKey(validated_key(daily.name))],
        check_specs=[
            contract_check(CORPORATE_ACTIONS, "CorporateActions"),
            dg.AssetCheckSpec(
                "every_symbol_compared",
                asset=dg.AssetKey(CORPORATE_ACTIONS),
                description="The broker's adjusted closes could be compared with the stored ones for every stock.",
            ),
            dg.AssetCheckSpec(
                "known_actions_still_shown",
                asset=dg.AssetKey(CORPORATE_ACTIONS),
                description="The source still shows every action of the last year that it once showed.",
            ),
        ],
        pool=IBKR_POOL,
        **table_spec(
            CORPORATE_ACTIONS,
            "CorporateActions",
            description="Splits and cash dividends of the stocks with daily bars, found by comparing the broker's "
            "adjusted closes of the last year with the stored ones as traded. One row per action; key "
            "`symbol, ex_session, kind`; dividends in USD per share. Rows are never dropped.",
            kinds=["ibkr"],
        ),
    )
    def corporate_actions(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, lake: LakeResource
    ) -> Outputs:
        from trading_platform.domain.calendars import get_calendar
        from trading_platform.domain.market_data.history import look_back
        from trading_platform.ingest.corporate_actions import learn_actions
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.base import empty
        from trading_platform.schemas.market_data import CorporateActions

        store, now, calendar = lake.get_lake(), platform.now(), get_calendar(daily.calendar)
        sessions = [day.isoformat() for day in look_back(calendar.latest_session(now), YEAR_OF_SESSIONS, calendar)]
        bars = store.read_sessions(
            validated_key(daily.name), sessions, columns=["symbol", "session", "close", "is_final"], is_missing_ok=True
        )
        # another vendor's closes differ from the broker's for more reasons than splits and dividends
        elsewhere = platform.sources.elsewhere(daily.name, daily.symbols)
        bars = bars[~bars["symbol"].isin(elsewhere)]
        known = store.read_table(CORPORATE_ACTIONS) if store.has_table(CORPORATE_ACTIONS) else empty(CorporateActions)
        learned = learn_actions(ibkr.broker, platform.universe.instruments, bars, known, now=now)
        failures = [{"symbol": symbol, "reason": why} for symbol, why in learned.failures.items()]
        failures += [{"symbol": symbol, "reason": f"its bars come from {name}"} for symbol, name in elsewhere.items()]
        compared = dg.AssetCheckResult(
            asset_key=dg.AssetKey(CORPORATE_ACTIONS),
            check_name="every_symbol_compared",
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failures": table_metadata(failures)} if failures else {},
        )
        still_shown = dg.AssetCheckResult(
            asset_key=dg.AssetKey(CORPORATE_ACTIONS),
            check_name="known_actions_still_shown",
            passed=learned.vanished.empty,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"vanished": table_metadata(learned.vanished)} if len(learned.vanished) else {},
        )
        newest = learned.table.sort_values("ex_session", ascending=False).head(15)
        yield from emit(
            context,
            learned.table,
            CorporateActions,
            CORPORATE_ACTIONS,
            metadata={"new": learned.new, "newest": table_metadata(newest[["symbol", "ex_session", "kind", "value"]])},
            checks=[compared, still_shown],
        )

    return corporate_actions
