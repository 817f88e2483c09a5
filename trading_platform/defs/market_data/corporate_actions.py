"""Splits and dividends as an asset. Finding them is in ``ingest.corporate_actions``, using them in ``domain``."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.defs.common import IBKR_POOL, Outputs, asset, contract_check, emit, newest_session_of, table_spec
from trading_platform.defs.market_data.assets import CORPORATE_ACTIONS, validated_key
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from trading_platform.storage.lake import Lake

YEAR_OF_SESSIONS = 253


def build_corporate_actions(feeds: Sequence[Feed]) -> list[dg.AssetsDefinition]:
    """The asset ``market_data/corporate_actions`` of the symbols in the daily feeds, if there is one."""
    daily = [feed for feed in feeds if feed.shows_actions]
    return [_corporate_actions(daily)] if daily else []


def _corporate_actions(daily: Sequence[Feed]) -> dg.AssetsDefinition:
    @asset(
        key=CORPORATE_ACTIONS,
        deps=[newest_session_of(validated_key(feed.name)) for feed in daily],
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
            "`symbol, ex_session, kind`; dividends per share in the instrument's currency. Rows are never dropped.",
            kinds=["ibkr"],
        ),
    )
    def corporate_actions(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, lake: LakeResource
    ) -> Outputs:
        import pandas as pd

        from trading_platform.ingest.corporate_actions import learn_actions
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.base import empty
        from trading_platform.schemas.market_data import CorporateActions

        store, now = lake.get_lake(), platform.now()
        # another vendor's closes differ from the broker's for more reasons than splits and dividends
        elsewhere = {feed.name: platform.sources.elsewhere(feed.name, feed.symbols) for feed in daily}
        years = [_year_of(store, feed, elsewhere[feed.name], now) for feed in daily]
        bars = pd.concat([year for year in years if len(year)] or years[:1])
        bars = bars.drop_duplicates(["symbol", "session"])  # a stock may be in two feeds
        known = store.read_table(CORPORATE_ACTIONS) if store.has_table(CORPORATE_ACTIONS) else empty(CorporateActions)
        learned = learn_actions(ibkr.broker, platform.universe.instruments, bars, known, now=now)
        failures = [{"symbol": symbol, "reason": why} for symbol, why in learned.failures.items()]
        failures += [
            {"symbol": symbol, "reason": f"its bars come from {name}"}
            for symbols in elsewhere.values()
            for symbol, name in symbols.items()
        ]
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


def _year_of(store: "Lake", feed: Feed, without: Collection[str], now: "datetime") -> "pd.DataFrame":
    """A year of closes of the feed's own symbols, as far as stored: ``symbol, session, close, is_final``.

    ``without`` some of them, and without its dynamic members: they are somebody for a session, and each would cost a
    request.
    """
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.history import look_back

    calendar = get_calendar(feed.calendar)
    return store.read_sessions(
        validated_key(feed.name),
        [day.isoformat() for day in look_back(calendar.latest_session(now), YEAR_OF_SESSIONS, calendar)],
        columns=["symbol", "session", "close", "is_final"],
        symbols=[symbol for symbol in feed.symbols if symbol not in without],
        is_missing_ok=True,
    )
