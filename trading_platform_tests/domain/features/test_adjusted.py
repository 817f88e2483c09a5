"""Features over splits and dividends: every value is the one somebody would compute who stands at its bar."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.features.adjusted import compute_adjusted_features
from trading_platform.domain.features.compute import compute_features
from trading_platform.domain.features.registry import indicators
from trading_platform.domain.market_data.corporate_actions import CorporateAction, adjust_bars

COUNT = 160
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(COUNT)]
NAMES = sorted(entry.example_name for entry in indicators().values())
ACTIONS = [
    CorporateAction("ACME", DAYS[90], "split", 4.0, "test"),
    CorporateAction("ACME", DAYS[120], "dividend", 1.5, "test"),
    CorporateAction("OTHER", DAYS[150], "split", 0.1, "test"),
]


def as_traded() -> pd.DataFrame:
    frames = []
    for seed, symbol in enumerate(("ACME", "OTHER", "THIRD")):
        rng = np.random.default_rng(seed)
        close = 80 * np.exp(np.cumsum(rng.normal(0, 0.02, COUNT)))
        volume = rng.integers(1_000, 9_000, COUNT).astype(float)
        for action in ACTIONS:
            if action.symbol == symbol and action.kind == "split":
                before = np.array([day < action.ex_session for day in DAYS])
                close, volume = (
                    np.where(before, close * action.value, close),
                    np.where(before, volume / action.value, volume),
                )
        opened = close * (1 + rng.normal(0, 0.004, COUNT))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "session": [day.isoformat() for day in DAYS],
                    "ts_utc": pd.to_datetime(DAYS, utc=True),
                    "open": opened,
                    "high": np.maximum(opened, close) * 1.004,
                    "low": np.minimum(opened, close) * 0.996,
                    "close": close,
                    "volume": volume,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_equals_that_of_somebody_who_stands_at_its_session(name):
    bars = as_traded()
    once = compute_adjusted_features(bars, [name], ACTIONS, as_of=DAYS[-1])
    for day in (DAYS[89], DAYS[90], DAYS[119], DAYS[120], DAYS[149], DAYS[150], DAYS[159]):
        seen = bars[bars["session"] <= day.isoformat()]
        then = compute_features(adjust_bars(seen, ACTIONS, as_of=day), [name])
        at_day, now = then["session"] == day.isoformat(), once["session"] == day.isoformat()
        assert once.loc[now, name].to_numpy() == pytest.approx(then.loc[at_day, name].to_numpy(), rel=1e-9, nan_ok=True)


def test_closes_are_as_traded_and_a_split_makes_no_return():
    bars = as_traded()
    features = compute_adjusted_features(bars, ["return_1"], ACTIONS, as_of=DAYS[-1])
    assert features["close"].to_numpy() == pytest.approx(bars.sort_values(["symbol", "ts_utc"])["close"].to_numpy())
    assert features["return_1"].abs().max() < 0.1
    assert compute_features(bars, ["return_1"])["return_1"].abs().max() > 0.7


def test_without_an_action_among_the_bars_nothing_is_done():
    bars = as_traded()
    pd.testing.assert_frame_equal(
        compute_adjusted_features(bars, NAMES, [], as_of=DAYS[-1]), compute_features(bars, NAMES)
    )
