"""The one sanitizer for Dagster metadata.

Dagster fails a step, or stores what its UI can't parse, when metadata holds numpy scalars, pandas time stamps,
NaN or Decimals. Everything an asset says about itself passes through here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd

Scalar = str | int | float | bool | None

MAX_ROWS = 50
MAX_TEXT = 500
"""Characters of one table cell: an event is stored twice and should stay below 100 kB."""

_MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer JavaScript, and so Dagit, shows as it is."""
_PASSED_ON = (dg.MetadataValue, dg.TableSchema, dg.TableColumnLineage, dg.AssetKey)


def clean(value: Any) -> Any:
    """Turn any value into one that Dagster stores and shows, e.g. a whole metadata mapping.

    NaN, NaT and NA become ``None``, infinities the texts "inf" and "-inf", Decimals and numpy numbers plain
    numbers (so that Dagit draws them over time), instants ISO 8601 text, enums their values, dataclasses
    mappings, frames tables. Keys become text. Dagster's own values pass as they are. What is none of
    these becomes its ``str``.
    """
    if isinstance(value, dg.FloatMetadataValue):
        return _float(value.value)
    if isinstance(value, _PASSED_ON):
        return value
    if _is_frame(value):
        return table_metadata(value)
    plain = _plain_collection(value)
    if isinstance(plain, dict):
        return {str(clean_scalar(key)): clean(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [clean(item) for item in plain]
    return clean_scalar(plain)


def _plain_collection(value: Any) -> Any:
    """A dict or a list with the members of a collection; anything else as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _shallow(value)
    if isinstance(value, Set):
        return sorted(value, key=str)
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) != 0:
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return list(value)
    return value


def clean_scalar(value: Any) -> Scalar:
    """One cell of a table or one number: text, whole number, float, boolean or ``None``; see :func:`clean`."""
    value = _native(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MAX_SAFE_INTEGER else str(value)
    if isinstance(value, (float, Decimal)):
        return _float(value)
    return _instant(value) if isinstance(value, datetime) else str(value)


def table_metadata(
    frame: pd.DataFrame | Iterable[Mapping[str, Any]] | Iterable[Any], max_rows: int = MAX_ROWS
) -> dg.TableMetadataValue | dg.TextMetadataValue:
    """Show the first ``max_rows`` rows as a table in Dagit; a last row says how many were left off.

    Args:
        frame: a frame (its index is left out), mappings, or dataclass values, one per row. Rows may lack
            keys of others.
        max_rows: rows shown at most.

    Returns:
        A table. No rows of no known columns become the text "none".
    """
    if _is_frame(frame):
        total, columns = len(frame), [str(column) for column in frame.columns]  # type: ignore[union-attr, arg-type]  # told by _is_frame
        shown = frame.head(max_rows)  # type: ignore[union-attr]  # told by _is_frame
        rows = [dict(zip(columns, values, strict=True)) for values in shown.itertuples(index=False, name=None)]
    else:
        everything = [_row(item) for item in frame]
        total = len(everything)
        columns = list(dict.fromkeys(column for row in everything for column in row))
        rows = everything[:max_rows]
    if not columns:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord({column: _cell(row.get(column)) for column in columns}) for row in rows]
    if total > len(records):
        note: dict[str, Scalar] = dict.fromkeys(columns)
        note[columns[0]] = f"… {total - len(records)} more rows"
        records.append(dg.TableRecord(note))
    schema = dg.TableSchema([dg.TableColumn(column, type=_type(rows, column)) for column in columns])
    return dg.MetadataValue.table(records=records, schema=schema)


def _cell(value: Any) -> Scalar:
    """A nested value is written as text."""
    plain = clean(value) if not isinstance(value, _PASSED_ON) else str(value)
    if isinstance(plain, (list, tuple)):
        plain = ", ".join(str(item) for item in plain)
    elif not isinstance(plain, (str, int, float, bool, type(None))):
        plain = str(plain)
    if isinstance(plain, str) and len(plain) > MAX_TEXT:
        plain = plain[: MAX_TEXT - 1] + "…"
    return plain


def _type(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    """Dagit's word for the column's type, told by its first value."""
    for row in rows:
        cell = _cell(row.get(column))
        if cell is not None:
            return {bool: "bool", int: "int", float: "float"}.get(type(cell), "string")
    return "string"


def _row(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return {str(key): value for key, value in item.items()}
    if is_dataclass(item) and not isinstance(item, type):
        return _shallow(item)
    if isinstance(item, tuple) and hasattr(item, "_asdict"):
        return dict(item._asdict())
    return {"value": item}


def _shallow(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _native(value: Any) -> Any:
    """Python's own value for enums and for numpy's and pandas' scalars, told by duck typing: no import."""
    if isinstance(value, Enum):
        return _native(value.value)
    kind = type(value)
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if kind.__module__ == "numpy":
        if kind.__name__ in ("datetime64", "timedelta64"):
            text = str(value)
            return None if text == "NaT" else text
        return value.item()
    if isinstance(value, str):
        return str(value)
    return value


def _float(value: float | Decimal | None) -> float | str | None:
    if value is None or (isinstance(value, Decimal) and not value.is_finite() and value.is_nan()):
        return None
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def _instant(value: datetime) -> str:
    """ISO 8601 to the second, or finer where the value is; UTC is written as Z."""
    if value.tzinfo is not None and value.utcoffset() == timezone.utc.utcoffset(None):
        return value.replace(tzinfo=None).isoformat() + "Z"
    return value.isoformat()


def _is_frame(value: Any) -> bool:
    return hasattr(value, "itertuples") and hasattr(value, "columns")
