"""What all asset wrappers share: how a table becomes an asset, and how its contract becomes a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from trading_platform.defs.partitions import session_partitions
from trading_platform.resources.lake_io_manager import written_facts
from trading_platform.resources.partition_metadata import add_partition_metadata
from trading_platform.schemas.columns import columns_of

if TYPE_CHECKING:
    import pandas as pd

    from trading_platform.resources.lake_io_manager import LakeResource
    from trading_platform.schemas.base import Table, TableValidationError
    from trading_platform.storage.lake import LakeWrite

CONTRACT = "contract"
IBKR_POOL = "ibkr"
TICK_TAG = "trading_platform/tick"
ROWS_PER_RUN = 1_000_000
MOST_SESSIONS = 5_000
"""Twenty years: a backfill that may be longer than this is not divided."""
Output = dg.MaterializeResult[Any] | dg.AssetCheckResult
Outputs = Iterator[Output]
MakeAsset = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def asset(**arguments: Any) -> MakeAsset:
    """``dg.asset`` with a type: its overloads are lost on a type checker when arguments come from mappings."""
    make: MakeAsset = dg.asset(**arguments)
    return make


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


def by_session(calendar: str, rows_per_session: int = 1) -> dict[str, Any]:
    """Partitioned by the sessions of ``calendar``. A backfill is one ranged run, or as few as keep memory bounded:
    a step holds all rows of its sessions, so a run covers no more sessions than make ``ROWS_PER_RUN`` rows.
    """
    sessions = max(1, ROWS_PER_RUN // max(1, rows_per_session))
    is_bounded = sessions < MOST_SESSIONS
    return {
        "partitions_def": session_partitions(calendar),
        "backfill_policy": dg.BackfillPolicy.multi_run(sessions) if is_bounded else dg.BackfillPolicy.single_run(),
    }


def newest_session_of(key: Sequence[str]) -> dg.AssetDep:
    """What a table without sessions depends on of one by session. It reads what it needs itself.

    By default Dagster lists all sessions there are before each such step, some six thousand per table, to find that
    they are too many to record the versions of.
    """
    return dg.AssetDep(dg.AssetKey(key), partition_mapping=dg.LastPartitionMapping())


def contract_check(key: Sequence[str], table: str) -> dg.AssetCheckSpec:
    """The blocking check that shows whether the table keeps its contract."""
    return dg.AssetCheckSpec(
        CONTRACT,
        asset=dg.AssetKey(key),
        blocking=True,
        description=f"Every row keeps the Pandera model `{table}`: columns, types, ranges, keys.",
    )


def sessions_of(context: dg.AssetExecutionContext) -> list[date]:
    """The sessions that this run materializes, oldest first."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def read_back(
    lake: LakeResource, key: tuple[str, str], sessions: Sequence[date], history: int, calendar: str
) -> pd.DataFrame:
    """Read an upstream table's rows of ``sessions`` and of the ``history`` sessions before them, as far as stored.

    History may be missing, at the beginning of all data it always is; the run's own sessions may not.

    The dependency itself maps each session to itself: with a mapping that reaches back Dagster widens a backfill
    to every session that the chosen ones influence, and splits it into a run per asset.

    Raises:
        dg.Failure: one of ``sessions`` is not stored.
    """
    from trading_platform.domain.calendars import get_calendar

    market = get_calendar(calendar)
    first = market.offset(min(sessions), -history)
    wanted = [session.isoformat() for session in market.sessions(first, max(sessions))]
    frame, missing = lake.get_lake().read_available(key, wanted)
    absent = sorted({session.isoformat() for session in sessions} & set(missing))
    if absent:
        name, few = "/".join(key), ", ".join(absent[:3]) + (" …" if len(absent) > 3 else "")
        msg = f"{name} holds nothing for {len(absent)} of the run's sessions ({few}): materialize it for them first"
        raise dg.Failure(description=msg, allow_retries=False)
    return frame


def emit(
    context: dg.AssetExecutionContext,
    frame: pd.DataFrame,
    model: type[Table],
    key: Sequence[str],
    *,
    metadata: Mapping[str, Any],
    checks: Sequence[dg.AssetCheckResult] = (),
    read: Mapping[tuple[str, str], pd.DataFrame] | None = None,
) -> Outputs:
    """Validate ``frame`` and hand it to Dagster together with its contract check.

    A frame that breaks its contract is not written: the check turns red with the failing rows as a table,
    and the step fails. ``read``: the tables of the lake that it was made from, as they were read; the
    materialization records their versions.
    """
    from trading_platform.schemas.base import TableValidationError, validate

    try:
        checked = validate(model, frame)
    except TableValidationError as error:
        yield broken_contract(key, error)
        raise dg.Failure(description=str(error), allow_retries=False) from error
    yield dg.MaterializeResult(
        asset_key=dg.AssetKey(key),
        value=checked,
        metadata=described(context, checked, key, metadata, read=read),
        check_results=[kept_contract(key, checked), *checks],
    )


def broken_contract(key: Sequence[str], error: TableValidationError) -> dg.AssetCheckResult:
    """The contract check of a table that was not written, with the rows that break it."""
    from trading_platform.ops.metadata import table_metadata

    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key),
        check_name=CONTRACT,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={"failures": error.count, "failing_rows": table_metadata(error.failures)},
    )


def kept_contract(key: Sequence[str], frame: pd.DataFrame) -> dg.AssetCheckResult:
    """The contract check of a table that was validated."""
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(key), check_name=CONTRACT, passed=True, metadata={"rows": len(frame)}
    )


def described(
    context: dg.AssetExecutionContext,
    frame: pd.DataFrame,
    key: Sequence[str],
    metadata: Mapping[str, Any],
    *,
    read: Mapping[tuple[str, str], pd.DataFrame] | None = None,
    written: LakeWrite | None = None,
) -> dict[str, Any]:
    """Metadata of a materialization: the table's rows and span, ``metadata``, and the versions of what it read.

    A ranged run records an event per session. Each tells that session's rows and the versions it read; the rest is
    about the run and stands with the newest session only. ``written``: what the asset wrote by itself, without the
    IO manager.
    """
    from trading_platform.ops.metadata import clean

    sessions = sorted(context.partition_keys) if context.assets_def.partitions_def is not None else []
    told, before = _versions_read(sessions, read or {})
    facts: dict[str, Any] = clean({**row_facts(context, frame), **metadata, **before})
    if written is not None:
        step = context.get_step_execution_context()
        facts |= written_facts(step, dg.AssetKey(key), written, is_ranged=_is_ranged(context))
    if not _is_ranged(context):
        return facts | (told[sessions[0]] if sessions else {})
    counts = frame["session"].value_counts()
    for session in sessions:
        rows = int(counts.get(session, 0))
        told[session] |= {"rows": rows, "dagster/partition_row_count": rows}
    told[sessions[-1]] |= facts
    add_partition_metadata(context.get_step_execution_context(), dg.AssetKey(key), told)
    return {}


def _versions_read(
    sessions: Sequence[str], read: Mapping[tuple[str, str], pd.DataFrame]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Versions of the sessions' own files, by session, and as JSON those of the history before them."""
    from trading_platform.storage.lake import VERSIONS

    own: dict[str, dict[str, Any]] = {session: {} for session in sessions}
    before: dict[str, Any] = {}
    for table, frame in read.items():
        name, versions = "/".join(table), dict(frame.attrs.get(VERSIONS, {}))
        for session in sessions:
            own[session][f"read {name}"] = versions.pop(session, "nothing stored")
        if versions:
            before[f"read before {name}"] = dg.MetadataValue.json(versions)
    return own, before


def row_facts(context: dg.AssetExecutionContext, frame: pd.DataFrame) -> dict[str, Any]:
    """Rows, symbols and time span of a table. In a ranged run rows are told session by session instead."""
    facts: dict[str, Any] = {}
    if not _is_ranged(context):
        is_partitioned = context.assets_def.partitions_def is not None
        count = "dagster/partition_row_count" if is_partitioned else "dagster/row_count"
        facts |= {count: len(frame), "rows": len(frame)}
    if "symbol" in frame:
        facts["symbols"] = int(frame["symbol"].nunique())
    if "ts_utc" in frame and len(frame):
        facts["first_ts_utc"] = str(frame["ts_utc"].min())
        facts["last_ts_utc"] = str(frame["ts_utc"].max())
    return facts


def _is_ranged(context: dg.AssetExecutionContext) -> bool:
    """Whether the step covers several sessions. An unpartitioned asset does not, whatever its run does."""
    return context.assets_def.partitions_def is not None and context.has_partition_key_range
