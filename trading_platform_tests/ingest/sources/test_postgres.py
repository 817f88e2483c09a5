"""A table as a source, at a real PostgreSQL: read-only, filtered by the server, with every mistake named."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from trading_platform.domain.calendars import get_calendar
from trading_platform.ingest.sources.base import SourceUnavailableError
from trading_platform.ingest.sources.postgres import TableRows, postgres_source
from trading_platform_tests.ingest.sources.builders import NUMBERS, ask, declared, same, stamped, vendor_bars

SESSIONS = [date(2013, 3, 8), date(2013, 3, 11)]
"""Between them the clock changed in New York."""
XNYS = get_calendar("XNYS")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    yield engine
    engine.dispose()


def store(engine: sa.Engine, frame: pd.DataFrame, name: str = "bars", **keys: Any) -> None:
    frame.to_sql(name, engine, index=False, if_exists="append", **keys)


def rows_of(bars: pd.DataFrame, stamps: pd.Series, *symbols: str) -> pd.DataFrame:
    return pd.concat([bars[NUMBERS].assign(symbol=symbol, ts=stamps) for symbol in symbols or ("IBM",)])


def source(url: str | None, table: str = "bars", symbols: tuple[str, ...] = ("AAPL", "IBM"), **keys: Any):
    timeout = keys.pop("timeout_seconds", 30)
    place = {"url_env": "MARKET_DATA_URL", "table": table, "timeout_seconds": timeout}
    return postgres_source("vendor", declared(postgres=place, **keys), symbols, url)


@pytest.mark.parametrize("stamps", ["start", "end"])
@pytest.mark.parametrize("form", ["timestamptz", "timestamp", "epoch_s"])
@pytest.mark.parametrize("bar_size", ["1 min", "1 day"])
def test_bars_come_out_as_they_are_whatever_their_stamps_are(engine, database_url, stamps, form, bar_size) -> None:
    bars = vendor_bars(SESSIONS, bar_size)
    instants = stamped(bars, stamps, XNYS, bar_size)
    column: Any = instants
    keys: dict[str, Any] = {"bar_size": bar_size, "stamps": stamps}
    if form == "timestamp":
        column = instants.dt.tz_convert("America/New_York").dt.tz_localize(None)
    elif form == "epoch_s":
        column, keys["stamp_format"] = instants.dt.as_unit("s").astype("int64"), "epoch_s"
    store(engine, rows_of(bars[::-1], column[::-1]))
    sent = ask(source(database_url, **keys), SESSIONS, bar_size=bar_size)
    same(sent, bars)
    assert (sent.origin, sent.requests) == ("vendor (postgres)", 1)


def test_dates_and_exact_numbers_are_understood(engine, database_url) -> None:
    bars = vendor_bars(SESSIONS, "1 day").round(2)
    types: Any = {"ts": sa.Date(), **dict.fromkeys(NUMBERS, sa.Numeric(12, 2))}
    store(engine, rows_of(bars, bars["ts_utc"].dt.date), dtype=types)
    same(ask(source(database_url, bar_size="1 day", stamps="date", time_zone=None), SESSIONS, bar_size="1 day"), bars)


def test_names_are_quoted_and_values_are_parameters(engine, database_url) -> None:
    bars = vendor_bars(SESSIONS, "1 min")
    evil = "O'Neil; DROP TABLE bars --"
    frame = rows_of(bars, bars["ts_utc"], evil).rename(columns={"close": 'Cl"ose; --', "symbol": "Ticker Symbol"})
    with engine.begin() as connection:
        connection.execute(sa.text('CREATE SCHEMA "My Data"'))
    store(engine, frame, 'Bars "1"', schema="My Data")
    place = {"url_env": "MARKET_DATA_URL", "table": 'My Data.Bars "1"'}
    columns = {"close": 'Cl"ose; --', "symbol": "Ticker Symbol"}
    mapped = declared(postgres=place, columns=columns, symbols={"ONEIL": evil})
    same(ask(postgres_source("vendor", mapped, ["ONEIL"], database_url), SESSIONS, "ONEIL"), bars)


def test_the_server_filters_once_for_all_symbols(engine, database_url) -> None:
    bars = vendor_bars([date(2013, 2, 1), *SESSIONS], "1 min")
    store(engine, rows_of(bars, bars["ts_utc"], "AAPL", "IBM", "MSFT"))
    read = source(database_url)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda symbol: ask(read, SESSIONS, symbol), ["AAPL", "IBM"] * 4))
    for sent in answers:
        same(sent, bars[390:])
    assert sum(sent.requests for sent in answers) == 1
    rows = read._rows
    assert isinstance(rows, TableRows)
    (kept,) = rows._shared._kept.values()
    assert isinstance(kept, dict)
    assert {name: len(frame) for name, frame in kept.items()} == {"AAPL": 780, "IBM": 780}


def test_nothing_can_be_written_through_it(engine, database_url) -> None:
    bars = vendor_bars(SESSIONS, "1 min")
    store(engine, rows_of(bars, bars["ts_utc"]), "stored")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE reads (n int)"))
        connection.execute(
            sa.text(
                "CREATE FUNCTION noted() RETURNS boolean LANGUAGE plpgsql AS "
                "$$ BEGIN INSERT INTO reads VALUES (1); RETURN true; END $$"
            )
        )
        connection.execute(sa.text("CREATE VIEW bars AS SELECT * FROM stored WHERE noted()"))
    with pytest.raises(SourceUnavailableError, match="cannot execute INSERT in a read-only transaction"):
        ask(source(database_url), SESSIONS)


class TestMistakes:
    def test_an_unset_variable(self) -> None:
        with pytest.raises(SourceUnavailableError, match=r"MARKET_DATA_URL is not set; set it to postgresql\+psycopg2"):
            ask(source(None), SESSIONS)

    @pytest.mark.parametrize("url", ["nonsense with secret", "mysql+nothing://u:secret@h/d"])
    def test_a_url_that_is_none_is_not_repeated(self, url: str) -> None:
        with pytest.raises(SourceUnavailableError, match="MARKET_DATA_URL is no URL such as") as caught:
            ask(source(url), SESSIONS)
        assert "secret" not in str(caught.value)

    def test_a_server_that_is_down(self) -> None:
        url = "postgresql+psycopg2://user:secret@127.0.0.1:9/data"
        with pytest.raises(SourceUnavailableError, match=r"does not answer or refuses us .*refused") as caught:
            ask(source(url), SESSIONS)
        assert "secret" not in str(caught.value)

    def test_a_table_that_is_not_there(self, database_url) -> None:
        with pytest.raises(SourceUnavailableError, match="there is no table bars in the database of MARKET_DATA_URL"):
            ask(source(database_url), SESSIONS)

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"close": None}, r"bars has no column 'close'.*Name it under columns\.close"),
            ({"open": "12.5"}, "the column 'open' is TEXT, not numbers; make a view that casts it"),
            ({"ts": "2013-03-08 09:30"}, "the column 'ts' is TEXT; stamps must be timestamp, timestamptz or date"),
        ],
    )
    def test_a_column_that_is_missing_or_of_another_type(self, engine, database_url, changes, match) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        frame = rows_of(bars, bars["ts_utc"])
        for name, value in changes.items():
            frame = frame.drop(columns=name) if value is None else frame.assign(**{name: value})
        store(engine, frame)
        with pytest.raises(SourceUnavailableError, match=match):
            ask(source(database_url), SESSIONS)

    def test_a_row_without_a_stamp_costs_its_symbol_only(self, engine, database_url) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        store(engine, rows_of(bars, bars["ts_utc"], "AAPL", "IBM"))
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE bars SET ts = NULL WHERE symbol = 'IBM' AND volume < 10"))
        read = source(database_url)
        with pytest.raises(Exception, match=r"IBM: ts is empty in \d+ of 780 rows"):
            ask(read, SESSIONS)
        same(ask(read, SESSIONS, "AAPL"), bars)

    def test_a_query_that_takes_too_long(self, engine, database_url) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        store(engine, rows_of(bars, bars["ts_utc"]), "stored")
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE VIEW bars AS SELECT s.* FROM stored s, pg_sleep(5)"))
        with pytest.raises(
            SourceUnavailableError, match=r"did not answer within 0\.2 s; make an index on \(symbol, ts\)"
        ):
            ask(source(database_url, timeout_seconds=0.2), SESSIONS)
