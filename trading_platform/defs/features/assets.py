"""Features as assets: the indicators that a feed's strategies read. The arithmetic is in ``domain.features``."""

from typing import TYPE_CHECKING

import dagster as dg

from trading_platform.defs.common import (
    Outputs,
    asset,
    by_session,
    contract_check,
    emit,
    read_back,
    sessions_of,
    table_spec,
)
from trading_platform.defs.market_data.assets import known_actions, validated_key
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

STAGE = "features"
NO_LOOKAHEAD = "no_lookahead"
LOOK_BACK_COMPLETE = "look_back_complete"


def features_key(feed: str) -> tuple[str, str]:
    """Key of the feed's features."""
    return STAGE, f"{feed}_features"


def build_features(feed: Feed) -> dg.AssetsDefinition:
    """The asset ``features/<feed>_features``."""
    key = features_key(feed.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(validated_key(feed.name))],
        check_specs=[
            contract_check(key, "Features"),
            dg.AssetCheckSpec(
                NO_LOOKAHEAD,
                asset=dg.AssetKey(key),
                blocking=True,
                description="A sample of the values is the same when computed from the bars up to their time only, "
                "and no more of them than the features say they need.",
            ),
            dg.AssetCheckSpec(
                LOOK_BACK_COMPLETE,
                asset=dg.AssetKey(key),
                description="No symbol lacks a bar among those that its features look back at. What is before its "
                "first one is no hole.",
            ),
        ],
        **by_session(feed.calendar, feed.rows_per_session),
        **table_spec(
            key,
            "Features",
            description=f"Indicators on {feed.bar_size} bars, one column each, computed from the session and the "
            f"{feed.history_sessions} sessions before it, adjusted for the splits and dividends "
            "known at each. A value at t uses nothing after t; warm-up values are null. "
            "One row per symbol and bar; key `symbol, ts_utc`; times in UTC.",
            kinds=["talib"],
        ),
    )
    def features(context: dg.AssetExecutionContext, platform: PlatformResource, lake: LakeResource) -> Outputs:
        from trading_platform.domain.features.feed import bars_to_see, feature_names, feed_features
        from trading_platform.domain.features.verification import verify_sample
        from trading_platform.ops.metadata import clean, table_metadata
        from trading_platform.schemas.features import Features

        sessions = sessions_of(context)
        bars = read_back(lake, validated_key(feed.name), sessions, feed.history_sessions, feed.calendar)
        names = feature_names(platform.spec(name) for name in feed.strategies)
        actions = known_actions(lake)
        seen = bars_to_see(bars, is_daily=feed.is_daily)
        own = feed_features(bars, names, context.partition_keys, is_daily=feed.is_daily, actions=actions)
        sample = verify_sample(seen, own, names, actions)
        unseen = dg.AssetCheckResult(
            asset_key=dg.AssetKey(key),
            check_name=NO_LOOKAHEAD,
            passed=not sample.differing,
            metadata={
                **clean({"values_checked": sample.checked, "features_not_checked": list(sample.skipped)}),
                "differing": table_metadata(sample.differing),
            },
        )
        complete = _look_back_complete(key, platform, feed, bars, sessions)
        is_warm = own[names].notna().all(axis=1)
        yield from emit(
            context,
            own,
            Features,
            key,
            metadata={"features": names, "warm_rows": int(is_warm.sum()), "bars_read": len(bars)},
            checks=[unseen, complete],
            read={validated_key(feed.name): bars},
        )

    return features


def _look_back_complete(
    key: tuple[str, str], platform: PlatformResource, feed: Feed, bars: "pd.DataFrame", sessions: "Sequence[date]"
) -> dg.AssetCheckResult:
    """Which symbols' features are computed over holes; the session in progress is not looked at, it may still fill."""
    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.validation.missing import look_back_holes
    from trading_platform.ops.metadata import table_metadata

    calendar, now = get_calendar(feed.calendar), platform.now()
    reach = calendar.sessions(calendar.offset(min(sessions), -feed.history_sessions), max(sessions))
    holes = look_back_holes(
        bars,
        symbols=platform.feed(feed.name).symbols,
        sessions=[session for session in reach if calendar.close_of(session) <= now],
        bar_size=feed.bar_size,
        calendar=calendar,
        as_of=now,
        instruments=platform.universe.instruments,
    )
    found = {}
    if len(holes):
        by_symbol = holes.groupby("symbol", as_index=False).agg(
            missing=("missing", "sum"), sessions=("session", "size"), first=("session", "min"), last=("session", "max")
        )
        found = {"by_symbol": table_metadata(by_symbol.sort_values("missing", ascending=False), max_rows=50)}
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key),
        check_name=LOOK_BACK_COMPLETE,
        passed=holes.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"holes": int(holes["missing"].sum()) if len(holes) else 0, **found},
    )
