"""What a real client learns of contracts, bars, quotes and news. See ``client_kit`` for the choice of client."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trading_platform_tests.paper_gateway.client_kit import AFTERNOON, UTC, Desk, ib
from trading_platform_tests.paper_gateway.conftest import DeskFactory, GatewayFactory

NEW_YORK = ZoneInfo("America/New_York")
OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


def history(desk: Desk, contract: Any, duration: str, bar_size: str, **more: Any) -> Any:
    request = {"end": "", "what": "TRADES", "format": 2, "keep": False, "timeout": 2.0} | more
    return desk.ask(
        lambda client: client.reqHistoricalDataAsync(
            contract,
            request["end"],
            duration,
            bar_size,
            request["what"],
            True,
            formatDate=request["format"],
            keepUpToDate=request["keep"],
            timeout=request["timeout"],
        )
    )


def test_contract_details_say_what_the_contract_is_and_where_its_prices_come_from(desk: Desk) -> None:
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Stock("AAPL", "SMART", "USD")))
    assert details.contract.conId == 265598
    assert (details.contract.symbol, details.contract.primaryExchange) == ("AAPL", "NASDAQ")
    assert (details.longName, details.stockType) == ("APPLE INC", "COMMON")
    assert (details.minTick, details.minSize, details.sizeIncrement) == (0.01, 1.0, 1.0)
    assert details.industry == "Paper market"
    assert "real daily bars" in details.subcategory
    assert details.timeZoneId == "US/Eastern"
    assert details.liquidHours.startswith("20130228:0930-20130228:1600;20130301:0930-20130301:1600;20130302:CLOSED")


def test_a_contract_made_up_says_so(desk: Desk) -> None:
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Stock("TSLA", "SMART", "USD")))
    assert details.category == "Synthetic prices"
    assert "synthetic" in details.subcategory


def test_a_crypto_currency_trades_around_the_clock_in_small_fractions(desk: Desk) -> None:
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Crypto("BTC", "PAXOS", "USD")))
    assert details.liquidHours.startswith("20130228:0000-20130301:0000;")
    assert details.sizeIncrement < 1


def test_an_unknown_symbol_gets_error_200(desk: Desk) -> None:
    assert desk.ask(lambda client: client.reqContractDetailsAsync(ib.Stock("NOSUCH", "SMART", "USD"))) == []
    assert desk.codes() == [200]


def test_a_contract_id_alone_is_enough(desk: Desk) -> None:
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Contract(conId=8314)))
    assert details.contract.symbol == "IBM"


def test_symbols_are_found_by_prefix_and_by_name(desk: Desk) -> None:
    for pattern in ("IB", "business machines"):
        found = desk.ask(lambda client, wanted=pattern: client.reqMatchingSymbolsAsync(wanted))
        assert "IBM" in [description.contract.symbol for description in found]


def test_a_market_rule_tells_the_price_increment(desk: Desk) -> None:
    (details,) = desk.ask(lambda client: client.reqContractDetailsAsync(ib.Stock("AAPL", "SMART", "USD")))
    rule_id = int(details.marketRuleIds.split(",")[0])
    rule = desk.ask(lambda client: client.reqMarketRuleAsync(rule_id))
    assert [(step.lowEdge, step.increment) for step in rule] == [(0.0, 0.0001), (1.0, details.minTick)]


@pytest.mark.parametrize(
    ("duration", "bar_size", "count"),
    [
        ("1 M", "1 day", 22),
        ("10 D", "1 day", 10),
        ("1 W", "1 day", 5),
        ("1 Y", "1 week", 52),
        ("1 D", "1 min", 375),
        ("2 D", "5 mins", 78 + 75),
        ("3 D", "30 mins", 13 + 13 + 13),
        ("3 D", "1 hour", 7 + 7 + 7),
        ("3600 S", "1 min", 60),
        ("27000 S", "1 min", 450),
    ],
)
def test_bars_come_in_every_size_for_the_sessions_asked_for(
    desk: Desk, duration: str, bar_size: str, count: int
) -> None:
    bars = history(desk, desk.stock(), duration, bar_size)
    assert len(bars) == count
    assert [bar.date for bar in bars] == sorted({bar.date for bar in bars})
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)


def test_daily_bars_are_the_real_ones(desk: Desk) -> None:
    bars = history(desk, desk.stock(), "2 D", "1 day")
    assert bars[0].date == date(2013, 2, 27)
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (448.43, 452.44, 440.65, 444.57)
    assert bars[0].volume == 20976800


def test_both_date_formats_name_the_same_instants(desk: Desk) -> None:
    text = history(desk, desk.stock(), "1 D", "30 mins", format=1)
    epoch = history(desk, desk.stock(), "1 D", "30 mins", format=2)
    assert text[0].date == epoch[0].date == OPEN
    assert text[0].date.utcoffset() == timedelta(hours=-5)
    assert [bar.date for bar in text] == [bar.date for bar in epoch]


@pytest.mark.parametrize(
    "end",
    [
        datetime(2013, 2, 27, 16, 0, tzinfo=UTC),
        "20130227 11:00:00 US/Eastern",
        "20130227 16:00:00 UTC",
        "20130227-16:00:00",
        "20130227 11:00:00",
    ],
)
def test_every_spelling_of_the_end_means_the_same(desk: Desk, end: object) -> None:
    bars = history(desk, desk.stock(), "1 D", "30 mins", end=end)
    assert bars[0].date == datetime(2013, 2, 27, 14, 30, tzinfo=UTC)
    assert bars[-1].date == datetime(2013, 2, 27, 15, 30, tzinfo=UTC)


def test_a_daily_bar_that_ends_in_the_past_knows_nothing_of_the_rest_of_its_day(desk: Desk) -> None:
    morning = history(desk, desk.stock(), "1 D", "1 day", end="20130227 10:00:00 US/Eastern")
    whole = history(desk, desk.stock(), "1 D", "1 day", end="20130227 16:00:00 US/Eastern")
    assert morning[0].date == whole[0].date
    assert morning[0].volume < whole[0].volume


def test_an_end_in_the_future_gives_what_there_is_now(desk: Desk) -> None:
    bars = history(desk, desk.stock(), "1 D", "1 min", end="20130301 16:00:00 US/Eastern")
    assert bars[-1].date < AFTERNOON


def test_a_request_kept_up_to_date_is_told_of_new_bars(desk: Desk) -> None:
    bars = history(desk, desk.stock(), "1 D", "1 min", keep=True)
    before = len(bars)
    desk.advance(minutes=3, seconds=30)
    assert len(bars) == before + 4
    asked_again = history(desk, desk.stock(), "1 D", "1 min")
    assert [bar.close for bar in bars] == [bar.close for bar in asked_again]
    desk.do(lambda client: client.cancelHistoricalData(bars))
    desk.advance(minutes=2)
    assert len(bars) == before + 4


def test_a_daily_request_kept_up_to_date_follows_the_session(desk: Desk) -> None:
    bars = history(desk, desk.stock(), "2 D", "1 day", keep=True)
    volume = bars[-1].volume
    desk.advance(minutes=5)
    assert bars[-1].date == date(2013, 2, 28)
    assert bars[-1].volume > volume


@pytest.mark.parametrize(
    ("duration", "bar_size", "more", "code"),
    [
        ("1 D", "7 mins", {}, 321),
        ("1 X", "1 min", {}, 321),
        ("400 D", "1 day", {}, 321),
        ("1 D", "1 min", {"what": "NONSENSE"}, 321),
        ("1 D", "1 min", {"end": "yesterday"}, 321),
        ("1 D", "1 min", {"end": "20130227-16:00:00", "keep": True}, 321),
        ("1 D", "30 secs", {}, 162),
        ("60 S", "1 secs", {}, 162),
        ("1 D", "1 day", {"end": "19990104-22:00:00"}, 162),
    ],
)
def test_a_bad_request_for_bars_gets_its_error_and_no_bars(
    desk: Desk, duration: str, bar_size: str, more: dict[str, Any], code: int
) -> None:
    contract = desk.stock()
    # ib_async takes 321 for a warning and goes on waiting, so the wait is short
    assert len(history(desk, contract, duration, bar_size, timeout=0.3, **more)) == 0
    assert desk.codes()[0] == code


def test_no_data_and_pacing_are_told_apart_by_their_words(make_gateway: GatewayFactory, make_desk: DeskFactory) -> None:
    desk = make_desk(make_gateway())
    contract = desk.stock()
    for _ in range(2):
        history(desk, contract, "60 S", "5 secs", timeout=0.5)
    texts = [error.text for error in desk.errors if error.code == 162]
    assert "HMDS query returned no data" in texts[0]
    assert "pacing violation" in texts[1]


def test_crypto_bars_are_asked_for_as_aggregated_trades(desk: Desk) -> None:
    (btc,) = desk.ask(lambda client: client.qualifyContractsAsync(ib.Crypto("BTC", "PAXOS", "USD")))
    assert len(history(desk, btc, "1 D", "1 hour", what="TRADES", timeout=0.5)) == 0
    assert desk.codes() == [10299]
    assert len(history(desk, btc, "1 D", "1 hour", what="AGGTRADES")) == 21


def test_quote_bars_have_no_volume_and_lie_around_the_trades(desk: Desk) -> None:
    contract = desk.stock()
    bid, trades, ask = (history(desk, contract, "1800 S", "5 mins", what=what)[0] for what in ("BID", "TRADES", "ASK"))
    assert bid.close < trades.close < ask.close
    assert bid.volume == -1


def test_the_head_timestamp_is_where_the_data_begin(desk: Desk) -> None:
    contract = desk.stock()
    head = desk.ask(lambda client: client.reqHeadTimeStampAsync(contract, "TRADES", True, 2))
    assert head == datetime(2000, 3, 1, 14, 30, tzinfo=UTC)


def test_a_snapshot_is_one_consistent_quote(desk: Desk) -> None:
    contract = desk.stock()
    (ticker,) = desk.ask(lambda client: client.reqTickersAsync(contract))
    assert ticker.bid < ticker.last < ticker.ask
    assert ticker.close == 444.57
    assert ticker.bidSize > 0
    assert ticker.marketDataType == 1


def test_a_stream_of_quotes_follows_the_market_until_it_is_cancelled(desk: Desk) -> None:
    contract = desk.stock()
    ticker = desk.do(lambda client: client.reqMktData(contract))
    desk.settle()
    seen = {ticker.last}
    for _ in range(4):
        desk.advance(minutes=1)
        seen.add(ticker.last)
    assert len(seen) > 2
    desk.do(lambda client: client.cancelMktData(contract))
    last = ticker.last
    desk.advance(minutes=3)
    assert ticker.last == last


def test_a_closed_market_has_no_bid_and_no_ask_unless_they_are_frozen(desk: Desk) -> None:
    contract = desk.stock()
    desk.advance(hours=3)
    (closed,) = desk.ask(lambda client: client.reqTickersAsync(contract))
    assert (closed.bid, closed.ask) == (-1, -1)
    assert closed.last == 441.40
    desk.do(lambda client: client.reqMarketDataType(2))
    (frozen,) = desk.ask(lambda client: client.reqTickersAsync(contract))
    assert frozen.bid < frozen.last < frozen.ask
    assert frozen.marketDataType == 2


def test_without_a_subscription_there_are_only_delayed_quotes(
    make_gateway: GatewayFactory, make_desk: DeskFactory
) -> None:
    desk = make_desk(make_gateway(pacing_enabled=False, unsubscribed=frozenset({"IBM"})))
    contract = desk.stock("IBM")
    (refused,) = desk.ask(lambda client: client.reqTickersAsync(contract))
    assert math.isnan(refused.bid)
    assert desk.codes() == [354]
    desk.do(lambda client: client.reqMarketDataType(3))
    (delayed,) = desk.ask(lambda client: client.reqTickersAsync(contract))
    assert delayed.bid < delayed.ask
    assert delayed.marketDataType == 3


@pytest.mark.parametrize("kind", ["Last", "AllLast", "BidAsk", "MidPoint"])
def test_tick_by_tick_tells_every_change(desk: Desk, kind: str) -> None:
    contract = desk.stock()
    seen: list[object] = []

    def subscribe(client: Any) -> None:
        ticker = client.reqTickByTickData(contract, kind)
        ticker.updateEvent += lambda update: seen.extend(update.tickByTicks)

    desk.do(subscribe)
    desk.advance(minutes=1)
    desk.advance(minutes=1)
    assert len(seen) >= 2
    desk.do(lambda client: client.cancelTickByTickData(contract, kind))
    desk.settle()
    assert desk.codes() == []


def test_news_has_providers_headlines_and_articles(desk: Desk) -> None:
    contract = desk.stock()
    (provider,) = desk.ask(lambda client: client.reqNewsProvidersAsync())
    found = desk.ask(lambda client: client.reqHistoricalNewsAsync(contract.conId, provider.code, "", "", 3))
    assert [item.providerCode for item in found] == [provider.code] * 3
    assert found[0].time.date() == date(2013, 2, 27)
    assert "AAPL" in found[0].headline
    article = desk.ask(lambda client: client.reqNewsArticleAsync(provider.code, found[0].articleId))
    assert "444.57" in article.articleText


def test_an_unknown_news_provider_is_refused(desk: Desk) -> None:
    contract = desk.stock()
    desk.do(lambda client: client.client.reqHistoricalNews(900, contract.conId, "NOSUCH", "", "", 3, []))
    desk.settle()
    assert desk.codes(900) == [321]
