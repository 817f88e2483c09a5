"""What trades in the paper market, at which prices: real bars replayed, and labelled paths where there are none."""

from trading_platform.paper_gateway.market.datasets import MarketData, load_bundled, load_directory, load_market_data
from trading_platform.paper_gateway.market.files import DatasetError
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.timeline import choose_anchor

__all__ = [
    "DatasetError",
    "Market",
    "MarketData",
    "choose_anchor",
    "load_bundled",
    "load_directory",
    "load_market_data",
]
