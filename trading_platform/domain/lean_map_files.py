"""Ticker history from the map files of QuantConnect's Lean.

A map file belongs to one instrument, whose id (Lean calls it permtick) is the file's name: the last ticker, with ``.1``
and so on for earlier bearers of it. Its first row is the first session. Each further row names the ticker that held up
to its date, included; a date in 2050 means that it still does.
(Lean's documentation, "Map Files"; https://github.com/QuantConnect/Lean, ``Data/equity/usa/map_files``.)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from trading_platform.domain.tickers import TickerError, TickerFact, TickerMap, TickerSpan

COLUMNS = ["permtick", "date", "mapped_symbol", "exchange"]
STILL = date(2050, 12, 31)
ONE_DAY = timedelta(days=1)


def lean_ticker_map(lines: Iterable[str], market: str = "") -> TickerMap:
    """The history in ``lines``, the rows of many map files as CSV.

    The header is ``permtick,date,mapped_symbol,exchange``; dates are ``YYYYMMDD``. Exchanges keep Lean's letters.
    Consecutive rows of one ticker become one span.

    Raises:
        TickerError: the table has other columns, a malformed date, rows out of order or bearers that overlap.
    """
    reader = csv.DictReader(lines)
    if reader.fieldnames != COLUMNS:
        msg = f"a table of map files has the columns {', '.join(COLUMNS)}, not {', '.join(reader.fieldnames or ())}"
        raise TickerError(msg)
    rows: dict[str, list[tuple[date, str, str]]] = {}
    for row in reader:
        rows.setdefault(row["permtick"], []).append((_date(row["date"]), row["mapped_symbol"], row["exchange"]))
    return TickerMap(
        TickerFact(instrument, span, market) for instrument, own in rows.items() for span in _spans(instrument, own)
    )


def _date(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date without a time
    except ValueError as error:
        msg = f"{text!r} in a map file is no date of the form YYYYMMDD"
        raise TickerError(msg) from error


def _spans(instrument: str, rows: list[tuple[date, str, str]]) -> list[TickerSpan]:
    (begin, *_), *tickers = rows
    spans: list[TickerSpan] = []
    for until, ticker, exchange in tickers:
        if until < begin:
            msg = f"the map file of {instrument} is out of order at {until}"
            raise TickerError(msg)
        last = None if until >= STILL else until
        if spans and spans[-1].ticker == ticker:
            spans[-1] = TickerSpan(ticker, spans[-1].first, last, exchange)
        else:
            spans.append(TickerSpan(ticker, begin, last, exchange))
        begin = until + ONE_DAY
    return spans
