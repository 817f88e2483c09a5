"""Market data as assets: instruments; raw, validated and quarantined bars of each feed.

Here: what Dagster must know of them. Elsewhere: asking the broker (``ingest``), judging rows
(``domain.market_data.validation``), columns (``schemas.market_data``).
"""

from collections.abc import Sequence
from typing import Any

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
from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.resources.ibkr import IBKRResource
from trading_platform.resources.lake_io_manager import MISSING_SESSIONS, LakeResource
from trading_platform.resources.platform import PlatformResource

STAGE = "market_data"
INSTRUMENTS = (STAGE, "instruments")


def raw_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars as received."""
    return STAGE, f"{feed}_raw_bars"


def validated_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars that passed validation."""
    return STAGE, f"{feed}_validated_bars"


def quarantined_key(feed: str) -> tuple[str, str]:
    """Key of the feed's bars that did not."""
    return STAGE, f"{feed}_quarantined_bars"


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


def build_bars(feed: Feed) -> list[dg.AssetsDefinition]:
    """The assets of one feed: raw bars, and validated bars with their quarantine."""
    return [_raw_bars(feed), _validated_bars(feed)]


def _grain(feed: Feed) -> str:
    return (
        f"{feed.bar_size} bars of {', '.join(feed.symbols[:8])}{' …' if len(feed.symbols) > 8 else ''} "
        f"on {feed.calendar}. One row per symbol and bar start; key `symbol, ts_utc`; prices in USD; times in UTC."
    )


def _raw_bars(feed: Feed) -> dg.AssetsDefinition:
    key = raw_key(feed.name)

    @asset(
        key=key,
        deps=[dg.AssetKey(INSTRUMENTS)],
        check_specs=[
            contract_check(key, "RawBars"),
            dg.AssetCheckSpec(
                "every_symbol_answered", asset=dg.AssetKey(key), description="The broker had bars for every symbol."
            ),
        ],
        pool=IBKR_POOL,
        **by_session(feed.calendar, feed.rows_per_session),
        **table_spec(key, "RawBars", description=f"As the broker sent them: {_grain(feed)}", kinds=["ibkr"]),
    )
    def raw_bars(
        context: dg.AssetExecutionContext, platform: PlatformResource, ibkr: IBKRResource, lake: LakeResource
    ) -> Outputs:
        from trading_platform.domain.calendars import get_calendar
        from trading_platform.ingest.bars import fetch_bars, with_stored
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.market_data import RawBars

        current = platform.feed(feed.name)
        fetched = fetch_bars(ibkr.broker, current, platform.universe.instruments, sessions_of(context), platform.now())
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
            metadata={"requests": fetched.requests, "sources": sorted(bars["source"].unique())},
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
                    description=f"Bars that failed validation, each with its reason. {_grain(feed)}",
                ),
            ),
        },
        check_specs=[
            contract_check(valid_key, "ValidatedBars"),
            contract_check(bad_key, "QuarantinedBars"),
            dg.AssetCheckSpec(
                "nothing_quarantined", asset=dg.AssetKey(valid_key), description="No bar had to be set aside."
            ),
            dg.AssetCheckSpec(
                "raw_bars_fetched",
                asset=dg.AssetKey(valid_key),
                description="Raw bars of every session were fetched; without them a session is empty.",
            ),
        ],
        can_subset=True,
        **by_session(feed.calendar, feed.rows_per_session),
    )
    def validated_bars(
        context: dg.AssetExecutionContext, platform: PlatformResource, lake: LakeResource, raw: Any
    ) -> Outputs:
        from trading_platform.domain.calendars import get_calendar
        from trading_platform.domain.market_data.validation import validate_bars
        from trading_platform.ops.metadata import table_metadata
        from trading_platform.schemas.base import validate
        from trading_platform.schemas.market_data import QuarantinedBars, ValidatedBars

        judged = validate_bars(raw, bar_size=feed.bar_size, calendar=get_calendar(feed.calendar), as_of=platform.now())
        bad = validate(QuarantinedBars, judged.quarantined)
        shown = table_metadata(bad, max_rows=50 if len(context.partition_keys) == 1 else 5)
        store, sessions = lake.get_lake(), list(context.partition_keys)
        written = store.write_sessions(bad_key, bad, sessions)
        read = {raw_key(feed.name): raw}
        if dg.AssetKey(bad_key) in context.selected_asset_keys:
            reasons = bad["reason"].value_counts().rename_axis("reason").reset_index(name="rows")
            yield dg.MaterializeResult(
                asset_key=dg.AssetKey(bad_key),
                metadata=described(
                    context,
                    bad,
                    bad_key,
                    {"reasons": table_metadata(reasons), "bars": shown},
                    read=read,
                    written=written,
                ),
                check_results=[kept_contract(bad_key, bad)],
            )
        if dg.AssetKey(valid_key) not in context.selected_asset_keys:
            return
        yield from emit(
            context,
            judged.valid,
            ValidatedBars,
            valid_key,
            metadata={"quarantined": len(bad), **_closes(judged.valid, len(context.partition_keys))},
            checks=[_nothing_quarantined(feed, bad, shown), _raw_bars_fetched(feed, raw)],
            read=read,
        )

    return validated_bars


def _nothing_quarantined(feed: Feed, bad: Any, shown: Any) -> dg.AssetCheckResult:
    """Whether no bar was set aside. ``shown`` is ``bad`` as a table for the UI."""
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(validated_key(feed.name)),
        check_name="nothing_quarantined",
        passed=bad.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"quarantined": len(bad), **({"rows": shown} if len(bad) else {})},
    )


def _raw_bars_fetched(feed: Feed, raw: Any) -> dg.AssetCheckResult:
    """Whether the lake had raw bars of every session, as the IO manager told when it loaded them."""
    missing = raw.attrs.get(MISSING_SESSIONS, ())
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(validated_key(feed.name)),
        check_name="raw_bars_fetched",
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"materialize {'/'.join(raw_key(feed.name))} for these sessions too" if missing else None,
        metadata={
            "missing_sessions": len(missing),
            **({"first": missing[0], "last": missing[-1]} if missing else {}),
        },
    )


def _closes(bars: Any, partitions: int) -> dict[str, Any]:
    """A sparkline per symbol, for runs of one session: a ranged run would store it once per session."""
    from trading_platform.ops.plots import sparkline

    if partitions > 1 or bars.empty:
        return {}
    closes = {symbol: rows["close"].tolist() for symbol, rows in bars.groupby("symbol", observed=True)}
    return {
        f"close {symbol}": sparkline(values, symbol) for symbol, values in list(closes.items())[:3] if len(values) > 1
    }
