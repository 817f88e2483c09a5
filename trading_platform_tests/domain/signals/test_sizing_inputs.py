"""What sizing reads is what was known at the decision's bar, or nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.signals.model import Signal
from trading_platform.domain.signals.sizing_inputs import with_sizing_inputs
from trading_platform.domain.signals.spec import SizingSpec
from trading_platform_tests.domain.bars import random_bars
from trading_platform_tests.domain.orders.builders import signal
from trading_platform_tests.domain.test_no_lookahead import FUTURES, with_other_future

VOLATILITY = SizingSpec.model_validate({"method": "volatility_target", "target_volatility": "0.1"})
ATR = SizingSpec.model_validate({"method": "atr_risk", "risk_fraction": "0.01"})
SYMBOLS = ("AAPL", "IBM")
SIGNALS = [signal(symbol) for symbol in SYMBOLS]
BAR = pd.Timestamp("2013-02-28T20:40Z")
AS_OF = datetime.fromisoformat("2013-02-28T20:45:00+00:00")


def frame(*rows: tuple[str, int, float]) -> pd.DataFrame:
    """Symbol, bars before the newest, and the value of both features."""
    return pd.DataFrame(
        [
            {"symbol": symbol, "ts_utc": BAR - pd.Timedelta(minutes=5 * back), "volatility_20": value, "atr_14": value}
            for symbol, back, value in rows
        ]
    )


def values(features: pd.DataFrame, sizing: SizingSpec = VOLATILITY, as_of: datetime = AS_OF) -> list[Any]:
    return [one.volatility for one in with_sizing_inputs(SIGNALS, sizing, features, as_of=as_of)]


def test_each_symbol_gets_the_value_of_the_newest_bar() -> None:
    features = frame(("AAPL", 1, 0.5), ("AAPL", 0, 0.01), ("IBM", 0, 0.02))
    assert values(features) == [0.01, 0.02]
    with_range = with_sizing_inputs(SIGNALS, ATR, features, as_of=AS_OF)
    assert [(one.atr, one.volatility) for one in with_range] == [(0.01, None), (0.02, None)]


@pytest.mark.parametrize("ibm", [[("IBM", 1, 0.02)], [("IBM", 0, np.nan)], [("IBM", 0, np.inf)], []])
def test_a_symbol_that_is_late_warming_up_or_absent_gets_none(ibm: list[tuple[str, int, float]]) -> None:
    assert values(frame(("AAPL", 0, 0.01), *ibm)) == [0.01, None]


def test_a_method_that_reads_nothing_needs_no_column() -> None:
    assert with_sizing_inputs(SIGNALS, SizingSpec(), pd.DataFrame(), as_of=AS_OF) == SIGNALS


def test_a_frame_without_the_column_is_no_answer() -> None:
    with pytest.raises(KeyError, match="volatility_20"):
        values(frame(("AAPL", 0, 0.01)).drop(columns="volatility_20"))


@pytest.mark.parametrize(("sizing", "name"), [(VOLATILITY, "volatility_20"), (ATR, "atr_14")])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), future=FUTURES)
def test_what_comes_after_changes_nothing(sizing: SizingSpec, name: str, seed: int, future: str) -> None:
    bars = random_bars(SYMBOLS, 300, seed, bar_size="15 mins")
    now = sorted(bars["ts_utc"].unique())[250]
    as_of = now.to_pydatetime() + timedelta(minutes=1)

    def read(seen: pd.DataFrame) -> list[Signal]:
        return with_sizing_inputs(SIGNALS, sizing, compute_features(seen, [name]), as_of=as_of)

    expected = read(bars[bars["ts_utc"] <= now])
    assert all((one.volatility or one.atr) is not None for one in expected)
    assert read(with_other_future(bars, now, future, seed)) == expected
