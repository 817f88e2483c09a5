from __future__ import annotations

from datetime import timedelta

import pytest

from trading_platform.paper_gateway.market.datasets import MarketData
from trading_platform.paper_gateway.market.market import NEWS_PROVIDERS, Market
from trading_platform_tests.paper_gateway.market.builders import at, contract_of

THEN = at(2013, 3, 1, 20)


@pytest.fixture(scope="module")
def market(bundled: MarketData) -> Market:
    return Market(bundled, 7, THEN.date(), THEN)


def test_a_headline_states_what_the_session_did(market: Market) -> None:
    [headline] = market.headlines(contract_of(market, "AAPL"), at(2013, 2, 28), at(2013, 3, 1), 10)
    assert headline.text == "AAPL closes 0.7 % lower on 0.7 times its usual volume"
    assert (headline.article_id, headline.ts_utc) == ("PAPER$AAPL.20130228", at(2013, 2, 28, 21))
    assert headline.provider in NEWS_PROVIDERS
    assert headline.body.startswith(
        "2013-02-28: open 444.05, high 447.87, low 441.4, close 441.4, all in USD; volume 11,518,400."
    )
    assert "real daily bars" in headline.body


def test_headlines_come_newest_first_up_to_the_limit_and_before_the_end(market: Market) -> None:
    contract, end = contract_of(market, "AAPL"), at(2013, 2, 28, 21)
    found = market.headlines(contract, end - timedelta(days=30), end, 3)
    assert [headline.ts_utc.day for headline in found] == [27, 26, 25]
    assert market.headlines(contract, end, end + timedelta(seconds=1), 3)[0].ts_utc == end
    assert market.headlines(contract, end - timedelta(days=30), end, 0) == []
    assert market.headlines(contract, at(1990, 1, 1), at(1999, 1, 1), 3) == []


def test_the_first_session_has_nothing_to_be_compared_with(market: Market) -> None:
    [headline] = market.headlines(contract_of(market, "FB"), at(2012, 5, 18), at(2012, 5, 19), 10)
    assert headline.text == "FB closes its first session at 38.2318"


def test_headlines_of_made_up_prices_say_so(market: Market) -> None:
    for symbol in ("TSLA", "BTC"):
        [headline] = market.headlines(contract_of(market, symbol), at(2013, 2, 28), at(2013, 3, 1), 1)
        assert headline.text.endswith("(synthetic path)")
        assert "no real data" in headline.body


def test_an_article_is_found_by_its_id_once_it_is_out(market: Market) -> None:
    [headline] = market.headlines(contract_of(market, "AAPL"), at(2013, 2, 28), at(2013, 3, 1), 10)
    assert market.article(headline.article_id, headline.ts_utc) == headline
    assert market.article(headline.article_id, headline.ts_utc - timedelta(seconds=1)) is None
    for unknown in ("PAPER$AAPL.20130299", "PAPER$NONE.20130228", "PAPER$AAPL.20130302", "BRFG$1", "PAPER$FB.20120517"):
        assert market.article(unknown, THEN) is None
