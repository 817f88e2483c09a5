"""Feeds follow from strategy specs: what is collected, for whom, how far back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trading_platform.domain.market_data.feeds import Feed, feeds_of
from trading_platform.domain.signals.spec import DAILY
from trading_platform_tests.domain.orders.builders import spec

TSLA = spec(name="tsla", universe=("TSLA",), bar_size="5 mins", cadence_minutes=5, history_sessions=3)
BTC = spec(name="btc", universe=("BTC",), calendar="24/7", bar_size="1 hour", cadence_minutes=60, history_sessions=12)
SLOW = spec(name="slow", universe=("AAPL", "IBM"), bar_size="1 day", cadence_minutes=None, history_sessions=250)
FAST = spec(name="fast", universe=("IBM", "MSFT"), bar_size="1 day", cadence_minutes=None, history_sessions=20)
MINUTE = Feed("minute", "XNYS", "1 min", ("AAPL", "IBM"), 1, ())


def test_daily_strategies_share_one_feed_with_all_their_symbols_and_the_longest_history():
    (feed,) = feeds_of([SLOW, FAST], ())
    assert feed.name == DAILY
    assert feed.is_daily
    assert feed.symbols == ("AAPL", "IBM", "MSFT")
    assert feed.history_sessions == 250
    assert feed.strategies == ("slow", "fast")


def test_an_intraday_strategy_has_a_feed_of_its_own_name_and_calendar():
    tsla, btc = feeds_of([TSLA, BTC], ())
    assert (tsla.name, tsla.bar_size, tsla.symbols, tsla.history_sessions) == ("tsla", "5 mins", ("TSLA",), 3)
    assert (btc.name, btc.calendar, btc.strategies) == ("btc", "24/7", ("btc",))
    assert not btc.is_daily


def test_an_ingest_feed_is_as_the_universe_names_it_and_nobody_trades_on_it():
    *_, feed = feeds_of([TSLA], [MINUTE])
    assert feed == MINUTE
    assert feed.is_ingest


def test_an_ingest_feed_without_symbols_is_none():
    assert [feed.name for feed in feeds_of([SLOW, TSLA], [replace(MINUTE, symbols=())])] == [DAILY, "tsla"]


def test_the_daily_strategies_of_each_calendar_share_a_feed_and_that_of_new_york_keeps_its_name():
    bitcoin = spec(name="hodl", universe=("BTC",), calendar="24/7", bar_size="1 day", cadence_minutes=None)
    london = spec(name="drift", universe=("VOD",), calendar="XLON", bar_size="1 day", cadence_minutes=None)
    feeds = {feed.name: feed for feed in feeds_of([SLOW, bitcoin, london, FAST], ())}
    assert {name: feed.strategies for name, feed in feeds.items()} == {
        "daily": ("slow", "fast"),
        "daily_24_7": ("hodl",),
        "daily_xlon": ("drift",),
    }
    assert feeds["daily_xlon"].calendar == "XLON"
    assert [one.feed for one in (SLOW, bitcoin, london)] == ["daily", "daily_24_7", "daily_xlon"]


def test_the_name_of_a_daily_feed_does_not_depend_on_the_other_strategies():
    london = spec(name="drift", universe=("VOD",), calendar="XLON", bar_size="1 day", cadence_minutes=None)
    assert [feed.name for feed in feeds_of([london], ())] == ["daily_xlon"]


def test_two_feeds_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two feeds are called tsla: rename"):
        feeds_of([TSLA], [replace(MINUTE, name="tsla")])
