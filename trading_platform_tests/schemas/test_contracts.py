"""Contracts: what each table accepts, what it refuses, and how a refusal reads."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_platform.schemas.base import MAX_FAILURES, Table, TableValidationError, empty, validate
from trading_platform.schemas.columns import MODULES, columns_of
from trading_platform.schemas.features import Features
from trading_platform.schemas.market_data import QuarantinedBars, RawBars, ValidatedBars
from trading_platform.schemas.orders import Executions, Orders
from trading_platform.schemas.signals import Signals

STAMP = pd.Timestamp("2013-02-28", tz="UTC")
TABLES = sorted(
    {
        found
        for module in MODULES
        for found in vars(import_module(f"trading_platform.schemas.{module}")).values()
        if isinstance(found, type) and issubclass(found, Table) and found is not Table
    },
    key=lambda table: table.__name__,
)


def bar(**changes: Any) -> pd.DataFrame:
    row: dict[str, Any] = {
        "symbol": "IBM",
        "session": "2013-02-28",
        "ts_utc": STAMP,
        "open": 200.0,
        "high": 203.0,
        "low": 199.0,
        "close": 202.0,
        "volume": 1e6,
        "is_final": True,
        "source": "broker",
        "received_at_utc": STAMP,
    }
    return pd.DataFrame([row | changes])


def problems(model: type[Table], frame: pd.DataFrame) -> str:
    with pytest.raises(TableValidationError) as refused:
        validate(model, frame)
    return str(refused.value)


def test_a_good_bar_passes_and_comes_back_in_the_contracts_order():
    shuffled = bar()[reversed(bar().columns)]
    assert list(validate(ValidatedBars, shuffled).columns) == list(bar().columns)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"close": 0.0}, "close"),
        ({"close": -1.0}, "close"),
        ({"close": np.nan}, "close"),
        ({"high": np.inf}, "high"),
        ({"volume": -1.0}, "volume"),
        ({"volume": np.inf}, "volume"),
        ({"high": 201.0}, "high is the highest"),
        ({"low": 201.0}, "high is the highest"),
        ({"symbol": None}, "symbol"),
        ({"ts_utc": pd.NaT}, "ts_utc"),
        ({"session": "28 Feb 2013"}, "session"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_validated_bar_is_refused_and_the_column_named(changes, column):
    message = problems(ValidatedBars, bar(**changes))
    assert message.startswith("ValidatedBars: ")
    assert column in message


def test_two_bars_of_one_symbol_at_one_time_are_refused():
    message = problems(ValidatedBars, pd.concat([bar(), bar()], ignore_index=True))
    assert message.startswith("ValidatedBars: 2 value(s) break the contract: IBM 2013-02-28 00:00:00+00:00: ")


def test_a_missing_column_is_refused_and_named():
    assert "volume" in problems(RawBars, bar().drop(columns="volume"))


def test_raw_bars_may_hold_nonsense_to_be_judged_later():
    nonsense = pd.concat([bar(close=-1.0, high=np.inf, open=np.nan), bar()], ignore_index=True)
    assert len(validate(RawBars, nonsense)) == 2


def test_quarantined_bars_keep_their_nonsense_with_its_reason():
    found = {"reason": "non_positive_price", "detail": "close -1", "bar_id": "ab", "action": "quarantined"}
    assert len(validate(QuarantinedBars, bar(close=-1.0, is_blocking=True, **found))) == 1
    assert "action" in problems(QuarantinedBars, bar(is_blocking=True, **found | {"action": "forgotten"}))


def test_failing_rows_are_told_with_rule_value_and_row_and_capped():
    many = pd.concat([bar(symbol=f"S{i}", close=-1.0, low=-2.0) for i in range(80)], ignore_index=True)
    with pytest.raises(TableValidationError) as refused:
        validate(ValidatedBars, many)
    error = refused.value
    assert error.count == 160  # two prices in each row
    assert len(error.failures) == MAX_FAILURES
    assert error.failures[0] == {
        "row": "S0 2013-02-28 00:00:00+00:00",
        "column": "low",
        "rule": "greater_than(0.0)",
        "value": "-2.0",
    }


def test_stamps_of_other_units_and_zones_become_utc_nanoseconds():
    berlin = bar(ts_utc=pd.Timestamp("2013-02-28 01:00", tz="Europe/Berlin").as_unit("us"))
    assert validate(RawBars, berlin)["ts_utc"].iloc[0] == STAMP
    assert str(validate(RawBars, berlin)["ts_utc"].dtype) == "datetime64[ns, UTC]"


def test_features_may_have_more_columns_than_declared_and_keep_them():
    frame = pd.DataFrame(
        [{"symbol": "IBM", "session": "2013-02-28", "ts_utc": STAMP, "close": 1.0, "rsi_14": 55.0, "ema_12": np.nan}]
    )
    assert list(validate(Features, frame).columns) == ["symbol", "session", "ts_utc", "close", "rsi_14", "ema_12"]
    assert "close" in problems(Features, frame.assign(close=-5.0))


def signal_row(**changes: Any) -> pd.DataFrame:
    row = {
        "strategy": "momentum",
        "symbol": "IBM",
        "session": "2013-02-28",
        "tick_utc": STAMP,
        "as_of_utc": STAMP,
        "side": "LONG",
        "target_weight": 0.5,
        "confidence": 0.7,
        "price": 200.0,
        "reason": "up",
        "volatility": np.nan,
        "atr": np.nan,
    }
    return pd.DataFrame([row | changes])


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "BUY"},
        {"target_weight": 1.5},
        {"confidence": -0.1},
        {"price": 0.0},
        {"tick_utc": pd.NaT},
        {"atr": -1.0},
    ],
)
def test_signals_out_of_range_are_refused(changes):
    assert len(validate(Signals, signal_row())) == 1
    assert next(iter(changes)) in problems(Signals, signal_row(**changes))


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_an_empty_table_keeps_its_contract_and_types(model):
    frame = validate(model, empty(model))
    assert len(frame) == 0
    assert {name: str(dtype) for name, dtype in frame.dtypes.items() if str(dtype) != "object"} == {
        name: str(column.dtype) for name, column in model.to_schema().columns.items() if str(column.dtype) != "str"
    }


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_every_column_says_what_it_holds(model):
    for column in columns_of(model.__name__):
        assert column["description"], column["name"]
        if column["name"].endswith("_utc"):
            assert column["type"] == "datetime64[ns, UTC]"


def test_every_table_says_its_key():
    for model in TABLES:
        assert "Key: " in (model.__doc__ or ""), model.__name__


def test_keys_of_ledger_tables_are_unique():
    assert Orders.to_schema().columns["client_order_id"].unique
    assert Executions.to_schema().unique == ["account", "execution_id"]


def test_an_unknown_table_is_an_error():
    with pytest.raises(KeyError):
        columns_of("NoSuchTable")
