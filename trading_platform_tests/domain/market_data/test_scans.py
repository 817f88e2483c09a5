from __future__ import annotations

import pytest

from trading_platform.domain.market_data.scans import Scan


@pytest.mark.parametrize("limit", [0, 51, -1])
def test_a_scan_has_one_to_fifty_rows(limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 50 rows"):
        Scan("TOP_PERC_GAIN", limit=limit)


def test_a_scan_says_what_it_asks_for() -> None:
    assert str(Scan("TOP_PERC_GAIN")) == "TOP_PERC_GAIN at STK.US.MAJOR, best 50"
    scan = Scan("MOST_ACTIVE", "STK.NYSE", above_price=5, below_price=99.5, above_volume=100_000, limit=3)
    assert str(scan) == "MOST_ACTIVE at STK.NYSE, price ≥ 5, price ≤ 99.5, volume ≥ 100000, best 3"
