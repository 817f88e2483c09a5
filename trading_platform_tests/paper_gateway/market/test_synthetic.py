from __future__ import annotations

import time
from datetime import date

import numpy as np
import pytest

from trading_platform.paper_gateway.market.listings import LISTINGS
from trading_platform.paper_gateway.market.sessions import session_index
from trading_platform.paper_gateway.market.synthetic import SyntheticSource


@pytest.mark.parametrize("symbol", ["TSLA", "IWM", "BTC"])
def test_a_made_up_path_has_sound_bars_near_its_listing_s_price_for_thirty_five_years(symbol: str) -> None:
    listing = LISTINGS[symbol]
    index = session_index(listing.calendar)
    source = SyntheticSource(listing, index, 7)
    bars = [bar for bar in map(source.day, range(source.first_position, len(index.days))) if bar is not None]
    assert index.days[source.first_position] == (date(2000, 1, 1) if symbol == "BTC" else date(2000, 1, 3))
    assert len(bars) == len(index.days) - source.first_position
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert all(bar.volume > 0 for bar in bars)
    closes = np.array([bar.close for bar in bars])
    assert closes.min() > listing.price / 6
    assert closes.max() < listing.price * 6
    assert np.diff(np.log(closes)).std() == pytest.approx(listing.volatility, rel=0.1)


def test_a_made_up_path_depends_on_symbol_and_seed_alone_and_says_what_it_is() -> None:
    index = session_index("XNYS")
    position = index.up_to(date(2026, 11, 20))
    one, again = (SyntheticSource(LISTINGS["TSLA"], index, 7) for _ in range(2))
    assert one.day(position) == again.day(position)
    assert one.day(position) != SyntheticSource(LISTINGS["TSLA"], index, 8).day(position)
    assert one.origin == "synthetic path, seed 7: no real data"
    assert one.day(one.first_position - 1) is None
    assert one.latest(one.first_position - 1) is None


def test_a_path_of_thirty_five_years_is_made_in_a_moment() -> None:
    index = session_index("24/7")
    begun = time.process_time()
    assert SyntheticSource(LISTINGS["BTC"], index, 7).day(len(index.days) - 1) is not None
    assert time.process_time() - begun < 0.3
