"""Feeds follow from strategy specs: what is collected, for whom, how far back."""

from __future__ import annotations

import pytest

from trading_platform.domain.market_data.feeds import DAILY, MINUTE, feeds_of
from trading_platform_tests.domain.orders.builders import spec

TSLA = spec(name="tsla", universe=("TSLA",), bar_size="5 mins", cadence_minutes=5, history_sessions=3)
BTC = spec(name="btc", universe=("BTC",), calendar="24/7", bar_size="1 hour", cadence_minutes=60, history_sessions=12)
SLOW = spec(name="slow", universe=("AAPL", "IBM"), bar_size="1 day", cadence_minutes=None, history_sessions=250)
FAST = spec(name="fast", universe=("IBM", "MSFT"), bar_size="1 day", cadence_minutes=None, history_sessions=20)


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


def test_the_minute_ingest_is_a_feed_that_nobody_trades_on():
    *_, minute = feeds_of([TSLA], ["AAPL", "IBM"])
    assert (minute.name, minute.bar_size, minute.strategies) == (MINUTE, "1 min", ())


def test_without_symbols_there_is_no_minute_ingest():
    assert [feed.name for feed in feeds_of([SLOW, TSLA], ())] == [DAILY, "tsla"]


def test_daily_strategies_on_two_calendars_are_refused():
    other = spec(name="other", universe=("BTC",), calendar="24/7", bar_size="1 day", cadence_minutes=None)
    with pytest.raises(ValueError, match="share one feed and so one calendar, but these are used: 24/7, XNYS"):
        feeds_of([SLOW, other], ())
