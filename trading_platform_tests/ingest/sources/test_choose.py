"""Each symbol of a feed is asked for at its own source, and one that can't be reached costs no others."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trading_platform.brokers.base import BrokerConnectionError
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.sources import Sources
from trading_platform.ingest.bars import NoBarsError, fetch_bars
from trading_platform.ingest.sources.base import SourceUnavailableError
from trading_platform.ingest.sources.choose import source_for
from trading_platform.schemas.base import validate
from trading_platform.schemas.market_data import RawBars
from trading_platform.settings import Settings
from trading_platform_tests.ingest.sources.builders import LATER, vendor_bars
from trading_platform_tests.ingest.test_bars import Archive

SESSIONS = [date(2013, 2, 27), date(2013, 2, 28)]
SYMBOLS = ("AAPL", "FB", "IBM")
FEED = Feed("daily", "XNYS", "1 day", SYMBOLS, 5, ())
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in SYMBOLS}
SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument


def no_broker() -> Any:
    pytest.fail("the broker was asked for")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """A declared source with a file for each symbol."""
    for symbol in SYMBOLS:
        bars = vendor_bars(SESSIONS, "1 day").assign(ts=[str(day) for day in SESSIONS])
        bars.drop(columns=["ts_utc", "end"]).to_csv(tmp_path / f"{symbol}.csv", index=False)
    return {
        "directory": {"location": str(tmp_path), "files": "{symbol}.csv"},
        "bar_size": "1 day",
        "stamps": "date",
        "prices": "as_traded",
    }


def fetched(rule: Any, sources: dict[str, Any], broker: Any = no_broker):
    declared = Sources.model_validate({"sources": sources, "feeds": {"daily": rule}})
    source = source_for(FEED, declared, broker, SETTINGS)
    return fetch_bars(source, FEED, INSTRUMENTS, SESSIONS, LATER), source


def test_a_feed_from_files_needs_no_broker(files) -> None:
    got, source = fetched("files", {"files": files})
    bars = validate(RawBars, got.bars)
    assert (len(bars), dict(got.failures), got.requests) == (6, {}, 3)
    assert set(bars["source"]) == {"files (directory)"}
    assert set(bars["received_at_utc"]) == {pd.Timestamp(LATER)}
    assert bars["is_final"].all()
    assert source.left_out == []


def test_symbols_may_have_a_source_of_their_own(files) -> None:
    got, _ = fetched({"source": "files", "symbols": {"FB": "broker"}}, {"files": files}, Archive)
    assert got.bars.groupby("symbol")["source"].first().to_dict() == {
        "AAPL": "files (directory)",
        "FB": "synthetic path, seed 7",
        "IBM": "files (directory)",
    }


def test_a_broker_that_is_gone_costs_its_own_symbols_only(files) -> None:
    gone = Archive({"FB": BrokerConnectionError("no gateway")})
    got, _ = fetched({"source": "files", "symbols": {"FB": "broker"}}, {"files": files}, lambda: gone)
    assert dict(got.failures) == {"FB": "no gateway"}
    assert set(got.bars["symbol"]) == {"AAPL", "IBM"}


def test_a_directory_that_is_gone_costs_its_own_symbols_only(files) -> None:
    gone = files | {"directory": {"location": "nowhere/at/all", "files": "*.csv"}}
    got, _ = fetched({"source": "files", "symbols": {"FB": "gone"}}, {"files": files, "gone": gone})
    assert set(got.failures) == {"FB"}
    with pytest.raises(SourceUnavailableError, match="there is no directory nowhere/at/all"):
        fetched("gone", {"gone": gone})
    with pytest.raises(NoBarsError, match="AAPL: source gone: there is no directory"):
        fetched({"source": "gone", "symbols": {"FB": "also"}}, {"gone": gone, "also": gone})


def test_what_was_not_handed_out_is_told_by_symbol(files, tmp_path: Path) -> None:
    with (tmp_path / "IBM.csv").open("a") as file:
        file.write("1,1,1,1,1,2013-02-23\n1,1,1,1,1,2013-02-24\n")
    declared = Sources.model_validate({"sources": {"files": files}, "feeds": {"daily": "files"}})
    source = source_for(FEED, declared, no_broker, SETTINGS)
    got = fetch_bars(source, FEED, INSTRUMENTS, [date(2013, 2, 22), *SESSIONS], LATER)
    assert len(got.bars) == 6
    assert source.left_out == [
        {"symbol": "IBM", "source": "files", "reason": "on a day without a session", "rows": 2},
    ]


def test_the_address_of_a_table_is_read_from_the_variable_that_is_named(files, database_url, monkeypatch) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(database_url)
    for symbol in SYMBOLS:
        bars = vendor_bars(SESSIONS, "1 day").drop(columns="end").rename(columns={"ts_utc": "ts"})
        bars.assign(symbol=symbol).to_sql("bars", engine, index=False, if_exists="append")
    engine.dispose()
    table = {key: value for key, value in files.items() if key != "directory"} | {
        "postgres": {"url_env": "A_VENDORS_DATABASE", "table": "bars"},
        "time_zone": "UTC",
    }
    with pytest.raises(SourceUnavailableError, match="A_VENDORS_DATABASE is not set"):
        fetched("table", {"table": table})
    monkeypatch.setenv("A_VENDORS_DATABASE", database_url)
    got, _ = fetched("table", {"table": table})
    assert (len(got.bars), got.requests) == (6, 1)
    assert set(got.bars["source"]) == {"table (postgres)"}
