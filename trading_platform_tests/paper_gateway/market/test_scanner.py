"""How contracts are ranked: against figures worked out here from the market's own bars."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market.datasets import MarketData, SymbolHistory
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.scanner import LOCATIONS, SCAN_CODES, ScanFilter, scan
from trading_platform.paper_gateway.market.sessions import session_index
from trading_platform.paper_gateway.market.timeline import choose_anchor
from trading_platform.paper_gateway.model import Contract
from trading_platform_tests.paper_gateway.market.builders import at, daily_history, data_of, load_frames, minute_frame

NOW = at(2013, 2, 28, 17, 0, second=30)
"""Half past noon in New York."""
SESSION, BEFORE = at(2013, 2, 28), at(2013, 2, 27)


@pytest.fixture(scope="module")
def market(bundled: MarketData) -> Market:
    return Market(bundled, 7, choose_anchor(NOW), NOW)


@pytest.fixture(scope="module")
def stocks(market: Market) -> list[Contract]:
    """The stocks in USD; there are others, which no location has."""
    contracts = ContractBook(market).contracts
    assert any(one.security_type == "STK" and one.currency != "USD" for one in contracts)
    return [one for one in contracts if (one.security_type, one.currency) == ("STK", "USD")]


def ranking(market: Market, code: str, *, location: str = "STK.US", rows: int = 50, **filters: float) -> list[str]:
    contracts = ContractBook(market).contracts
    return [one.symbol for one in scan(market, contracts, code, location, ScanFilter(**filters), rows, NOW)]


def last_and_close(market: Market, contract: Contract) -> tuple[float, float]:
    book = market.top_of_book(contract, NOW)
    assert book is not None
    [before] = market.bars(contract, "1 day", BEFORE, SESSION, NOW)
    return float(book.last), before.close


def volume(market: Market, contract: Contract) -> float:
    minutes = market.bars(contract, "1 min", SESSION, NOW, NOW)
    return sum(bar.volume for bar in minutes)


def by(values: dict[str, float]) -> list[str]:
    return sorted(values, key=lambda symbol: (-values[symbol], symbol))


def test_gainers_are_ranked_by_last_price_against_the_previous_close(market: Market, stocks: list[Contract]) -> None:
    changes = {one.symbol: last / close - 1 for one in stocks for last, close in [last_and_close(market, one)]}
    assert ranking(market, "TOP_PERC_GAIN") == by({name: change for name, change in changes.items() if change > 0})
    assert ranking(market, "TOP_PERC_LOSE") == by({name: -change for name, change in changes.items() if change < 0})


def test_the_most_active_are_ranked_by_the_volume_so_far(market: Market, stocks: list[Contract]) -> None:
    assert ranking(market, "MOST_ACTIVE") == by({one.symbol: volume(market, one) for one in stocks})


def test_the_volume_rate_is_that_of_the_newest_whole_minute(market: Market, stocks: list[Contract]) -> None:
    rates = {one.symbol: float(market.minute_volume(one, NOW - timedelta(minutes=1))) for one in stocks}
    assert ranking(market, "TOP_VOLUME_RATE") == by({name: rate for name, rate in rates.items() if rate > 0})


def test_hot_is_volume_against_its_thirty_day_exponential_average(market: Market, stocks: list[Contract]) -> None:
    ratios: dict[str, float] = {}
    for one in stocks:
        days = market.bars(one, "1 day", SESSION - timedelta(days=100), SESSION, NOW)
        average = pd.Series([bar.volume for bar in days]).ewm(span=30, adjust=False).mean().iloc[-1]
        ratios[one.symbol] = volume(market, one) / float(average)
    assert ranking(market, "HOT_BY_VOLUME") == by(ratios)


@pytest.mark.parametrize("code", SCAN_CODES)
def test_no_ranking_knows_what_comes_after(code: str) -> None:
    """The sessions after today's are cut off, and nothing changes."""
    whole = [daily_history(name, date(2012, 9, 4), 160, seed=seed) for seed, name in enumerate(("AAA", "BBB", "CCC"))]
    today = session_index("XNYS").up_to(SESSION.date())
    assert whole[0].last_day > SESSION.date()
    rankings = []
    for histories in (whole, [first_sessions(history, today) for history in whole]):
        market = Market(data_of(*histories), 7, choose_anchor(NOW), NOW)
        contracts = [one for one in ContractBook(market).contracts if one.symbol in ("AAA", "BBB", "CCC")]
        rankings.append([one.symbol for one in scan(market, contracts, code, "STK.US", ScanFilter(), 50, NOW)])
    assert rankings[0] == rankings[1]
    assert rankings[0]


def first_sessions(history: SymbolHistory, last: int) -> SymbolHistory:
    """The history without the sessions after position ``last``."""
    keep = history.positions <= last
    names = ("positions", "open", "high", "low", "close", "volume", "factor", "intraday_start", "intraday_stop")
    return replace(history, **{name: getattr(history, name)[keep] for name in names})


def test_filters_keep_what_lies_on_their_bounds(market: Market, stocks: list[Contract]) -> None:
    apple = next(one for one in stocks if one.symbol == "AAPL")
    last, traded = last_and_close(market, apple)[0], volume(market, apple)
    assert "AAPL" in ranking(market, "MOST_ACTIVE", above_price=last, below_price=last, above_volume=traded)
    assert "AAPL" not in ranking(market, "MOST_ACTIVE", above_price=last + 0.01)
    assert "AAPL" not in ranking(market, "MOST_ACTIVE", below_price=last - 0.01)
    assert "AAPL" not in ranking(market, "MOST_ACTIVE", above_volume=traded + 1)
    assert set(ranking(market, "TOP_PERC_LOSE", max_change=-1.0)) < set(ranking(market, "TOP_PERC_LOSE"))
    assert ranking(market, "TOP_PERC_LOSE", min_change=0.0) == []


def test_a_location_is_the_exchanges_a_stock_is_listed_at(market: Market, stocks: list[Contract]) -> None:
    def listed(name: str) -> set[str]:
        return {one.symbol for one in stocks if one.primary_exchange == name}

    assert set(ranking(market, "MOST_ACTIVE", location="STK.NYSE")) == listed("NYSE")
    assert set(ranking(market, "MOST_ACTIVE", location="STK.NASDAQ")) == listed("NASDAQ")
    assert set(ranking(market, "MOST_ACTIVE", location="STK.US.MAJOR")) == {one.symbol for one in stocks}
    assert set(LOCATIONS) == {"STK.US", "STK.US.MAJOR", "STK.NASDAQ", "STK.NYSE"}


def test_a_stock_of_unknown_exchange_is_in_the_us_and_not_major(tmp_path: Path) -> None:
    starts = [at(2013, 2, 27, 14, 30), at(2013, 2, 28, 14, 30)]
    data = load_frames(tmp_path, acme=minute_frame("ACME", starts))
    market = Market(data, 7, choose_anchor(NOW), NOW)
    assert "ACME" in ranking(market, "MOST_ACTIVE")
    assert "ACME" not in ranking(market, "MOST_ACTIVE", location="STK.US.MAJOR")


def test_only_as_many_rows_come_as_are_asked_for_and_they_are_the_best(market: Market) -> None:
    assert ranking(market, "MOST_ACTIVE", rows=3) == ranking(market, "MOST_ACTIVE")[:3]


def test_what_does_not_trade_today_or_only_since_today_is_not_ranked(tmp_path: Path) -> None:
    gone = minute_frame("GONE", [at(2013, 2, 27, 14, 30)])
    fresh = minute_frame("NEWX", [at(2013, 2, 28, 14, 30)])
    stays = minute_frame("STAY", [at(2013, 2, 27, 14, 30), at(2013, 2, 28, 14, 30)])
    market = Market(load_frames(tmp_path, gone=gone, fresh=fresh, stays=stays), 7, choose_anchor(NOW), NOW)
    assert {"GONE", "NEWX", "STAY"} & set(ranking(market, "MOST_ACTIVE")) == {"STAY"}


def test_a_closed_market_shows_its_newest_session(market: Market) -> None:
    night = at(2013, 3, 1, 3)
    contracts = ContractBook(market).contracts
    found = scan(market, contracts, "MOST_ACTIVE", "STK.US", ScanFilter(), 50, night)
    days = {one.symbol: market.bars(one, "1 day", SESSION, at(2013, 3, 1), night)[0].volume for one in found}
    assert [one.symbol for one in found] == by(days)
