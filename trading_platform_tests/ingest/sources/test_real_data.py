"""Real vendors' files as sources: their conventions declared, their bars come out where they belong."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.quality import DataQuality
from trading_platform.domain.market_data.sources import Sources
from trading_platform.domain.market_data.validation.feed import validate_feed
from trading_platform.domain.signals.spec import BarSize
from trading_platform.ingest.bars import FetchedBars, fetch_bars
from trading_platform.ingest.sources.choose import source_for
from trading_platform.settings import Settings
from trading_platform_tests.shared_data import shared_data

pytestmark = pytest.mark.real_data
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
XNYS = get_calendar("XNYS")
MISPLACED = {"outside_session", "off_grid", "not_a_session", "time_zone_shift", "end_stamped", "daily_stamp"}


def fetched(path: Path, symbols: tuple[str, ...], sessions: list[date], bar_size: BarSize = "1 min", **keys: Any):
    """The bars of one file as a feed's source, and what validation says of them."""
    place = {"directory": {"location": str(path.parent), "files": path.name}}
    declared = {"bar_size": bar_size, "stamps": "end", "prices": "as_traded", **place, **keys}
    sources = Sources.model_validate({"sources": {"vendor": declared}, "feeds": {"own": "vendor"}})
    feed = Feed("own", "XNYS", bar_size, symbols, 1, ())
    instruments = {symbol: Instrument(symbol) for symbol in symbols}

    def no_broker() -> Any:
        pytest.fail("the broker was asked for")

    source = source_for(feed, sources, no_broker, Settings(_env_file=None))
    got = fetch_bars(source, feed, instruments, sessions, NOW)
    judged = validate_feed(got.bars, feed, instruments, DataQuality(), as_of=NOW)
    return got, Counter(judged.log["reason"])


def at_original_stamps(got: FetchedBars, rows: pd.DataFrame, symbol: str, shift: pd.Timedelta) -> None:
    """The source's bars are the file's rows, each ``shift`` earlier."""
    own = rows[rows["symbol"] == symbol].sort_values("ts", kind="stable")
    bars = got.bars[got.bars["symbol"] == symbol]
    expected = (own["ts"] - shift).astype("datetime64[ns, UTC]")
    expected = expected[expected.isin(bars["ts_utc"])]
    assert list(bars["ts_utc"]) == list(expected)
    assert list(bars["close"]) == list(own.loc[expected.index, "close"])


class TestAlphaVantage:
    """24 symbols for a week, newest first, stamped at the end of each minute."""

    SESSIONS = XNYS.sessions(date(2019, 2, 11), date(2019, 2, 15))

    def test_each_session_begins_at_its_open_and_ends_with_the_minute_before_the_close(self) -> None:
        path = shared_data("minute_us_equities/alphavantage_1min_2019.parquet")
        rows = pd.read_parquet(path)
        symbols = tuple(sorted(rows["symbol"].unique()))
        got, reasons = fetched(path, symbols, self.SESSIONS)
        assert dict(got.failures) == {}
        assert (len(got.bars), got.requests) == (len(rows), 1)
        assert not MISPLACED & set(reasons)
        for session, bars in got.bars[got.bars["symbol"] == "AAPL"].groupby("session"):
            day = date.fromisoformat(str(session))
            assert bars["ts_utc"].iloc[0] == pd.Timestamp(XNYS.open_of(day))
            assert bars["ts_utc"].iloc[-1] == pd.Timestamp(XNYS.close_of(day)) - pd.Timedelta(minutes=1)
        at_original_stamps(got, rows, "AAPL", pd.Timedelta(minutes=1))

    def test_declared_as_starts_they_are_found_out(self) -> None:
        path = shared_data("minute_us_equities/alphavantage_1min_2019.parquet")
        _, reasons = fetched(path, ("AAPL",), self.SESSIONS, stamps="start")
        assert reasons["end_stamped"] > 1900

    def test_a_wrong_zone_is_found_out(self, tmp_path: Path) -> None:
        rows = pd.read_parquet(shared_data("minute_us_equities/alphavantage_1min_2019.parquet"))
        naive = rows.assign(ts=rows["ts"].dt.tz_convert("America/New_York").dt.tz_localize(None))
        naive.to_csv(tmp_path / "all.csv", index=False)
        got, reasons = fetched(tmp_path / "all.csv", ("AAPL",), self.SESSIONS, time_zone="America/New_York")
        at_original_stamps(got, rows, "AAPL", pd.Timedelta(minutes=1))
        assert not MISPLACED & set(reasons)
        _, reasons = fetched(tmp_path / "all.csv", ("AAPL",), self.SESSIONS, time_zone="UTC")
        assert reasons["time_zone_shift"] > 1900
        _, reasons = fetched(tmp_path / "all.csv", ("AAPL",), self.SESSIONS, time_zone="America/Chicago")
        assert reasons["outside_session"] == 60 * len(self.SESSIONS)


class TestNinjaTrader:
    """SPY around the change to summer time, with extended hours, stamped at the end of each minute."""

    SESSIONS = XNYS.sessions(date(2011, 3, 7), date(2011, 3, 18))

    @pytest.mark.parametrize("kind", ["parquet", "csv"])
    def test_sessions_before_and_after_the_change_of_the_clock_are_whole(self, tmp_path: Path, kind: str) -> None:
        path = shared_data("minute_us_equities/ninjatrader_spy_1min_2011.parquet")
        rows = pd.read_parquet(path)
        keys: dict[str, Any] = {"hours": "regular"}
        if kind == "csv":  # as NinjaTrader writes them: local time that says nothing of a zone
            local = rows["ts"].dt.tz_convert("America/New_York").dt.strftime("%Y%m%d %H%M%S")
            path = tmp_path / "SPY.csv"
            rows.assign(ts=local).to_csv(path, index=False, sep=";")
            keys |= {"stamp_format": "%Y%m%d %H%M%S", "time_zone": "America/New_York"}
            keys["directory"] = {"location": str(tmp_path), "files": path.name, "delimiter": ";"}
        got, reasons = fetched(path, ("SPY",), self.SESSIONS, **keys)
        assert set(got.bars.groupby("session").size()) == {390}
        assert not MISPLACED & set(reasons)
        at_original_stamps(got, rows, "SPY", pd.Timedelta(minutes=1))
        opens = got.bars.groupby("session")["ts_utc"].min().dt.strftime("%H:%M")
        assert (opens["2011-03-11"], opens["2011-03-14"]) == ("14:30", "13:30")

    def test_extended_hours_that_are_wanted_are_all_there_and_shown_as_what_they_are(self) -> None:
        path = shared_data("minute_us_equities/ninjatrader_spy_1min_2011.parquet")
        got, reasons = fetched(path, ("SPY",), self.SESSIONS)
        outside = len(got.bars) - 390 * len(self.SESSIONS)
        assert outside > 3000
        assert {reason for reason in reasons if reason in MISPLACED} == {"outside_session"}
        assert reasons["outside_session"] == outside


def test_minutes_that_are_stamped_at_their_start_stay_where_they_are() -> None:
    path = shared_data("minute_us_equities/lean_1min_trades_2008_2023.parquet")
    rows = pd.read_parquet(path)
    own = rows[rows["symbol"] == "AAPL"]
    days = sorted({one.date() for one in own["ts"].dt.tz_convert("America/New_York")})
    got, reasons = fetched(path, ("AAPL",), days, stamps="start", hours="regular")
    assert not MISPLACED & set(reasons)
    at_original_stamps(got, rows, "AAPL", pd.Timedelta(0))
    assert got.bars["ts_utc"].min() == pd.Timestamp(XNYS.open_of(days[0]))


class TestFiveYearsOfTheSP500:
    """505 symbols in one file, a daily bar stamped with its session's date."""

    KEYS: ClassVar[dict[str, Any]] = {
        "bar_size": "1 day",
        "stamps": "date",
        "time_zone": "UTC",
        "prices": "split_adjusted",
    }

    def test_the_file_is_read_once_and_every_row_is_there(self) -> None:
        path = shared_data("daily_us_equities/sp500_2013_2018_kaggle.parquet")
        rows = pd.read_parquet(path)
        symbols = tuple(sorted(rows["symbol"].unique()))
        sessions = XNYS.sessions(date(2013, 2, 8), date(2018, 2, 7))
        got, reasons = fetched(path, symbols, sessions, **self.KEYS)
        assert (len(got.bars), got.requests, dict(got.failures)) == (619_040, 1, {})
        assert set(got.bars["source"]) == {"vendor (directory, split-adjusted)"}
        assert not MISPLACED & set(reasons)
        assert reasons["missing_price"] == rows[["open", "high", "low", "close"]].isna().any(axis=1).sum()

    def test_one_session_is_one_row_per_symbol(self) -> None:
        path = shared_data("daily_us_equities/sp500_2013_2018_kaggle.parquet")
        got, _ = fetched(path, ("AAPL", "IBM", "MSFT"), [date(2014, 6, 9)], **self.KEYS)
        assert list(got.bars["symbol"]) == ["AAPL", "IBM", "MSFT"]
        assert set(got.bars["ts_utc"]) == {pd.Timestamp("2014-06-09", tz="UTC")}
