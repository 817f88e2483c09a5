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
from trading_platform.defs.market_data.assets import validated_key
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.lake_io_manager import LakeResource
from trading_platform.resources.platform import PlatformResource

STAGE = "features"


def features_key(feed: str) -> tuple[str, str]:
    """Key of the feed's features."""
    return STAGE, f"{feed}_features"


def build_features(feed: Feed) -> dg.AssetsDefinition:
    """The asset ``features/<feed>_features``."""
    key = features_key(feed.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(validated_key(feed.name))],
        check_specs=[contract_check(key, "Features")],
        **by_session(feed.calendar, feed.rows_per_session),
        **table_spec(
            key,
            "Features",
            description=f"Indicators on {feed.bar_size} bars, one column each, computed from the session and the "
            f"{feed.history_sessions} sessions before it. A value at t uses nothing after t; warm-up values are null. "
            "One row per symbol and bar; key `symbol, ts_utc`; times in UTC.",
            kinds=["talib"],
        ),
    )
    def features(context: dg.AssetExecutionContext, platform: PlatformResource, lake: LakeResource) -> Outputs:
        from trading_platform.domain.features.compute import compute_features
        from trading_platform.domain.signals.loading import load_strategy
        from trading_platform.schemas.features import Features

        bars = read_back(lake, validated_key(feed.name), sessions_of(context), feed.history_sessions, feed.calendar)
        strategies = [load_strategy(platform.spec(name)) for name in feed.strategies]
        names = sorted({name for strategy in strategies for name in strategy.features})
        # The bar in progress of an intraday feed would change until it ends; the day's bar is the day so far.
        seen = bars if feed.is_daily else bars[bars["is_final"]]
        computed = compute_features(seen, names)
        own = computed[computed["session"].isin(context.partition_keys)]
        is_warm = own[names].notna().all(axis=1)
        yield from emit(
            context,
            own,
            Features,
            key,
            metadata={"features": names, "warm_rows": int(is_warm.sum()), "bars_read": len(bars)},
            read={validated_key(feed.name): bars},
        )

    return features
