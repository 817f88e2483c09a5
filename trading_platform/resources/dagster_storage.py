"""Dagster's PostgreSQL storage, with the events of a ranged run written in bulk.

A backfill of five years is one run, but Dagster records a planned and a done materialization for each of its 1,258
sessions and each asset. One by one, with an upsert and a notification each, that takes longer than the work. Dagster
can hand events over in batches (its environment variable ``DAGSTER_EVENT_BATCH_SIZE``, off by default), which
``dagster-postgres`` then writes in bulk only if they are materializations. Here the planned ones are too.

Planned checks: Dagster plans an unpartitioned check of a ranged run once per session, each row with the run's whole
partitions definition in it, and the evaluation, which has no partition, never finds these rows: they stay *planned*
for ever. Here a check is planned once per run, and its evaluation replaces that. A check with partitions of its own
(the platform has none) would leave that one row behind.

What is recorded is the same, row for row, but for those plans. Named in dagster.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config

BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE"
EVENTS_PER_BATCH = 500
_MATERIALIZED = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION}
_PLANNED = {DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED}


class BulkEventLogStorage(PostgresEventLogStorage):
    """Writes batches of planned and done materializations with one statement per table."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store ``events`` in their order; those of other kinds one by one."""
        kinds = {event.get_dagster_event().event_type for event in events}
        if not (kinds <= _PLANNED or kinds <= _MATERIALIZED):
            super().store_event_batch(events)
            return
        table = SqlEventLogStorageTable
        insert = table.insert().returning(table.c.id, sort_by_parameter_order=True)
        with self._connect() as connection:
            ids = [int(row[0]) for row in connection.execute(insert, [self._event_to_row(event) for event in events])]
        numbered = list(zip(events, ids, strict=True))
        checks = [(event, number) for event, number in numbered if _is_check(event)]
        newest = {
            event.get_dagster_event().asset_key: (event, number) for event, number in numbered if not _is_check(event)
        }
        with self.index_transaction() as connection:
            if kinds <= _MATERIALIZED:
                self._store_asset_event_tags(connection, events, ids)
            for event, number in newest.values():
                self._store_asset_event(connection, event, number)
        for event, number in checks:
            self.store_asset_check_event(event, number)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        planned: Any = event.get_dagster_event().event_specific_data
        stamp: Callable[[EventLogEntry], datetime] = self._event_insert_timestamp
        with self.index_connection() as connection:
            connection.execute(
                AssetCheckExecutionsTable.insert().values(
                    asset_key=planned.asset_key.to_string(),
                    check_name=planned.check_name,
                    partition=None,
                    run_id=event.run_id,
                    execution_status=AssetCheckExecutionRecordStatus.PLANNED.value,
                    evaluation_event=serialize_value(event),
                    evaluation_event_timestamp=stamp(event),
                    evaluation_event_storage_id=event_id,
                )
            )


def _is_check(event: EventLogEntry) -> bool:
    return event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED


class BulkPostgresStorage(DagsterPostgresStorage):
    """``dagster-postgres`` with :class:`BulkEventLogStorage`. Whoever opens it asks Dagster for batches."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        self._event_log_storage = BulkEventLogStorage(postgres_url, should_autocreate_tables)
        os.environ.setdefault(BATCH_SIZE, str(EVENTS_PER_BATCH))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BulkPostgresStorage:
        """Make the storage that dagster.yaml describes."""
        creates_tables = config_value.get("should_autocreate_tables", True)
        return cls(pg_url_from_config(config_value), creates_tables, inst_data)
