"""What is computed once is what each tick would have computed for itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import pandas as pd
import pytest

from trading_platform.domain.backtest.feeds import FeedHistory
from trading_platform.domain.backtest.moments import TickMoment, moments, start_of
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.features.feed import feed_features
from trading_platform.domain.market_data.bars import final_flags
from trading_platform.domain.market_data.feeds import Feed, feeds_of
from trading_platform.domain.market_data.history import look_back
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.ops.paper_market import PaperMarket
from trading_platform.specs.loader import load_data_quality, load_strategy_specs, load_universe

EVERY_KIND = ("return_5", "volatility_10", "rsi_14", "ema_12", "vwap_distance", "bollinger_position_20_2", "gap")


class Spoiled(PaperMarket):
    """The paper market with one bar whose high is below its low."""

    bad: tuple[str, pd.Timestamp] = ("", pd.Timestamp(0, tz="UTC"))

    def bars(self, feed: Feed, sessions: Sequence[date], now: datetime) -> pd.DataFrame:
        found = super().bars(feed, sessions, now)
        is_bad = (found["symbol"] == self.bad[0]) & (found["ts_utc"] == self.bad[1])
        return found.assign(high=found["high"].where(~is_bad, found["low"] / 2))


def scene(name: str, first: date, last: date) -> tuple[StrategySpec, Feed, Spoiled, list[tuple[date, datetime]]]:
    spec = next(spec for spec in load_strategy_specs() if spec.name == name)
    start = start_of([spec], first, last)
    assert start is not None
    market = Spoiled(load_universe().since(date(2012, 1, 3)).instruments, data_dir=None, seed=7, start=start)
    found = [moment for moment in moments([spec], first, last) if isinstance(moment, TickMoment)]
    return spec, feeds_of([spec], ())[0], market, [(tick.decision.session, tick.at) for tick in found]


def at_the_tick(feed: Feed, market: PaperMarket, names: Sequence[str], session: date, now: datetime) -> pd.DataFrame:
    """The features of the session as an asset computes them at the tick, from nothing."""
    calendar = get_calendar(feed.calendar)
    bars = market.bars(feed, look_back(session, feed.history_sessions, calendar), now)
    bars = bars.assign(is_final=final_flags(bars["ts_utc"], feed.bar_size, calendar, now))
    return feed_features(bars, names, [session.isoformat()], is_daily=feed.is_daily)


def history_of(
    feed: Feed, names: Sequence[str], market: PaperMarket, ticks: list[tuple[date, datetime]]
) -> FeedHistory:
    return FeedHistory(
        feed,
        names,
        market,
        ticks,
        instruments=load_universe().since(date(2012, 1, 3)).instruments,
        quality=load_data_quality(),
    )


@pytest.mark.parametrize(
    ("name", "first", "last", "every"),
    [("momentum", date(2012, 6, 1), date(2012, 6, 20), 3), ("iwm", date(2013, 2, 27), date(2013, 2, 28), 5)],
)
@pytest.mark.parametrize("more", [(), ("rank_return_5",)])
def test_features_are_those_of_each_tick_to_the_last_bit(name, first, last, every, more) -> None:
    _, feed, market, ticks = scene(name, first, last)
    names = [*EVERY_KIND, *more]
    history = history_of(feed, names, market, ticks)
    for number, (session, now) in enumerate(ticks):
        seen = history.at(session, now).features
        own = seen[seen["session"] == session.isoformat()].reset_index(drop=True)
        if number % every == 0:
            expected = at_the_tick(feed, market, names, session, now).reset_index(drop=True)
            pd.testing.assert_frame_equal(own, expected, check_exact=True, check_dtype=False)


def test_yesterday_is_seen_as_its_last_tick_left_it() -> None:
    _, feed, market, ticks = scene("iwm", date(2013, 2, 27), date(2013, 2, 28))
    history = history_of(feed, ["ema_12"], market, ticks)
    views = [history.at(session, now).features for session, now in ticks]
    last_of_yesterday = views[25]
    first_of_today = views[26]
    assert set(first_of_today["session"]) == {"2013-02-27"}
    pd.testing.assert_frame_equal(
        first_of_today.reset_index(drop=True), last_of_yesterday.reset_index(drop=True), check_exact=True
    )


def test_a_bad_bar_is_set_aside_counted_and_told_from_the_tick_on_at_which_it_is_there() -> None:
    _, feed, market, ticks = scene("iwm", date(2013, 2, 27), date(2013, 2, 28))
    market.bad = ("IWM", pd.Timestamp("2013-02-28T16:00Z"))
    history = history_of(feed, ["ema_12"], market, ticks)
    told = {now: history.at(session, now).discredited for session, now in ticks}
    assert history.quarantined == 1
    assert [now for now, symbols in told.items() if symbols] == [now for _, now in ticks if now >= market.bad[1]]
    assert set().union(*told.values()) == {"IWM"}


def test_a_bad_daily_bar_discredits_its_symbol_on_that_day_only() -> None:
    _, feed, market, ticks = scene("momentum", date(2012, 6, 4), date(2012, 6, 8))
    market.bad = ("IBM", pd.Timestamp("2012-06-06", tz="UTC"))
    history = history_of(feed, ["return_5"], market, ticks)
    told = {session.isoformat(): set(history.at(session, now).discredited) for session, now in ticks}
    assert {session: symbols for session, symbols in told.items() if symbols} == {"2012-06-06": {"IBM"}}
