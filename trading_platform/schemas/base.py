"""What all table models share: UTC stamps, strictness, one way to validate."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

UTCStamp = Annotated[pd.DatetimeTZDtype, "ns", "UTC"]
SESSION_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
MAX_FAILURES = 50
ROW_NAMES = ("client_order_id", "execution_id", "symbol", "ts_utc", "tick_utc")
FailureRows = list[dict[str, str]]
Model = TypeVar("Model", bound="Table")


class Table(pa.DataFrameModel):
    """Base of all tables: exactly the declared columns, in order, coerced to the declared types."""

    class Config:
        strict = True
        coerce = True
        ordered = False


class TableValidationError(Exception):
    """A frame breaks its contract.

    ``failures`` holds at most 50 of the ``count`` offences: which row, by what names it (symbol and time, say),
    column (empty when a rule looks at several), rule and value.
    """

    def __init__(self, table: str, count: int, failures: FailureRows) -> None:
        first = "; ".join(_sentence(row) for row in failures[:3])
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
        cases = _one_per_offence(error.failure_cases)
        rows = [
            {
                "row": _name_of_row(frame, case["index"]),
                "column": "" if case["is_of_row"] else str(case["column"]),
                "rule": str(case["check"]),
                "value": "" if case["is_of_row"] else str(case["failure_case"]),
            }
            for case in cases.head(MAX_FAILURES).to_dict("records")
        ]
        raise TableValidationError(model.__name__, len(cases), rows) from error
    declared = list(model.to_schema().columns)
    return checked[declared + [name for name in checked.columns if name not in declared]]


def _one_per_offence(cases: pd.DataFrame) -> pd.DataFrame:
    """Pandera's failure cases, those of single columns first. A rule about a whole row fails once per column there."""
    is_of_row = (cases["schema_context"] == "DataFrameSchema") & cases["index"].notna()
    marked = cases.assign(is_of_row=is_of_row).sort_values("is_of_row", kind="stable")
    return marked[~(marked["is_of_row"] & marked.duplicated(["check", "index"]))]


def _name_of_row(frame: pd.DataFrame, label: Any) -> str:
    """The values of the columns that name a row, else its label."""
    names = [name for name in ROW_NAMES if name in frame.columns]
    if not names or not frame.index.is_unique or label not in frame.index:
        return "" if label is None else str(label)
    return " ".join(str(frame[name].loc[label]) for name in names)


def _sentence(failure: dict[str, str]) -> str:
    what = ": ".join(part for part in (failure["row"], failure["column"], failure["rule"]) if part)
    return f"{what} (found {failure['value']})" if failure["value"] else what


def empty(model: type[Table]) -> pd.DataFrame:
    """An empty frame of the model's columns and types."""
    return model.empty()
