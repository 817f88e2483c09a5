"""Features as assets: the indicators that a feed's strategies read. The arithmetic is in ``domain.features``."""

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

STAGE = "features"
NO_LOOKAHEAD = "no_lookahead"


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

        bars = read_back(lake, validated_key(feed.name), sessions_of(context), feed.history_sessions, feed.calendar)
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
        is_warm = own[names].notna().all(axis=1)
        yield from emit(
            context,
            own,
            Features,
            key,
            metadata={"features": names, "warm_rows": int(is_warm.sum()), "bars_read": len(bars)},
            checks=[unseen],
            read={validated_key(feed.name): bars},
        )

    return features
