"""Market data as assets: instruments; raw, validated and quarantined bars of each feed.

Here: what Dagster must know of them. Elsewhere: asking the broker (``ingest``), judging rows
(``domain.market_data.validation``), what the checks say (``checks``), columns (``schemas.market_data``).
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
    described,
    emit,
    kept_contract,
    sessions_of,
    table_spec,
)
from trading_platform.defs.market_data.checks import bar_check_specs, bar_checks, log_metadata
from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.sources import BROKER, Sources
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import MISSING_SESSIONS, LakeResource
from trading_platform.resources.platform import PlatformResource

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from trading_platform.domain.market_data.corporate_actions import CorporateAction
    from trading_platform.domain.market_data.validation import Validation

STAGE = "market_data"
INSTRUMENTS = (STAGE, "instruments")
CORPORATE_ACTIONS = (STAGE, "corporate_actions")


def raw_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars as received."""
    return STAGE, f"{feed}_raw_bars"


def validated_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars that passed validation."""
    return STAGE, f"{feed}_validated_bars"


def quarantined_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars that did not."""
    return STAGE, f"{feed}_quarantined_bars"


def known_actions(lake: LakeResource) -> "list[CorporateAction]":
    """The splits and dividends that the platform has learned of; none before it has looked."""
    from trading_platform.ingest.corporate_actions import actions_of

    store = lake.get_lake()
    return actions_of(store.read_table(CORPORATE_ACTIONS)) if store.has_table(CORPORATE_ACTIONS) else []


def build_instruments(symbols: Sequence[str]) -> dg.AssetsDefinition:
    """The asset ``market_data/instruments``: what the broker knows of every symbol in use."""

    @asset(
        key=INSTRUMENTS,
        check_specs=[
            contract_check(INSTRUMENTS, "Instruments"),
            dg.AssetCheckSpec(
                "every_symbol_known", asset=dg.AssetKey(INSTRUMENTS), description="The broker knows every symbol."
            ),
        ],
        pool=IBKR_POOL,
        **table_spec(
            INSTRUMENTS,
            "Instruments",
            description="Contract details of every instrument in use, from the broker. One row per symbol. "
            "Prices in the instrument's currency. `data_origin` tells real prices from made-up ones.",
            kinds=["ibkr"],
        ),
    )
    def instruments(context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource) -> Outputs:
        import pandas as pd

        from trading_platform.ingest.instruments import resolve_instruments
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.market_data import Instruments

        found, unknown = resolve_instruments(ibkr.broker, [platform.instrument(symbol) for symbol in symbols])
        frame = pd.DataFrame([_row(details) for details in found])
        origins = frame.groupby("data_origin")["symbol"].agg(", ".join).reset_index()
        known = dg.AssetCheckResult(
            asset_key=dg.AssetKey(INSTRUMENTS),
            check_name="every_symbol_known",
            passed=not unknown,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"unknown": table_metadata(unknown)} if unknown else {},
        )
        yield from emit(
            context, frame, Instruments, INSTRUMENTS, metadata={"data_origins": table_metadata(origins)}, checks=[known]
        )

    return instruments


def _row(details: InstrumentDetails) -> dict[str, Any]:
    instrument = details.instrument
    return {
        "symbol": instrument.symbol,
        "con_id": details.con_id,
        "security_type": instrument.security_type,
        "exchange": instrument.exchange,
        "primary_exchange": instrument.primary_exchange,
        "currency": instrument.currency,
        "calendar": instrument.calendar,
        "min_tick": float(details.min_tick),
        "lot_size": float(details.lot_size),
        "long_name": details.long_name,
        "time_zone": details.time_zone,
        "data_origin": details.data_origin,
    }


def build_bars(feed: Feed, sources: Sources) -> list[dg.AssetsDefinition]:
    """The assets of one feed: raw bars, and validated bars with their quarantine."""
    return [_raw_bars(feed, sources), _validated_bars(feed)]


def _grain(feed: Feed) -> str:
    return (
        f"{feed.bar_size} bars of {', '.join(feed.symbols[:8])}{' …' if len(feed.symbols) > 8 else ''} "
        f"on {feed.calendar}. One row per symbol and bar start; key `symbol, ts_utc`; prices in USD; times in UTC."
    )


def _raw_bars(feed: Feed, sources: Sources) -> dg.AssetsDefinition:
    key = raw_key(feed.name)
    names = sources.of(feed.name).names(feed.symbols)

    @asset(
        key=key,
        deps=[dg.AssetKey(INSTRUMENTS)],
        check_specs=[
            contract_check(key, "RawBars"),
            dg.AssetCheckSpec(
                "every_symbol_answered", asset=dg.AssetKey(key), description="The source had bars for every symbol."
            ),
        ],
        pool=IBKR_POOL if BROKER in names else None,
        **by_session(feed.calendar, feed.rows_per_session),
        **table_spec(
            key,
            "RawBars",
            description=f"As received from {', '.join(names)}: {_grain(feed)}",
            kinds=sources.kinds(names),
        ),
    )
    def raw_bars(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, lake: LakeResource
    ) -> Outputs:
        from trading_platform.domain.calendars import get_calendar
        from trading_platform.ingest.bars import fetch_bars, with_stored
        from trading_platform.ingest.sources.choose import source_for
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.market_data import RawBars

        current = platform.feed(feed.name)
        source = source_for(current, platform.sources, lambda: ibkr.broker, platform.settings)
        fetched = fetch_bars(source, current, platform.universe.instruments, sessions_of(context), platform.now())
        bars = fetched.bars
        if fetched.failures:
            stored = lake.get_lake().read_sessions(
                key, context.partition_keys, symbols=fetched.failures, is_missing_ok=True
            )
            bars = with_stored(fetched, stored, get_calendar(feed.calendar))
        failures = [{"symbol": symbol, "reason": why} for symbol, why in fetched.failures.items()]
        answered = dg.AssetCheckResult(
            asset_key=dg.AssetKey(key),
            check_name="every_symbol_answered",
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failures": table_metadata(failures)} if failures else {},
        )
        yield from emit(
            context,
            bars,
            RawBars,
            key,
            metadata={
                "requests": fetched.requests,
                "sources": bars["source"].value_counts().sort_index().to_dict(),
                **({"rows_left_out": table_metadata(source.left_out)} if source.left_out else {}),
            },
            checks=[answered],
        )

    return raw_bars


def _validated_bars(feed: Feed) -> dg.AssetsDefinition:
    valid_key, bad_key = validated_key(feed.name), quarantined_key(feed.name)

    @dg.multi_asset(
        name=f"{STAGE}__{feed.name}_validated_bars",
        ins={"raw": dg.AssetIn(key=dg.AssetKey(raw_key(feed.name)))},
        outs={
            "valid": dg.AssetOut(
                key=dg.AssetKey(valid_key),
                is_required=False,
                **table_spec(valid_key, "ValidatedBars", description=f"Bars that passed validation: {_grain(feed)}"),
            ),
            "quarantined": dg.AssetOut(
                key=dg.AssetKey(bad_key),
                is_required=False,
                dagster_type=dg.Nothing,  # written here, so that no selection of assets can lose a row
                **table_spec(
                    bad_key,
                    "QuarantinedBars",
                    description="What validation found: bars set aside, held, warned of or repaired, each with its "
                    f"reason and numbers. {_grain(feed)} `trading-platform quarantine` releases or confirms them.",
                ),
            ),
        },
        check_specs=[
            contract_check(valid_key, "ValidatedBars"),
            contract_check(bad_key, "QuarantinedBars"),
            *bar_check_specs(dg.AssetKey(valid_key)),
        ],
        can_subset=True,
        **by_session(feed.calendar, feed.rows_per_session),
    )
    def validated_bars(
        context: dg.AssetExecutionContext, platform: PlatformResource, lake: LakeResource, raw: Any
    ) -> Outputs:
        from trading_platform.schemas.base import validate
        from trading_platform.schemas.market_data import QuarantinedBars, ValidatedBars

        judged, missing = _judge(platform, lake, feed, raw, sessions_of(context))
        log = validate(QuarantinedBars, judged.log)
        is_range = len(context.partition_keys) > 1
        max_rows = 5 if is_range else 50
        store, sessions = lake.get_lake(), list(context.partition_keys)
        written = store.write_sessions(bad_key, log, sessions)
        read = {raw_key(feed.name): raw}
        if dg.AssetKey(bad_key) in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=dg.AssetKey(bad_key),
                metadata=described(context, log, bad_key, log_metadata(log, max_rows), read=read, written=written),
                check_results=[kept_contract(bad_key, log)],
            )
        if dg.AssetKey(valid_key) not in context.selected_asset_keys:
            return
        yield from emit(
            context,
            judged.valid,
            ValidatedBars,
            valid_key,
            metadata={
                "quarantined": len(judged.quarantined),
                "duplicates_removed": judged.removed,
                "rows_put_in_order": judged.reordered,
                **_closes(judged.valid, len(context.partition_keys)),
            },
            checks=bar_checks(dg.AssetKey(valid_key), judged, missing, raw, "/".join(raw_key(feed.name)), max_rows),
            read=read,
        )

    return validated_bars


def _judge(
    platform: PlatformResource, lake: LakeResource, feed: Feed, raw: "pd.DataFrame", sessions: "Sequence[date]"
) -> "tuple[Validation, pd.DataFrame]":
    """Judge raw bars with what the lake knows of them; and the bars that are missing."""
    import pandas as pd

    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.corporate_actions import splits_of
    from trading_platform.domain.market_data.validation import missing_bars
    from trading_platform.domain.market_data.validation.feed import validate_feed
    from trading_platform.storage.bar_decisions import BarDecisions
    from trading_platform.storage.believed_bars import believed_bars

    now, keys = platform.now(), [session.isoformat() for session in sessions]
    calendar, store, current = get_calendar(feed.calendar), lake.get_lake(), platform.feed(feed.name)
    context, stored = believed_bars(store, validated_key(feed.name), sessions, calendar, is_daily=feed.is_daily)
    judged = validate_feed(
        raw,
        current,
        platform.universe.instruments,
        platform.data_quality,
        as_of=now,
        context=context,
        splits=splits_of(known_actions(lake)),
        stored=stored,
        decisions=BarDecisions(store).of(feed.name, keys),
    )
    missing = missing_bars(
        pd.concat([judged.valid[["symbol", "ts_utc"]], judged.quarantined[["symbol", "ts_utc"]]]),
        symbols=current.symbols,
        sessions=[session for session in sessions if session.isoformat() not in raw.attrs.get(MISSING_SESSIONS, ())],
        bar_size=feed.bar_size,
        calendar=calendar,
        as_of=now,
    )
    return judged, missing


def _closes(bars: Any, partitions: int) -> dict[str, Any]:
    """A sparkline per symbol, for runs of one session: a ranged run would store it once per session."""
    from trading_platform.ops.plots import sparkline

    if partitions > 1 or bars.empty:
        return {}
    closes = {symbol: rows["close"].tolist() for symbol, rows in bars.groupby("symbol", observed=True)}
    return {
        f"close {symbol}": sparkline(values, symbol) for symbol, values in list(closes.items())[:3] if len(values) > 1
    }
