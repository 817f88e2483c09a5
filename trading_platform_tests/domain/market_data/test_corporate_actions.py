"""Adjusting for splits and dividends: against Lean's factor files, against a vendor's adjusted closes, and by laws."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.market_data.corporate_actions import (
    CorporateAction,
    CorporateActionError,
    adjust_bars,
    adjustment_factors,
    derive_actions,
)
from trading_platform_tests.shared_data import shared_data

DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(8)]
LABELS = [day.isoformat() for day in DAYS]


def split(ex: int, ratio: float, symbol: str = "ACME") -> CorporateAction:
    return CorporateAction(symbol, DAYS[ex], "split", ratio, "test")


def dividend(ex: int, amount: float, symbol: str = "ACME") -> CorporateAction:
    return CorporateAction(symbol, DAYS[ex], "dividend", amount, "test")


def bars(closes: list[float], symbol: str = "ACME") -> pd.DataFrame:
    prices = np.array(closes, dtype=float)
    return pd.DataFrame(
        {
            "symbol": symbol,
            "session": LABELS[: len(closes)],
            "ts_utc": pd.to_datetime(LABELS[: len(closes)], utc=True),
            "open": prices,
            "high": prices * 1.01,
            "low": prices * 0.99,
            "close": prices,
            "volume": 1000.0,
        }
    )


def test_a_split_divides_the_prices_before_it_and_multiplies_the_volumes():
    adjusted = adjust_bars(bars([100, 102, 51, 52]), [split(2, 2.0)], as_of=DAYS[3])
    assert adjusted["close"].tolist() == [50, 51, 51, 52]
    assert adjusted["volume"].tolist() == [2000, 2000, 1000, 1000]


def test_a_dividend_lowers_the_prices_before_it_by_its_share_of_the_last_close_and_leaves_volumes():
    adjusted = adjust_bars(bars([100, 100, 98]), [dividend(2, 2.0)], as_of=DAYS[2])
    assert adjusted["close"].tolist() == pytest.approx([98, 98, 98])
    assert adjusted["volume"].tolist() == [1000, 1000, 1000]


def test_what_goes_ex_after_the_as_of_session_is_not_known():
    frame = bars([100, 102, 51])
    assert adjust_bars(frame[:2], [split(2, 2.0)], as_of=DAYS[1])["close"].tolist() == [100, 102]
    assert adjust_bars(frame, [split(2, 2.0)], as_of=DAYS[2])["close"].tolist() == [50, 51, 51]


def test_symbols_without_actions_are_left_alone_and_rows_keep_their_order():
    frame = pd.concat([bars([100, 51], "ACME"), bars([7, 8], "OTHER")]).sample(frac=1, random_state=1)
    adjusted = adjust_bars(frame, [split(1, 2.0)], as_of=DAYS[1])
    assert adjusted.index.tolist() == frame.index.tolist()
    assert (
        adjusted.loc[adjusted["symbol"] == "OTHER", "close"].tolist()
        == frame.loc[frame["symbol"] == "OTHER", "close"].tolist()
    )
    assert adjust_bars(frame, [], as_of=DAYS[1]) is frame


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_action_without_a_positive_value_is_refused(value):
    with pytest.raises(CorporateActionError, match="not a positive number"):
        split(1, value)


def test_a_dividend_as_large_as_the_price_is_refused():
    with pytest.raises(CorporateActionError, match="not smaller than the close before it"):
        adjust_bars(bars([10, 5]), [dividend(1, 10.0)], as_of=DAYS[1])


closes = st.lists(st.floats(5, 500), min_size=4, max_size=8)
actions = st.lists(
    st.one_of(
        st.builds(split, st.integers(1, 7), st.sampled_from([2.0, 3.0, 1.5, 0.1, 7.0])),
        st.builds(dividend, st.integers(1, 7), st.floats(0.01, 4.0)),
    ),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(closes=closes, actions=actions, as_of=st.integers(2, 7))
def test_standing_later_scales_the_past_by_one_number(closes, actions, as_of):
    labels, prices = LABELS[: len(closes)], np.array(closes)
    as_of = min(as_of, len(closes) - 1)
    seen = adjustment_factors(labels[: as_of + 1], prices[: as_of + 1], actions, as_of=DAYS[as_of]).price
    later = adjustment_factors(labels, prices, actions, as_of=DAYS[len(closes) - 1]).price[: as_of + 1]
    assert (later / seen) == pytest.approx(np.full(as_of + 1, later[-1] / seen[-1]))
    assert seen[-1] == 1.0


@settings(max_examples=100, deadline=None)
@given(closes=closes, amount=st.floats(0.01, 4.0), ex=st.integers(1, 3))
def test_adjusted_returns_are_those_of_a_holder_who_reinvests(closes, amount, ex):
    prices = np.array(closes)
    adjusted = prices * adjustment_factors(LABELS[: len(closes)], prices, [dividend(ex, amount)], as_of=DAYS[7]).price
    before = prices[ex - 1]
    assert adjusted[ex] / adjusted[ex - 1] == pytest.approx(prices[ex] / (before - amount))
    assert adjusted[-1] == prices[-1]


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.sampled_from([2.0, 3.0, 1.5, 7.0, 0.1, 0.05, 1.25]),
    amount=st.floats(0.5, 2.0),
    noise=st.integers(0, 10_000),
)
def test_actions_are_found_again_in_the_series_they_made(ratio, amount, noise):
    rng = np.random.default_rng(noise)
    fair = 200 * np.exp(np.cumsum(rng.normal(0, 0.01, 8)))
    shares = np.where(np.arange(8) < 3, ratio, 1.0)
    as_traded = fair * shares
    made = [split(3, ratio), dividend(6, amount)]
    adjusted = np.round(as_traded * adjustment_factors(LABELS, as_traded, made, as_of=DAYS[7]).price, 2)
    found = derive_actions("ACME", LABELS, as_traded, adjusted, grain=0.01, source="test")
    assert [(action.ex_session, action.kind) for action in found] == [(DAYS[3], "split"), (DAYS[6], "dividend")]
    assert found[0].value == pytest.approx(ratio)
    assert found[1].value == pytest.approx(amount, abs=0.03)


def test_two_series_that_do_not_belong_together_are_refused():
    with pytest.raises(CorporateActionError, match="don't belong together"):
        derive_actions("ACME", LABELS[:3], np.array([10.0, 10, 10]), np.array([10.0, 10, 9]), grain=0.01, source="test")


def _bundled(symbol: str) -> pd.DataFrame:
    with (files("bokeh_sampledata") / "_data" / "stocks.csv.gz").open("rb") as packed, gzip.open(packed) as text:
        frame = pd.read_csv(text)
    frame.columns = [name.lower().replace(" ", "_") for name in frame.columns]
    return frame[frame["ticker"] == symbol].sort_values("date", ignore_index=True)


def test_apples_splits_and_dividends_are_found_in_real_closes():
    frame = _bundled("AAPL")
    found = derive_actions(
        "AAPL",
        frame["date"].tolist(),
        frame["close"].to_numpy(float),
        frame["adj_close"].to_numpy(float),
        grain=0.01,
        source="test",
    )
    assert [(str(a.ex_session), a.kind) for a in found] == [
        ("2000-06-21", "split"),
        ("2005-02-28", "split"),
        ("2012-08-09", "dividend"),
        ("2012-11-07", "dividend"),
        ("2013-02-07", "dividend"),
    ]
    assert [a.value for a in found[:2]] == [2.0, 2.0]
    assert [a.value for a in found[2:]] == pytest.approx([2.65, 2.65, 2.65], abs=0.15)  # what Apple paid


def test_a_special_dividend_of_a_tenth_is_not_a_split():
    frame = _bundled("MSFT")
    adjusted = frame["adj_close"].to_numpy(float)
    found = derive_actions(
        "MSFT", frame["date"].tolist(), frame["close"].to_numpy(float), adjusted, grain=0.01, source="test"
    )
    by_day = {str(action.ex_session): action for action in found}
    assert by_day["2003-02-18"].kind == "split"
    assert by_day["2004-11-15"].kind == "dividend"
    assert by_day["2004-11-15"].value == pytest.approx(3.08, abs=0.06)  # three dollars and the regular eight cents


def _lean(symbol: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    raw = pd.read_parquet(shared_data("daily_us_equities/lean_raw_1998_2021.parquet"))
    factors = pd.read_csv(shared_data("daily_us_equities/lean_factor_files.csv"))
    own = raw[raw["symbol"] == symbol].sort_values("ts", ignore_index=True)
    return own, factors[factors["symbol"] == symbol].sort_values("date", ignore_index=True)


@pytest.mark.real_data
@pytest.mark.parametrize("symbol", ["AAPL", "AIG", "BAC", "EEM", "IBM", "IWM", "QQQ", "SPY", "USO"])
def test_adjusted_closes_agree_with_leans_factor_files_to_a_millionth(symbol):
    own, rows = _lean(symbol)
    sessions = own["ts"].dt.strftime("%Y-%m-%d").tolist()
    closes = own["close"].to_numpy(float)
    # A row's factors hold up to its date; the step to the next row is what went ex on the session after it.
    actions = []
    for (_, row), (_, following) in zip(rows[:-1].iterrows(), rows[1:].iterrows(), strict=True):
        day = pd.to_datetime(str(int(row["date"]))).strftime("%Y-%m-%d")
        later = [label for label in sessions if label > day]
        if not later or day < sessions[0]:
            continue
        ex = date.fromisoformat(later[0])
        close = closes[sessions.index(later[0]) - 1]
        if row["split_factor"] != following["split_factor"]:
            ratio = following["split_factor"] / row["split_factor"]
            actions.append(CorporateAction(symbol, ex, "split", ratio, "lean"))
        if row["price_factor"] != following["price_factor"]:
            amount = close * (1 - row["price_factor"] / following["price_factor"])
            actions.append(CorporateAction(symbol, ex, "dividend", amount, "lean"))
    ours = closes * adjustment_factors(sessions, closes, actions, as_of=date(2050, 1, 1)).price
    stamps = own["ts"].dt.strftime("%Y%m%d").astype(int).to_numpy()
    index = np.searchsorted(rows["date"].to_numpy(), stamps, side="left")
    theirs = closes * (rows["price_factor"] * rows["split_factor"]).to_numpy()[index]
    assert len(actions) > 0
    assert np.max(np.abs(ours / theirs - 1)) < 1e-6
