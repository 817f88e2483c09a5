"""Fixtures of the paper market's tests."""

from __future__ import annotations

import pytest

from trading_platform.paper_gateway.market.datasets import MarketData, load_market_data


@pytest.fixture(scope="session")
def bundled() -> MarketData:
    """The bundled real bars."""
    return load_market_data()
