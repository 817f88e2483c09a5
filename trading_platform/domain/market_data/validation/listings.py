"""Bars of sessions in which their instrument had no ticker: those of whoever bore its name before, or after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trading_platform.domain.market_data.spans import MISSING
from trading_platform.domain.market_data.validation.findings import Findings
from trading_platform.domain.market_data.validation.table import BarTable
from trading_platform.domain.tickers import TickerSpan

Listings = Mapping[str, Sequence[TickerSpan]]
"""By symbol the tickers of instruments whose history is known. Others are taken to have been listed always."""


def check_listings(table: BarTable, found: Findings, listings: Listings) -> None:
    """Convict the bars of sessions in which their instrument was not listed."""
    for symbol, spans in listings.items():
        code = np.searchsorted(table.names.astype(str), symbol)
        if not spans or code == len(table.names) or table.names[code] != symbol:
            continue
        first, last = np.searchsorted(table.symbols, [code, code + 1])
        rows = np.arange(first, last)
        rows = rows[table.position[rows] != MISSING]
        days = table.spans.midnights[table.position[rows]].astype("datetime64[ns]").astype("datetime64[D]")
        is_listed = np.zeros(len(rows), dtype=np.bool_)
        for span in spans:
            is_listed |= (days >= np.datetime64(span.begin)) & (days <= np.datetime64(span.end))
        known = f"{symbol} was {', '.join(map(str, spans))}"
        found.convict("not_listed", rows[~is_listed], known)
