"""Lean's map files answer who had a ticker when."""

from __future__ import annotations

from datetime import date

import pytest

from trading_platform.domain.lean_map_files import lean_ticker_map
from trading_platform.domain.tickers import TickerError, TickerMap, TickerSpan
from trading_platform.specs.universe import load_universe
from trading_platform_tests.shared_data import shared_data

HEADER = "permtick,date,mapped_symbol,exchange"


def test_rows_become_spans_each_up_to_its_date() -> None:
    known = lean_ticker_map(
        [
            HEADER,
            "TFCFA,20041112,NWSA,Q",
            "TFCFA,20130628,NWSA,Q",
            "TFCFA,20190318,FOXA,Q",
            "TFCFA,20190320,TFCFA,Q",
            "IBM,19980102,IBM,N",
            "IBM,20100101,IBM,N",
            "IBM,20501231,IBM,N",
        ]
    )
    assert known.spans_of("TFCFA") == (
        TickerSpan("NWSA", date(2004, 11, 12), date(2013, 6, 28), "Q"),
        TickerSpan("FOXA", date(2013, 6, 29), date(2019, 3, 18), "Q"),
        TickerSpan("TFCFA", date(2019, 3, 19), date(2019, 3, 20), "Q"),
    )
    assert known.spans_of("IBM") == (TickerSpan("IBM", date(1998, 1, 2), None, "N"),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["ticker,date"], "has the columns permtick, date, mapped_symbol, exchange, not ticker, date"),
        ([], "not $"),
        ([HEADER, "FB,2012-05-18,FB,Q"], "'2012-05-18' in a map file is no date"),
        ([HEADER, "FB,20120518,FB,Q", "FB,20110101,FB,Q"], "the map file of FB is out of order at 2011-01-01"),
        (
            [HEADER, "A,20000103,X,N", "A,20501231,X,N", "B,20100104,X,N", "B,20501231,X,N"],
            "A as X .* and B as X .* overlap",
        ),
    ],
)
def test_a_table_that_can_not_be_trusted_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(TickerError, match=message):
        lean_ticker_map(lines)


@pytest.fixture(scope="module")
def known() -> TickerMap:
    """All map files that were collected."""
    with shared_data("daily_us_equities/lean_map_files.csv").open() as lines:
        return lean_ticker_map(lines)


@pytest.mark.real_data
class TestTheRealFiles:
    @pytest.mark.parametrize(
        ("ticker", "session", "instrument"),
        [
            ("FB", date(2001, 9, 10), "FB.1"),  # not Facebook
            ("FB", date(2008, 1, 2), None),
            ("FB", date(2012, 5, 17), None),
            ("FB", date(2012, 5, 18), "FB"),
            ("WM", date(2005, 1, 3), None),  # Washington Mutual's map file is not in the table
            ("WMI", date(2005, 1, 3), "WM"),
            ("UW", date(1998, 7, 16), "WM"),
            ("WM", date(2009, 8, 5), "WM"),
            ("AAA", date(2005, 1, 3), "AAA.1"),
            ("AAA", date(2010, 1, 4), None),
            ("AAA", date(2020, 9, 9), "AAA"),
            ("TWX", date(2000, 1, 3), "TWX.1"),  # Time Warner before AOL took it over
            ("AOL", date(2000, 1, 3), "TWX"),
            ("TWX", date(2004, 1, 2), "TWX"),
            ("GOOG", date(2013, 1, 2), "GOOGL"),  # the A shares, until the C shares got the ticker
            ("GOOG", date(2014, 4, 2), "GOOGL"),
            ("GOOG", date(2014, 4, 3), "GOOG"),
            ("QQQQ", date(2008, 1, 2), "QQQ"),
            ("VXX", date(2015, 1, 2), "VXX.1"),
            ("VXX", date(2020, 1, 2), "VXX"),
        ],
    )
    def test_who_was_it(self, known: TickerMap, ticker: str, session: date, instrument: str | None) -> None:
        assert known.instrument_of(ticker, session) == instrument

    def test_every_ticker_leads_back_to_its_instrument(self, known: TickerMap) -> None:
        spans = [(name, span) for name in known.instruments for span in known.spans_of(name)]
        assert len(known.instruments) > 25
        for name, span in spans:
            for session in filter(None, (span.first, span.last)):
                assert known.instrument_of(span.ticker, session) == name

    def test_the_shipped_universe_agrees_about_facebook(self, known: TickerMap) -> None:
        ours = load_universe().tickers
        for session in (date(2001, 9, 10), date(2012, 5, 17), date(2012, 5, 18), date(2020, 1, 2)):
            assert (ours.instrument_of("FB", session, "XNYS") == "FB") == (known.instrument_of("FB", session) == "FB")
