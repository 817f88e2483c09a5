"""What all asset wrappers share: how a table becomes an asset, and how its contract becomes a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.partitions import session_partitions
from trading_platform.schemas.columns import columns_of

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.schemas.base import Table

CONTRACT = "contract"
IBKR_POOL = "ibkr"
TICK_TAG = "trading_platform/tick"
Output = dg.MaterializeResult | dg.AssetCheckResult
Outputs = Iterator[Output]


def column_schema(table: str) -> dg.TableSchema:
    """Dagster's view of the columns of the table model ``table``."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column["name"],
                type=column["type"],
                description=column["description"],
                constraints=dg.TableColumnConstraints(nullable=column["is_nullable"], unique=column["is_unique"]),
            )
            for column in columns_of(table)
        ]
    )


def table_spec(
    key: Sequence[str], table: str, *, description: str, owner: str = "team:data", kinds: Sequence[str] = ()
) -> dict[str, Any]:
    """What every table asset says of itself in Dagit."""
    return {
        "description": description,
        "owners": [owner],
        "kinds": {"pandas", "parquet", *kinds},
        "group_name": key[0],
        "metadata": {"dagster/column_schema": column_schema(table), "table_model": table},
        "io_manager_key": "io_manager",
    }


def by_session(calendar: str) -> dict[str, Any]:
    """Partitioned by the sessions of ``calendar``; a backfill is one ranged run."""
    return {
        "partitions_def": session_partitions(calendar),
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def contract_check(key: Sequence[str], table: str) -> dg.AssetCheckSpec:
    """The blocking check that shows whether the table keeps its contract."""
    return dg.AssetCheckSpec(
        CONTRACT,
        asset=dg.AssetKey(key),
        blocking=True,
        description=f"Every row keeps the Pandera model `{table}`: columns, types, ranges, keys.",
    )


def look_back(sessions: int) -> dg.TimeWindowPartitionMapping:
    """Load the partition itself and ``sessions`` sessions before it."""
    return dg.TimeWindowPartitionMapping(start_offset=-sessions, allow_nonexistent_upstream_partitions=True)


def sessions_of(context: dg.AssetExecutionContext) -> list[date]:
    """The sessions that this run materializes, oldest first."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def emit(
    frame: pd.DataFrame,
    model: type[Table],
    key: Sequence[str],
    *,
    metadata: Mapping[str, Any],
    checks: Sequence[dg.AssetCheckResult] = (),
) -> Outputs:
    """Validate ``frame`` and hand it to Dagster together with its contract check.

    A frame that breaks its contract is not written: the check turns red with the failing rows as a table,
    and the step fails.
    """
    from trading_platform.ops.metadata import clean, table_metadata
    from trading_platform.schemas.base import TableValidationError, validate

    asset_key = dg.AssetKey(key)
    try:
        checked = validate(model, frame)
    except TableValidationError as error:
        yield dg.AssetCheckResult(
            asset_key=asset_key,
            check_name=CONTRACT,
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=str(error),
            metadata={"failures": error.count, "failing_rows": table_metadata(error.failures)},
        )
        raise dg.Failure(description=str(error), allow_retries=False) from error
    passed = dg.AssetCheckResult(
        asset_key=asset_key, check_name=CONTRACT, passed=True, metadata={"rows": len(checked)}
    )
    yield dg.MaterializeResult(
        asset_key=asset_key,
        value=checked,
        metadata=clean({**row_facts(checked), **metadata}),
        check_results=[passed, *checks],
    )


def row_facts(frame: pd.DataFrame) -> dict[str, Any]:
    """Rows, symbols and time span of a table."""
    facts: dict[str, Any] = {"dagster/row_count": len(frame), "rows": len(frame)}
    if "symbol" in frame:
        facts["symbols"] = int(frame["symbol"].nunique())
    if "ts_utc" in frame and len(frame):
        facts["first_ts_utc"] = str(frame["ts_utc"].min())
        facts["last_ts_utc"] = str(frame["ts_utc"].max())
    return facts
