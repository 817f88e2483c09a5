"""Feeds of several markets at once, over the real socket: raw, validated, complete to the minute, priced in their own
currency; and Facebook, which is META at the broker today and nobody before 2012."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import expected_bar_starts
from trading_platform_tests.world import World, checks_of, failure_of, metadata_of, world_at

SPEC = """
name: momentum
strategy: cross_sectional_momentum
description: Holds the strongest.
universe: [FB, IBM]
bar_size: 1 day
history_sessions: 21
parameters: {lookback: 2, skip: 0, top_n: 1}
"""
UNIVERSE = """
instruments:
  IBM: {primary_exchange: NYSE}
  SPY: {primary_exchange: ARCA}
  BTC: {security_type: CRYPTO, exchange: PAXOS, calendar: 24/7, lot_size: "0.00001"}
  EUR.USD: {security_type: CASH, exchange: IDEALPRO, calendar: FX}
  USD.JPY: {security_type: CASH, exchange: IDEALPRO, currency: JPY, calendar: FX}
  VOD.LSE: {ticker: VOD, primary_exchange: LSE, currency: GBP, calendar: XLON}
  AZN.LSE: {ticker: AZN, primary_exchange: LSE, currency: GBP, calendar: XLON}
  FB:
    con_id: 107113386
    tickers: [{ticker: FB, first: 2012-05-18, last: 2022-06-08}, {ticker: META, first: 2022-06-09}]
feeds:
  fx_minutes: {bar_size: 1 min, calendar: FX, symbols: [EUR.USD, USD.JPY]}
  fx_hours: {bar_size: 1 hour, calendar: FX, symbols: [EUR.USD]}
  fx_days: {bar_size: 1 day, calendar: FX, symbols: [EUR.USD, USD.JPY]}
  london: {bar_size: 5 mins, calendar: XLON, symbols: [VOD.LSE, AZN.LSE]}
  london_days: {bar_size: 1 day, calendar: XLON, symbols: [VOD.LSE]}
  coins: {bar_size: 15 mins, calendar: 24/7, symbols: [BTC]}
  hours: {bar_size: 1 hour, symbols: [FB, SPY]}
  days: {bar_size: 1 day, symbols: [FB, SPY]}
"""
# between the changes of the clocks in New York and in London: 16:00 in London, 12:00 in New York, a Tuesday
MOMENT = datetime(2026, 3, 17, 16, tzinfo=timezone.utc)
TODAY, BEFORE = "2026-03-17", "2026-03-16"


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("specs")
    (folder / "momentum.yaml").write_text(SPEC)
    (folder / "universe.yaml").write_text(UNIVERSE)
    return folder


@pytest.fixture(scope="module")
def world(
    specs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url_factory: Callable[..., str],
    migrated_url: str,
) -> Iterator[World]:
    url = postgres_url_factory(template=migrated_url)
    with world_at(tmp_path_factory.mktemp("markets"), url, MOMENT, "DU20260317", strategies=specs) as made:
        yield made


@pytest.mark.parametrize(
    "name", ["fx_minutes", "fx_hours", "fx_days", "london", "london_days", "coins", "hours", "days"]
)
def test_a_feed_of_any_market_is_collected_and_every_expected_bar_of_a_session_is_there(
    world: World, name: str
) -> None:
    feed = world.feed(name)
    result = world.run(f"{name}_bars", sessions=(BEFORE, TODAY))
    assert result.success, failure_of(result)
    valid = world.table("market_data", f"{name}_validated_bars", session=BEFORE)
    expected = expected_bar_starts(date.fromisoformat(BEFORE), feed.bar_size, get_calendar(feed.calendar))
    for symbol in feed.symbols:
        bars = valid[valid["symbol"] == symbol]
        assert bars["ts_utc"].tolist() == expected, symbol
        assert bars["is_final"].all()
        assert bool(bars["volume"].sum() == 0) == (feed.calendar == "FX")  # midpoints have no volume
    assert world.table("market_data", f"{name}_quarantined_bars", session=BEFORE).empty
    checks = checks_of(result, "market_data", f"{name}_validated_bars")
    assert all(check.passed for check in checks.values()), checks
    today = world.table("market_data", f"{name}_validated_bars", session=TODAY)
    assert set(today["symbol"]) == set(feed.symbols)
    assert today["ts_utc"].max() <= MOMENT


def test_prices_are_in_each_instruments_currency(world: World) -> None:
    assert world.run("instruments", None).success
    table = world.lake.read_table(("market_data", "instruments")).set_index("symbol")
    assert table["currency"].to_dict() == table["currency"].to_dict() | {
        "EUR.USD": "USD",
        "USD.JPY": "JPY",
        "VOD.LSE": "GBP",
        "FB": "USD",
    }
    assert table.loc["FB", "long_name"].startswith("META PLATFORMS")
    assert table.loc["VOD.LSE", "primary_exchange"] == "LSE"
    assert table["con_id"].is_unique


def test_facebooks_bars_are_asked_for_under_its_ticker_of_today_and_stored_under_its_name(world: World) -> None:
    raw = world.table("market_data", "days_raw_bars", session=BEFORE)
    assert set(raw["symbol"]) == {"FB", "SPY"}
    assert raw.loc[raw["symbol"] == "FB", "source"].iloc[0].startswith("real daily bars 2012-05-18")


def test_sessions_before_a_listing_are_not_asked_for_and_said_so(world: World) -> None:
    result = world.run("days_bars", sessions=("2012-05-16", "2012-05-17"))
    assert result.success, failure_of(result)
    answered = checks_of(result, "market_data", "days_raw_bars")["every_symbol_answered"]
    (row,) = (record.data for record in answered.metadata["failures"].records if record.data["symbol"] == "FB")
    assert "FB was not listed from 2012-05-16 to 2012-05-17" in row["reason"]
    absent = checks_of(result, "market_data", "days_validated_bars")["no_bars_missing"]
    (unlisted,) = absent.metadata["not_listed"].records
    assert unlisted.data == {"symbol": "FB", "count": 2, "min": "2012-05-16", "max": "2012-05-17"}


def test_stored_bars_of_whoever_was_called_fb_before_are_never_facebooks(world: World) -> None:
    assert world.run("days_bars", "2003-03-28", assets=[("market_data", "days_raw_bars")]).success
    raw = world.table("market_data", "days_raw_bars", session="2003-03-28")
    assert set(raw["symbol"]) == {"SPY"}
    world.lake.write_sessions(("market_data", "days_raw_bars"), raw.assign(symbol="FB"), ["2003-03-28"])
    keys = [("market_data", f"days_{kind}_bars") for kind in ("validated", "quarantined")]
    result = world.run("days_bars", "2003-03-28", assets=keys)
    assert result.success, failure_of(result)
    assert world.table("market_data", "days_validated_bars", session="2003-03-28").empty
    (row,) = world.table("market_data", "days_quarantined_bars", session="2003-03-28").to_dict("records")
    assert (row["symbol"], row["reason"], row["is_blocking"]) == ("FB", "not_listed", True)
    assert metadata_of(result, "market_data", "days_quarantined_bars")["blocked_symbols"] == "FB"
