from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import expected_bar_starts
from trading_platform.domain.signals.spec import BarSize
from trading_platform.paper_gateway.contracts import ContractBook
from trading_platform.paper_gateway.market.bar_sizes import BAR_SIZE_MINUTES
from trading_platform.paper_gateway.market.datasets import MarketData
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.sessions import from_minute, to_minute
from trading_platform.paper_gateway.market.timeline import choose_anchor
from trading_platform.paper_gateway.model import Bar
from trading_platform_tests.paper_gateway.market.builders import (
    at,
    contract_of,
    daily_history,
    data_of,
    load_frames,
    minute_frame,
)

NOW = at(2026, 11, 20, 17, 0, second=30)
THEN = at(2013, 2, 28, 20, 45)
MINUTE = timedelta(minutes=1)
SYMBOLS = ("AAPL", "FB", "IWM", "BTC")


@pytest.fixture(scope="module")
def today(bundled: MarketData) -> Market:
    """The market at NOW: real bars shifted."""
    return Market(bundled, 7, choose_anchor(NOW), NOW)


@pytest.fixture(scope="module")
def past(bundled: MarketData) -> Market:
    """The market at THEN: real bars at their own dates."""
    return Market(bundled, 7, choose_anchor(THEN), THEN)


def joined(bars: list[Bar]) -> tuple[float, float, float, float, float]:
    volume = round(sum(bar.volume for bar in bars), 8)
    return bars[0].open, max(b.high for b in bars), min(b.low for b in bars), bars[-1].close, volume


def shape(bar: Bar) -> tuple[float, float, float, float, float]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


def test_at_its_own_date_a_daily_bar_is_the_file_s_row(past: Market) -> None:
    now = at(2013, 2, 28, 21)
    bars = past.bars(contract_of(past, "AAPL"), "1 day", at(2013, 2, 27), at(2013, 3, 1), now)
    assert [(bar.ts_utc, *shape(bar)) for bar in bars] == [
        (at(2013, 2, 27), 448.43, 452.44, 440.65, 444.57, 20_976_800),
        (at(2013, 2, 28), 444.05, 447.87, 441.40, 441.40, 11_518_400),
    ]
    assert past.origin_of("AAPL") == "real daily bars 2000-03-01..2013-03-01 (bokeh_sampledata), original dates"


def test_today_the_history_ends_with_the_last_completed_session(today: Market) -> None:
    bars = today.bars(contract_of(today, "AAPL"), "1 day", at(2026, 11, 18), NOW, NOW)
    assert [bar.ts_utc.date() for bar in bars] == [date(2026, 11, day) for day in (18, 19, 20)]
    assert shape(bars[1]) == (438.0, 438.1799, 429.98, 430.47, 19_730_300)
    assert bars[2].open == 430.47
    assert today.origin_of("AAPL") == (
        "real daily bars 2000-03-01..2013-03-01 (bokeh_sampledata), "
        "shifted by +3452 sessions; sessions after 2026-11-19 replay it"
    )
    assert today.origin_of("TSLA") == "synthetic path, seed 7: no real data"


def test_nothing_is_known_of_a_symbol_before_its_first_session(past: Market) -> None:
    facebook, before = contract_of(past, "FB"), at(2012, 5, 17, 18)
    for size in ("1 min", "1 day", "1 month"):
        assert past.bars(facebook, size, at(2012, 1, 1), before, before) == []
    assert past.top_of_book(facebook, before) is None
    assert not past.has_data(facebook, before)
    assert past.minute_bar(facebook, before) is None
    assert past.first_bar_at(facebook) == at(2012, 5, 18, 13, 30)
    assert past.has_data(facebook, at(2012, 5, 18, 13, 30))


@settings(max_examples=40, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), back=st.integers(1, 3000), size=st.sampled_from(sorted(BAR_SIZE_MINUTES)))
def test_one_minute_bars_add_up_to_every_longer_bar_and_to_the_day(
    today: Market, symbol: str, back: int, size: str
) -> None:
    contract = contract_of(today, symbol)
    calendar = get_calendar(contract.calendar)
    session = calendar.offset(calendar.last_completed_session(NOW), -back)
    start, end = calendar.open_of(session), calendar.close_of(session)
    minutes = today.bars(contract, "1 min", start, end, NOW)
    [day] = today.bars(contract, "1 day", at(session.year, session.month, session.day), end, NOW) or [None]
    if day is None:
        assert symbol == "FB"
        assert minutes == []
        return
    assert len(minutes) == calendar.session_minutes(session)
    assert joined(minutes) == shape(day)
    step = BAR_SIZE_MINUTES[size]
    opens = start.astimezone(calendar.time_zone)
    first = step - (opens.hour * 60 + opens.minute) % step
    edges = [0, *range(first, len(minutes), step)]
    longer = today.bars(contract, size, start, end, NOW)
    assert [bar.ts_utc for bar in longer] == [start + MINUTE * i for i in edges]
    assert [shape(bar) for bar in longer] == [
        joined(minutes[i:j]) for i, j in zip(edges, [*edges[1:], len(minutes)], strict=True)
    ]


@pytest.mark.parametrize("symbol", ["AAPL", "BTC", "EUR.USD", "VOD.LSE", "SAP.IBIS"])
@pytest.mark.parametrize("size", ["1 min", "5 mins", "15 mins", "1 hour", "1 day"])
@pytest.mark.parametrize("day", ["2026-03-09", "2026-03-30", "2026-10-26", "2026-11-02"])
def test_bars_start_where_the_platform_expects_them_also_when_the_clocks_have_moved(
    today: Market, *, symbol: str, size: BarSize, day: str
) -> None:
    contract = contract_of(today, symbol)
    calendar, session = get_calendar(contract.calendar), date.fromisoformat(day)
    expected = expected_bar_starts(session, size, calendar)
    bars = today.bars(contract, size, expected[0], expected[-1] + MINUTE, NOW)
    assert [bar.ts_utc for bar in bars] == expected


@settings(max_examples=40, deadline=None)
@given(
    symbol=st.sampled_from(SYMBOLS),
    size=st.sampled_from(["1 min", "5 mins", "1 hour", "1 day", "1 week"]),
    ago=st.integers(0, 20 * 24 * 60),
    later=st.integers(1, 5000),
    seconds=st.integers(0, 59),
)
def test_nothing_comes_from_after_now_and_what_is_complete_never_changes(
    today: Market, *, symbol: str, size: str, ago: int, later: int, seconds: int
) -> None:
    contract = contract_of(today, symbol)
    now = NOW - timedelta(minutes=ago, seconds=seconds)
    start, end = now - timedelta(days=8), now + timedelta(days=8)
    early = today.bars(contract, size, start, end, now)
    late = today.bars(contract, size, start, end, now + timedelta(minutes=later))
    assert all(bar.ts_utc <= now for bar in early)
    assert early[:-1] == late[: len(early) - 1]
    assert not early or early[-1].volume <= late[len(early) - 1].volume
    complete = [bar for bar in today.bars(contract, "1 min", start, end, now) if bar.ts_utc + MINUTE <= now]
    assert complete == [bar for bar in today.bars(contract, "1 min", start, end, NOW) if bar.ts_utc + MINUTE <= now]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), known=st.integers(5, 25))
def test_bars_do_not_depend_on_sessions_that_are_still_to_come(seed: int, known: int) -> None:
    whole = daily_history("AAA", date(2013, 1, 2), 30, seed=seed)
    other = daily_history("AAA", date(2013, 1, 2), 30, seed=seed + 1)
    prices = {
        name: np.concatenate((getattr(whole, name)[:known], getattr(other, name)[known:]))
        for name in ("open", "high", "low", "close", "volume")
    }
    calendar = get_calendar("XNYS")
    now = calendar.open_of(calendar.offset(date(2013, 1, 2), known - 1)) + timedelta(minutes=100)
    answers = []
    for history in (whole, replace(whole, **prices)):
        market = Market(data_of(history), 7, date(2013, 1, 1), at(2013, 1, 2))
        contract = contract_of(market, "AAA")
        bars = [market.bars(contract, size, at(2013, 1, 1), now, now) for size in ("1 min", "1 day", "1 week")]
        answers.append((bars, market.top_of_book(contract, now)))
    assert answers[0] == answers[1]


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(["1 min", "30 mins", "1 day", "top", "minute"]), symbol=st.sampled_from(SYMBOLS))
def test_asking_twice_in_any_order_and_of_a_fresh_market_gives_the_same(
    today: Market, bundled: MarketData, order: list[str], symbol: str
) -> None:
    fresh = Market(bundled, 7, choose_anchor(NOW), NOW)

    def ask(market: Market, what: str) -> object:
        contract = contract_of(market, symbol)
        if what == "top":
            return market.top_of_book(contract, NOW)
        if what == "minute":
            return market.minute_bar(contract, NOW), market.minute_volume(contract, NOW)
        return market.bars(contract, what, NOW - timedelta(days=5), NOW, NOW)

    assert {what: ask(fresh, what) for what in order} == {what: ask(today, what) for what in sorted(order)}


def test_another_seed_makes_other_minutes_of_the_same_day(past: Market, bundled: MarketData) -> None:
    other = Market(bundled, 8, choose_anchor(THEN), THEN)
    contract = contract_of(past, "AAPL")
    day = (at(2013, 2, 27), at(2013, 2, 28), THEN)
    assert past.bars(contract, "1 day", *day) == other.bars(contract, "1 day", *day)
    assert past.bars(contract, "1 min", *day) != other.bars(contract, "1 min", *day)


def test_two_symbols_with_the_same_day_have_minutes_of_their_own() -> None:
    one, two = (daily_history(symbol, date(2013, 1, 2), 5) for symbol in ("AAA", "BBB"))
    market = Market(data_of(one, two), 7, date(2013, 1, 4), at(2013, 1, 4))
    day = (at(2013, 1, 3), at(2013, 1, 4), at(2013, 1, 4))
    first, second = contract_of(market, "AAA"), contract_of(market, "BBB")
    assert market.bars(first, "1 day", *day) == market.bars(second, "1 day", *day)
    assert market.bars(first, "1 min", *day) != market.bars(second, "1 min", *day)


def test_a_restart_on_a_later_day_with_the_same_anchor_does_not_change_the_past(
    today: Market, bundled: MarketData
) -> None:
    later = Market(bundled, 7, choose_anchor(NOW), NOW + timedelta(days=90))
    for symbol in SYMBOLS:
        contract = contract_of(today, symbol)
        assert contract == contract_of(later, symbol)
        for size, days in (("1 min", 3), ("1 day", 400), ("1 month", 400)):
            asked = (NOW - timedelta(days=days), NOW, NOW)
            assert later.bars(contract, size, *asked) == today.bars(contract, size, *asked)


def test_the_bar_in_progress_holds_complete_minutes_and_is_empty_before_the_first(today: Market) -> None:
    contract, opened = contract_of(today, "AAPL"), at(2026, 11, 20, 14, 30)
    now = opened + timedelta(minutes=7, seconds=20)
    five = today.bars(contract, "5 mins", opened, now, now)
    minutes = today.bars(contract, "1 min", opened, now, now)
    assert [bar.ts_utc.minute for bar in five] == [30, 35]
    assert shape(five[1]) == joined(minutes[5:7])
    assert [bar.ts_utc for bar in minutes] == [opened + MINUTE * i for i in range(8)]
    book = today.top_of_book(contract, now)
    assert book is not None
    assert shape(minutes[-1]) == (float(book.last),) * 4 + (0.0,)
    [day] = today.bars(contract, "1 day", at(2026, 11, 20), now, now)
    assert shape(day) == joined(minutes[:7])
    at_the_open = today.bars(contract, "1 day", at(2026, 11, 20), now, opened)
    assert [shape(bar) for bar in at_the_open] == [(430.47,) * 4 + (0.0,)]
    assert today.bars(contract, "1 day", at(2026, 11, 20), now, opened - MINUTE) == []


def test_a_half_day_has_fewer_minutes(today: Market) -> None:
    contract, now = contract_of(today, "IWM"), at(2026, 11, 28)
    bars = today.bars(contract, "1 min", at(2026, 11, 27), now, now)
    assert (len(bars), bars[-1].ts_utc) == (210, at(2026, 11, 27, 17, 59))


def test_bars_of_weeks_and_months_are_whole_wherever_the_question_begins(today: Market) -> None:
    contract = contract_of(today, "AAPL")
    days = today.bars(contract, "1 day", at(2026, 9, 1), NOW, NOW)
    months = today.bars(contract, "1 month", at(2026, 9, 1), NOW, NOW)
    assert [bar.ts_utc for bar in months] == [at(2026, 9, 1), at(2026, 10, 1), at(2026, 11, 2)]
    assert shape(months[1]) == joined([bar for bar in days if bar.ts_utc.month == 10])
    assert today.bars(contract, "1 month", at(2026, 9, 20), at(2026, 10, 5), NOW) == months[1:2]
    weeks = today.bars(contract, "1 week", at(2026, 11, 9), NOW, NOW)
    assert [bar.ts_utc for bar in weeks] == [at(2026, 11, 9), at(2026, 11, 16)]
    assert shape(weeks[0]) == joined(days[-10:-5])
    assert today.bars(contract, "1W", at(2026, 11, 10), at(2026, 11, 17), NOW) == weeks[1:]


def test_the_start_counts_and_the_end_does_not(today: Market) -> None:
    contract, opened = contract_of(today, "AAPL"), at(2026, 11, 19, 14, 30)
    bars = today.bars(contract, "1 min", opened + MINUTE, opened + 3 * MINUTE, NOW)
    assert [bar.ts_utc for bar in bars] == [opened + MINUTE, opened + 2 * MINUTE]


def test_a_bar_size_that_is_not_served_is_refused_by_name(today: Market) -> None:
    with pytest.raises(ValueError, match=r"'7 mins' is not served: use one of 1 min, 2 mins"):
        today.bars(contract_of(today, "AAPL"), "7 mins", NOW, NOW, NOW)


@settings(max_examples=60, deadline=None)
@given(symbol=st.sampled_from(SYMBOLS), seconds=st.integers(0, 20 * 24 * 3600))
def test_the_last_price_is_within_its_minute_and_between_bid_and_ask(today: Market, symbol: str, seconds: int) -> None:
    contract, now = contract_of(today, symbol), NOW - timedelta(seconds=seconds)
    book = today.top_of_book(contract, now)
    assert book is not None
    tick = contract.min_tick
    assert book.bid <= book.last - tick
    assert book.ask >= book.last + tick
    assert book.bid % tick == book.ask % tick == 0
    assert min(book.bid_size, book.ask_size, book.last_size) > 0
    if today.is_open(contract, now):
        minute = today.minute_bar(contract, from_minute(to_minute(now)))
        assert minute is not None
        assert minute.low <= float(book.last) <= minute.high
        assert book.ts_utc == now
    else:
        calendar = get_calendar(contract.calendar)
        session = calendar.last_completed_session(now)
        [day] = today.bars(contract, "1 day", at(session.year, session.month, session.day), now, now)
        assert (float(book.last), book.ts_utc) == (day.close, calendar.close_of(session))
        assert today.minute_volume(contract, now) == 0


def test_the_previous_close_is_that_of_the_session_before(today: Market, past: Market) -> None:
    during, after = (today.top_of_book(contract_of(today, "AAPL"), now) for now in (NOW, at(2026, 11, 20, 22)))
    assert during is not None
    assert after is not None
    assert during.previous_close == after.previous_close == Decimal("430.47")
    first = past.top_of_book(contract_of(past, "FB"), at(2012, 5, 18, 15))
    assert first is not None
    assert first.previous_close == Decimal("42.05")


def test_the_minutes_volumes_add_up_in_decimals(today: Market) -> None:
    contract = contract_of(today, "BTC")
    start = at(2026, 11, 19)
    volumes = [today.minute_volume(contract, start + MINUTE * i) for i in range(1440)]
    [day] = today.bars(contract, "1 day", start, start + MINUTE, NOW)
    assert sum(volumes) == Decimal(str(day.volume))
    assert all(volume % contract.size_increment == 0 for volume in volumes)


def test_real_minutes_are_served_as_they_are_and_missing_ones_are_missing(tmp_path: Path) -> None:
    opened = at(2014, 6, 2, 13, 30)
    frame = minute_frame("AAA", [opened, at(2014, 6, 3, 13, 30)]).drop(index=[0, 10, 11, 12, 13, 14])
    market = Market(load_frames(tmp_path, a=frame), 7, date(2014, 6, 2), at(2014, 6, 2, 15))
    contract, now = contract_of(market, "AAA"), at(2014, 6, 2, 20)
    bars = market.bars(contract, "1 min", opened, now, now)
    rows = frame.iloc[:384]
    assert [(bar.ts_utc, *shape(bar)) for bar in bars] == [
        (row.ts.to_pydatetime(), row.open, row.high, row.low, row.close, row.volume) for row in rows.itertuples()
    ]
    five = market.bars(contract, "5 mins", opened, now, now)
    assert opened + 10 * MINUTE not in [bar.ts_utc for bar in five]
    assert len(five) == 77
    [day] = market.bars(contract, "1 day", at(2014, 6, 2), now, now)
    assert shape(day) == joined(bars)
    gap = market.top_of_book(contract, opened + timedelta(minutes=12, seconds=5))
    assert gap is not None
    assert (float(gap.last), gap.ts_utc) == (rows["close"].loc[9], opened + 10 * MINUTE)
    assert market.minute_bar(contract, opened + 12 * MINUTE) is None
    assert market.minute_volume(contract, opened + 12 * MINUTE) == 0
    before_the_first = market.top_of_book(contract, opened + timedelta(seconds=30))
    assert before_the_first is not None
    assert before_the_first.last == Decimal(str(bars[0].open))
    assert market.origin_of("AAA") == f"real 1-minute bars 2014-06-02..2014-06-03 ({tmp_path.name}), original dates"


def test_data_sets_shift_each_on_its_own_and_symbols_of_one_stay_aligned(bundled: MarketData) -> None:
    own = data_of(daily_history("AAA", date(2013, 1, 2), 10), daily_history("BBB", date(2013, 1, 2), 8))
    market = Market(MarketData((*own.datasets, *bundled.datasets)), 7, choose_anchor(NOW), NOW)
    ends = {}
    for symbol in ("AAA", "BBB", "AAPL"):
        history = market.data.find(symbol)
        assert history is not None
        contract = contract_of(market, symbol)
        shifted = market.bars(contract, "1 day", at(2026, 11, 1), NOW, at(2026, 11, 20))
        final = [bar for bar in shifted if bar.close == history[1].close[-1] and bar.volume == history[1].volume[-1]]
        ends[symbol] = final[0].ts_utc.date()
    assert ends == {"AAA": date(2026, 11, 19), "BBB": date(2026, 11, 17), "AAPL": date(2026, 11, 19)}


def test_the_market_is_open_when_its_calendar_is(today: Market) -> None:
    stock, coin = contract_of(today, "AAPL"), contract_of(today, "BTC")
    assert today.is_open(stock, NOW)
    assert not today.is_open(stock, at(2026, 11, 22, 17))
    assert today.is_open(coin, at(2026, 11, 22, 3))


def test_it_answers_quickly(bundled: MarketData) -> None:
    market = Market(bundled, 7, choose_anchor(NOW), NOW)
    contracts = ContractBook(market).contracts[:25]
    begun = time.process_time()
    bars = market.bars(contract_of(market, "TSLA"), "5 mins", NOW - timedelta(days=44), NOW, NOW)
    assert len(bars) > 30 * 78
    assert time.process_time() - begun < 0.3
    begun = time.process_time()
    assert sum(len(market.bars(c, "1 day", NOW - timedelta(days=364), NOW, NOW)) for c in contracts) > 6200
    assert time.process_time() - begun < 0.5
