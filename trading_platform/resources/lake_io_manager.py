"""How assets reach the lake: an IO manager for what they return and take, a resource for what else they read.

The asset ``[stage, table]`` is the lake's table ``(stage, table)``; partition keys are sessions. A ranged run
(``BackfillPolicy.single_run()``) is one write and one read for all its sessions. Nothing heavy is imported
until a frame moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from trading_platform.resources.partition_metadata import add_partition_metadata

if TYPE_CHECKING:
    import pandas as pd
    from dagster._core.execution.context.system import StepExecutionContext

    from trading_platform.storage.lake import Lake, LakeWrite

MISSING_SESSIONS = "missing_sessions"
"""Key of ``frame.attrs``: the sessions an input asked for that the lake does not have (a tuple, oldest first)."""

LAKE_VERSION = "lake_version"
"""Metadata of a materialization: the version of the lake's file that it wrote."""

COLUMNS = "lake/columns"
"""Key of an input's metadata (``dg.AssetIn(metadata={COLUMNS: [...]})``): the columns to read; all without it."""


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its parameter is what resources return
    """The lake, for assets and sensors that read more than their inputs."""

    url: str = Field(description="Directory of the lake, or e.g. s3://bucket/prefix.")
    s3_endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible store; unset: AWS.")
    keep_versions_days: int = Field(
        default=30, description="For how many days what was replaced can be put back; on disk."
    )

    def get_lake(self) -> Lake:
        """Return the lake; the same object for the same configuration within a process."""
        from trading_platform.storage.lake import open_lake

        return open_lake(self.url, self.s3_endpoint_url, self.keep_versions_days)


def written_facts(
    step: StepExecutionContext, key: dg.AssetKey, written: LakeWrite, *, is_ranged: bool
) -> dict[str, Any]:
    """What a materialization tells of its write. In a ranged run each session gets its version, and the rest, which
    is the same for all, stands with the newest session only: an event per session would repeat it.
    """
    facts: dict[str, Any] = {
        "lake_path": dg.MetadataValue.path(written.path),
        "lake_rows": written.rows,
        "lake_bytes": written.bytes,
        "lake_files": written.files,
        "lake_changed_files": written.changed,
    }
    if not is_ranged:
        return facts | {LAKE_VERSION: next(iter(written.versions.values()))}
    told: dict[str, dict[str, Any]] = {session: {LAKE_VERSION: one} for session, one in written.versions.items()}
    told[max(told)] |= facts
    add_partition_metadata(step, key, told)
    return {}


class LakeIOManager(dg.ConfigurableIOManager):
    """Keeps the frames of assets in the lake.

    An output is a DataFrame. With partitions its column ``session`` holds partition keys of the run, and every
    session of the run is replaced; without, the whole table is. The materialization tells the version of each file
    (``LAKE_VERSION``).

    An input is the upstream asset's rows of all sessions that the partition mapping gives. Sessions that the
    lake does not have are left out and listed in ``frame.attrs[MISSING_SESSIONS]`` and in the log: a look-back
    at the start of history is normal, so what a gap means is for the asset to say. An unpartitioned input that
    does not exist is an error.
    """

    lake: LakeResource

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what an asset returned; metadata tells path, rows and bytes."""
        import pandas as pd

        if not isinstance(obj, pd.DataFrame):
            msg = (
                f"the asset {context.asset_key.to_user_string()} returned {type(obj).__name__}: return "
                "dg.MaterializeResult(value=<DataFrame>), or annotate `-> None` if it has nothing to store"
            )
            raise dg.DagsterInvariantViolationError(msg)
        lake, table = self.lake.get_lake(), _table(context)
        if context.has_asset_partitions:
            written = lake.write_sessions(table, obj, context.asset_partition_keys)
        else:
            written = lake.write_table(table, obj)
        is_ranged = context.has_asset_partitions and len(context.asset_partition_keys) > 1
        context.add_output_metadata(
            written_facts(context.step_context, context.asset_key, written, is_ranged=is_ranged)
        )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read an upstream asset's table, or its sessions that the run's partitions map to."""
        lake, table = self.lake.get_lake(), _table(context)
        columns: Sequence[str] | None = (context.definition_metadata or {}).get(COLUMNS)
        if not context.has_asset_partitions:
            return lake.read_table(table, columns=columns)
        sessions = context.asset_partition_keys
        frame, missing = lake.read_available(table, sessions, columns=columns)
        if missing:
            context.log.info(
                f"{context.asset_key.to_user_string()}: {len(missing)} of {len(sessions)} sessions are not in the "
                f"lake ({missing[0]} to {missing[-1]}); the input is without them"
            )
        frame.attrs[MISSING_SESSIONS] = tuple(missing)
        return frame


def _table(context: Any) -> tuple[str, str]:
    path = context.asset_key.path
    if len(path) != 2:
        msg = f"the lake keeps assets named [stage, table]; this one is {context.asset_key.to_user_string()}"
        raise dg.DagsterInvariantViolationError(msg)
    return path[0], path[1]
