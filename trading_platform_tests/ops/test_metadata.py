from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_platform.domain.orders.model import OrderStatus
from trading_platform.ops.metadata import MAX_TEXT, clean, clean_scalar, table_metadata


class Numbered(Enum):
    ONE = np.int64(1)


@dataclass(frozen=True)
class Skipped:
    symbol: str
    quantity: Decimal
    reason: str | None = None


UTC = timezone.utc
MOMENT = datetime(2013, 2, 28, 20, 45, tzinfo=UTC)
CASES: list[tuple[Any, Any]] = [
    (np.float64(1.5), 1.5),
    (np.float32(0.5), 0.5),
    (np.int64(7), 7),
    (np.bool_(True), True),
    (np.str_("AAPL"), "AAPL"),
    (np.float64("nan"), None),
    (float("nan"), None),
    (float("inf"), "inf"),
    (-np.inf, "-inf"),
    (Decimal("1.25"), 1.25),
    (Decimal("NaN"), None),
    (Decimal("sNaN"), None),
    (Decimal("-Infinity"), "-inf"),
    (2**60, str(2**60)),
    (True, True),
    (None, None),
    (MOMENT, "2013-02-28T20:45:00Z"),
    (MOMENT.astimezone(ZoneInfo("America/New_York")), "2013-02-28T15:45:00-05:00"),
    (pd.Timestamp(MOMENT), "2013-02-28T20:45:00Z"),
    (pd.NaT, None),
    (pd.NA, None),
    (np.datetime64("NaT"), None),
    (np.datetime64("2013-02-28"), "2013-02-28"),
    (date(2013, 2, 28), "2013-02-28"),
    (timedelta(seconds=90), "0:01:30"),
    (OrderStatus.FILLED, "filled"),
    (Numbered.ONE, 1),
    (Path("a/b"), "a/b"),
    (b"x", "b'x'"),
]


def stored(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata after a real materialization has gone through the instance and back, as strict JSON."""

    @dg.asset
    def subject() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=metadata)

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([subject], instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey("subject"))
        assert event is not None
        json.loads(dg.serialize_value(event), parse_constant=_refuse)
        assert event.asset_materialization is not None
        return dict(event.asset_materialization.metadata)


def _refuse(constant: str) -> None:
    pytest.fail(f"{constant} is not JSON")


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_each_kind_of_scalar_becomes_plain(value: Any, expected: Any) -> None:
    result = clean_scalar(value)
    assert result == expected
    assert type(result) is type(expected)


def test_everything_that_breaks_dagster_s_metadata_is_stored_and_read_back() -> None:
    metadata = {f"case {i}": value for i, (value, _) in enumerate(CASES)}
    metadata["nested"] = {"a": [np.float64("nan"), {pd.Timestamp(MOMENT): Decimal("0.1")}], "b": {"y", "x"}}
    metadata["array"] = np.array([1.0, np.nan])
    metadata["frame"] = pd.DataFrame(
        {"symbol": ["AAPL", None], "close": [np.nan, 1.0], "ts": [pd.NaT, pd.Timestamp(MOMENT)]}
    )
    metadata["fill"] = Skipped("AAPL", Decimal("0.5"))
    metadata["schema"] = dg.TableSchema([dg.TableColumn("a")])
    metadata["number"] = dg.MetadataValue.float(np.float64("nan"))
    metadata["url"] = dg.MetadataValue.url("http://localhost")
    kept = stored(clean(metadata))
    assert set(kept) == set(metadata)
    assert kept["nested"].value == {"a": [None, {"2013-02-28T20:45:00Z": 0.1}], "b": ["x", "y"]}
    assert kept["fill"].value == {"symbol": "AAPL", "quantity": 0.5, "reason": None}
    assert isinstance(kept["frame"], dg.TableMetadataValue)
    assert isinstance(kept["case 0"], dg.FloatMetadataValue)


plain = st.one_of(
    st.floats(), st.integers(), st.text(max_size=5), st.none(), st.booleans(), st.decimals(), st.datetimes(), st.dates()
)


@given(
    st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=3), inner)
    )
)
def test_whatever_is_cleaned_is_strict_json_and_clean_already(value: Any) -> None:
    once = clean(value)
    json.loads(json.dumps(once, allow_nan=False))
    assert clean(once) == once


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(value: float) -> None:
    assert clean(np.float64(value)) == value
    assert math.copysign(1, clean(value)) == math.copysign(1, value)


def rows(table: Any) -> list[dict[str, Any]]:
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_a_frame_becomes_a_table_with_its_column_types() -> None:
    frame = pd.DataFrame({"symbol": ["AAPL", "IBM"], "close": [np.nan, 2.5], "volume": [1, 2], "is_up": [True, False]})
    table = table_metadata(frame)
    assert isinstance(table, dg.TableMetadataValue)
    assert {column.name: column.type for column in table.schema.columns} == {
        "symbol": "string",
        "close": "float",
        "volume": "int",
        "is_up": "bool",
    }
    assert rows(table)[0] == {"symbol": "AAPL", "close": None, "volume": 1, "is_up": True}


def test_rows_beyond_the_most_are_counted_not_dropped_silently() -> None:
    table = rows(table_metadata(pd.DataFrame({"symbol": ["A"] * 60, "close": range(60)})))
    assert len(table) == 51
    assert table[-1] == {"symbol": "… 10 more rows", "close": None}


def test_dataclasses_and_ragged_mappings_become_rows_too() -> None:
    assert rows(table_metadata([Skipped("AAPL", Decimal(3), "small")])) == [
        {"symbol": "AAPL", "quantity": 3.0, "reason": "small"}
    ]
    assert rows(table_metadata([{"a": 1}, {"b": [1, 2]}])) == [{"a": 1, "b": None}, {"a": None, "b": "1, 2"}]
    assert rows(table_metadata(["x"])) == [{"value": "x"}]


def test_an_empty_frame_keeps_its_columns_and_no_rows_at_all_are_said_so() -> None:
    empty = table_metadata(pd.DataFrame({"symbol": [], "close": []}))
    assert rows(empty) == []
    assert isinstance(empty, dg.TableMetadataValue)
    assert [column.name for column in empty.schema.columns] == ["symbol", "close"]
    assert table_metadata([]) == dg.MetadataValue.text("none")
    assert set(stored({"empty": empty, "none": table_metadata([])})) == {"empty", "none"}


def test_a_long_text_is_cut_in_a_cell() -> None:
    (row,) = rows(table_metadata([{"reason": "x" * 10_000}]))
    assert len(row["reason"]) == MAX_TEXT


def test_columns_with_numbers_for_names_work() -> None:
    assert rows(table_metadata(pd.DataFrame([[1, 2]]))) == [{"0": 1, "1": 2}]
