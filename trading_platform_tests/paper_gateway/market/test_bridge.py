from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.paper_gateway.market.bridge import DayBar, bridge, generator, round_to_tick

PRICES = st.integers(min_value=1, max_value=5_000_000).map(lambda ticks: ticks / 10_000)


@st.composite
def day_bars(draw: st.DrawFn) -> DayBar:
    low, first, second, high = sorted(draw(st.lists(PRICES, min_size=4, max_size=4)))
    opened, closed = draw(st.permutations([first, second]))
    return DayBar(opened, high, low, closed, float(draw(st.integers(min_value=0, max_value=10**9))))


@settings(max_examples=200, deadline=None)
@given(bar=day_bars(), minutes=st.integers(1, 1440), seed=st.integers(0, 2**31), tick=st.sampled_from([0.01, 0.25]))
def test_the_minutes_honour_open_high_low_close_and_volume_exactly(
    bar: DayBar, minutes: int, seed: int, tick: float
) -> None:
    out = bridge(bar, minutes, generator(seed), tick, 1.0)
    assert len(out.open) == minutes
    assert out.open[0] == bar.open
    assert out.close[-1] == bar.close
    assert out.high.max() == bar.high
    assert out.low.min() == bar.low
    assert out.volume.sum() == bar.volume
    assert (out.volume >= 0).all()
    assert (out.high >= np.maximum(out.open, out.close)).all()
    assert (out.low <= np.minimum(out.open, out.close)).all()


@settings(max_examples=50, deadline=None)
@given(units=st.integers(0, 10**10), minutes=st.integers(1, 1440))
def test_fractional_volumes_sum_to_the_day_and_stay_multiples_of_the_unit(units: int, minutes: int) -> None:
    total = round(units * 1e-5, 5)
    volumes = bridge(DayBar(10, 11, 9, 10, total), minutes, generator(1), 0.01, 1e-5).volume
    assert round(float(volumes.sum()), 5) == total
    assert np.allclose(volumes / 1e-5, np.rint(volumes / 1e-5), atol=1e-3)


def test_a_volume_that_is_no_multiple_of_the_unit_leaves_its_rest_in_the_last_minute() -> None:
    volumes = bridge(DayBar(10, 11, 9, 10, 1000.5), 390, generator(1), 0.01, 1.0).volume
    assert volumes.sum() == 1000.5
    assert volumes[-1] % 1 == 0.5


def test_prices_are_on_the_tick_except_where_the_day_s_own_are_not() -> None:
    bar = DayBar(438.0, 438.1799, 429.98, 430.47, 19_730_300)
    out = bridge(bar, 390, generator(7), 0.01, 1.0)
    prices = np.unique(np.concatenate([out.open, out.high, out.low, out.close]))
    off_tick = prices[np.abs(prices - round_to_tick(prices, 0.01)) > 1e-9]
    assert off_tick.tolist() == [438.1799]


@pytest.mark.parametrize("minutes", [210, 390, 1440])
def test_more_trades_at_both_ends_of_the_session_than_in_its_middle(minutes: int) -> None:
    volumes = np.zeros(minutes)
    for seed in range(20):
        volumes += bridge(DayBar(10, 11, 9, 10, 1e6), minutes, generator(seed), 0.01, 1.0).volume
    sixth = minutes // 6
    first, middle, last = (
        volumes[:sixth].sum(),
        volumes[minutes // 2 - sixth // 2 :][:sixth].sum(),
        volumes[-sixth:].sum(),
    )
    assert first > 2 * middle
    assert last > 2 * middle


def test_the_same_names_give_the_same_numbers_and_other_names_others() -> None:
    one = generator(7, "AAPL", "2013-02-28").standard_normal(5)
    assert (one == generator(7, "AAPL", "2013-02-28").standard_normal(5)).all()
    assert (one != generator(7, "AAPL", "2013-03-01").standard_normal(5)).any()
    assert (one != generator(8, "AAPL", "2013-02-28").standard_normal(5)).any()
