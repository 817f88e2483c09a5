"""What all table models share: UTC stamps, strictness, one way to validate."""

from __future__ import annotations

from typing import Annotated, TypeVar

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

UTCStamp = Annotated[pd.DatetimeTZDtype, "ns", "UTC"]
SESSION_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
MAX_FAILURES = 50
FailureRows = list[dict[str, str]]
Model = TypeVar("Model", bound="Table")


class Table(pa.DataFrameModel):
    """Base of all tables: exactly the declared columns, in order, coerced to the declared types."""

    class Config:
        strict = True
        coerce = True
        ordered = False


class TableValidationError(Exception):
    """A frame breaks its contract. ``failures`` holds at most 50 rows: column, rule, value, index."""

    def __init__(self, table: str, count: int, failures: FailureRows) -> None:
        first = "; ".join(f"{row['column']}: {row['rule']} (found {row['value']})" for row in failures[:3])
        super().__init__(f"{table}: {count} value(s) break the contract: {first}")
        self.table = table
        self.count = count
        self.failures = failures


def validate(model: type[Table], frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` coerced to ``model``'s types, its columns in the model's order.

    Raises:
        TableValidationError: with the rows that break the contract.
    """
    try:
        checked = model.to_schema().validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        rows = [
            {
                "column": str(case["column"]),
                "rule": str(case["check"]),
                "value": str(case["failure_case"]),
                "index": str(case["index"]),
            }
            for case in cases.head(MAX_FAILURES).to_dict("records")
        ]
        raise TableValidationError(model.__name__, len(cases), rows) from error
    declared = list(model.to_schema().columns)
    return checked[declared + [name for name in checked.columns if name not in declared]]


def empty(model: type[Table]) -> pd.DataFrame:
    """An empty frame of the model's columns and types."""
    return model.empty()
