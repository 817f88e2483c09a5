"""Market data as assets: instruments; raw, validated and quarantined bars of each feed.

Here: what Dagster must know of them. Elsewhere: asking the broker (``ingest``), judging rows
(``domain.market_data.validation``), what the checks say (``checks``), columns (``schemas.market_data``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from trading_platform.defs.common import (
    IBKR_POOL,
    Outputs,
    asset,
    broken_contract,
    by_session,
    contract_check,
    described,
    emit,
    kept_contract,
    sessions_of,
    table_spec,
)
from trading_platform.defs.market_data.checks import bar_check_specs, bar_checks, log_metadata
from trading_platform.defs.market_data.members import members_key
from trading_platform.defs.market_data.raw_checks import raw_check_specs, raw_checks, raw_metadata
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
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
REFETCH_TAG = "trading_platform/refetch"
"""Tag of a run that asks again for bars that are stored for good: symbols, comma-separated, or ``all``."""
ACCEPT_RESCALED_TAG = "trading_platform/accept_rescaled"
"""Tag of a run by which a person lets stored bars be replaced by prices on another scale: symbols, or ``all``."""


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
    own = ", ".join(feed.symbols[:8]) + (" …" if len(feed.symbols) > 8 else "")
    members = f"the session's members (`{feed.name}_members`)" if feed.members is not None else ""
    return (
        f"{feed.bar_size} bars of {' and '.join(filter(None, (own, members)))} "
        f"on {feed.calendar}. One row per symbol and bar start; key `symbol, ts_utc`; prices in the instrument's "
        "currency; times in UTC."
    )


class RawBarsConfig(dg.Config):
    """What a run can be told in the Launchpad. Tags of the same meaning win; a backfill takes only tags."""

    refetch: str = Field(
        default="",
        description="Symbols (comma-separated, or `all`) to be asked for again though their bars are stored for good.",
    )
    accept_rescaled: str = Field(
        default="",
        description="Symbols (or `all`) whose stored bars may be replaced by prices on another scale. "
        "docs/corporate-actions.md says when.",
    )


def _raw_bars(feed: Feed, sources: Sources) -> dg.AssetsDefinition:
    key = raw_key(feed.name)
    rule = sources.of(feed.name)
    names = tuple(dict.fromkeys([*rule.names(feed.symbols), *([rule.source] if feed.members else [])]))

    @asset(
        key=key,
        deps=[dg.AssetKey(one) for one in (INSTRUMENTS, *([members_key(feed.name)] if feed.members else []))],
        check_specs=[contract_check(key, "RawBars"), *raw_check_specs(dg.AssetKey(key))],
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
        context: dg.AssetExecutionContext,
        config: RawBarsConfig,
        platform: PlatformResource,
        ibkr: IBKRResource,
        lake: LakeResource,
    ) -> Outputs:
        from trading_platform.domain.market_data.corporate_actions import splits_of
        from trading_platform.ingest.collect import Wish
        from trading_platform.ingest.members import collect_parts
        from trading_platform.ingest.sources.choose import source_for
        from trading_platform.schemas.base import TableValidationError
        from trading_platform.storage.bar_store import BarStore
        from trading_platform.storage.recorded_members import recorded_members

        current, sessions = platform.feed(feed.name), sessions_of(context)
        members = recorded_members(lake.get_lake(), members_key(feed.name), current, sessions)
        instruments = {**members.instruments, **platform.universe.instruments}
        everybody = tuple(dict.fromkeys([*current.symbols, *members.instruments]))
        store = BarStore(lake.get_lake(), feed.name)
        wish = Wish(
            limits=platform.data_quality.revision_limits(replace(current, symbols=everybody), instruments),
            splits=splits_of(known_actions(lake)),
            refetch=_symbols(context, REFETCH_TAG, config.refetch),
            accepted=_symbols(context, ACCEPT_RESCALED_TAG, config.accept_rescaled),
            is_range=RANGE_START in context.run.tags,
        )
        source = source_for(current, platform.sources, lambda: ibkr.broker, platform.settings)
        try:
            parts = members.parts(current, sessions) or [(current, tuple(sessions))]
            done = collect_parts(source, store, parts, instruments, clock=platform.now, wish=wish)
        except TableValidationError as error:
            yield broken_contract(key, error)
            raise dg.Failure(description=str(error), allow_retries=False) from error
        bars, written = store.contents(context.partition_keys)
        facts = raw_metadata(done, bars, source.left_out) | members.facts
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey(key),  # written already, piece by piece: there is no value for the IO manager
            metadata=described(context, bars, key, facts, written=written),
            check_results=[kept_contract(key, bars), *raw_checks(dg.AssetKey(key), done)],
        )

    return raw_bars


def _symbols(context: dg.AssetExecutionContext, tag: str, configured: str) -> frozenset[str]:
    """Symbols named by the run's tag, or by its configuration."""
    words = context.run.tags.get(tag, configured).split(",")
    return frozenset(word.strip() for word in words if word.strip())


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

        judged, missing, unlisted = _judge(platform, lake, feed, raw, sessions_of(context))
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
            checks=bar_checks(
                dg.AssetKey(valid_key), judged, (missing, unlisted), raw, "/".join(raw_key(feed.name)), max_rows
            ),
            read=read,
        )

    return validated_bars


def _judge(
    platform: PlatformResource, lake: LakeResource, feed: Feed, raw: "pd.DataFrame", sessions: "Sequence[date]"
) -> "tuple[Validation, pd.DataFrame, pd.DataFrame]":
    """Judge raw bars with what the lake knows of them; the bars that are missing; those of symbols not listed then."""
    import pandas as pd

    from trading_platform.domain.calendars import get_calendar
    from trading_platform.domain.market_data.corporate_actions import splits_of
    from trading_platform.domain.market_data.validation import join_missing, missing_bars
    from trading_platform.domain.market_data.validation.feed import validate_feed
    from trading_platform.domain.market_data.validation.missing import of_listed
    from trading_platform.storage.bar_decisions import BarDecisions
    from trading_platform.storage.believed_bars import believed_bars
    from trading_platform.storage.recorded_members import recorded_members

    now, keys = platform.now(), [session.isoformat() for session in sessions]
    calendar, store, current = get_calendar(feed.calendar), lake.get_lake(), platform.feed(feed.name)
    context, stored = believed_bars(store, validated_key(feed.name), sessions, calendar, is_daily=feed.is_daily)
    members = recorded_members(store, members_key(feed.name), current, sessions)
    judged = validate_feed(
        raw,
        current,
        {**members.instruments, **platform.universe.instruments},
        platform.data_quality,
        as_of=now,
        context=context,
        splits=splits_of(known_actions(lake)),
        stored=stored,
        decisions=BarDecisions(store).of(feed.name, keys),
    )
    seen = pd.concat([judged.valid[["symbol", "ts_utc"]], judged.quarantined[["symbol", "ts_utc"]]])
    missing = [
        missing_bars(
            seen,
            symbols=part.symbols,
            sessions=[session for session in own if session.isoformat() not in raw.attrs.get(MISSING_SESSIONS, ())],
            bar_size=feed.bar_size,
            calendar=calendar,
            as_of=now,
        )
        for part, own in members.parts(current, sessions)
    ]
    return judged, *of_listed(join_missing(missing), platform.universe.instruments)


def _closes(bars: Any, partitions: int) -> dict[str, Any]:
    """A sparkline per symbol, for runs of one session: a ranged run would store it once per session."""
    from trading_platform.ops.plots import sparkline

    if partitions > 1 or bars.empty:
        return {}
    closes = {symbol: rows["close"].tolist() for symbol, rows in bars.groupby("symbol", observed=True)}
    return {
        f"close {symbol}": sparkline(values, symbol) for symbol, values in list(closes.items())[:3] if len(values) > 1
    }
