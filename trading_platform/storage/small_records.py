"""What persons said, kept in the lake: one small file per word, written once and never changed.

Nobody reads, changes and writes back, so that two who speak at the same moment can't lose each other's word, on a
disk or in an object store. Any of them opens in one line::

    SELECT * FROM read_parquet('<base>/<stage>/*.parquet')
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from trading_platform.storage.lake import Lake


def add_record(lake: Lake, stage: str, stem: str, record: Mapping[str, Any]) -> str:
    """Add a record below ``stage``, under a name that begins with ``stem``; returns the path of its file.

    ``record`` names in ``who`` and ``why`` who says it for what reason. Its instants become UTC.

    Raises:
        ValueError: an instant has no time zone, or nobody or no reason is named.
        LakeError: it can't be written.
    """
    instants = [name for name, value in record.items() if isinstance(value, datetime)]
    if any(record[name].tzinfo is None for name in instants):
        msg = "the instants of a decision need a time zone"
        raise ValueError(msg)
    if not record["who"].strip() or not record["why"].strip():
        msg = "a decision names who took it and why"
        raise ValueError(msg)
    frame = pd.DataFrame([dict(record)])
    for column in instants:
        frame[column] = pd.to_datetime(frame[column], utc=True).dt.as_unit("ns")
    return lake.write_table((stage, f"{stem}.{secrets.token_hex(4)}"), frame).path


def read_records(lake: Lake, stage: str, is_wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """The records below ``stage`` whose stem ``is_wanted``, in no order."""
    names = [name for name in lake.tables(stage) if is_wanted(name.rsplit(".", 1)[0])]
    rows = (lake.read_table((stage, name)).to_dict("records")[0] for name in names)
    return [{str(key): _plain(value) for key, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
