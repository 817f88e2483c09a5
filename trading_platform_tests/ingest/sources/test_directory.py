"""Files as a source: what a vendor wrote by whatever convention comes out as it is, and every mistake is named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.market_data.bars import session_labels
from trading_platform.ingest.sources import directory as module
from trading_platform.ingest.sources.base import SourceError, SourceUnavailableError
from trading_platform.ingest.sources.declared import DeclaredSource
from trading_platform.ingest.sources.directory import directory_source
from trading_platform_tests.ingest.sources.builders import LATER, ask, declared, same, stamped, vendor_bars

SESSIONS = [date(2013, 2, 27), date(2013, 2, 28)]
SYMBOLS = ("AAPL", "IBM")
CALENDARS = ("XNYS", "XLON", "XTKS", "XASX", "24/7")
ZONES = ("UTC", "America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Lord_Howe")
FIRST_DAYS = st.one_of(
    # around changes of the clock in New York, London and on Lord Howe Island, and half days
    st.sampled_from([date(2012, 11, 2), date(2013, 3, 8), date(2012, 10, 26), date(2013, 4, 5), date(2012, 11, 23)]),
    st.dates(date(2005, 1, 3), date(2019, 12, 1)),
)


def source(directory: Path, files: str = "{symbol}.csv", wanted: tuple[str, ...] = SYMBOLS, **keys: Any):
    delimiter = keys.pop("delimiter", ",")
    place = {"location": str(directory), "files": files, "delimiter": delimiter}
    return directory_source("vendor", declared(directory=place, **keys), wanted)


def local(bars: pd.DataFrame, zone: str = "America/New_York") -> pd.DataFrame:
    """The bars with stamps of the zone's clock that say nothing of a zone."""
    return bars.assign(ts=bars["ts_utc"].dt.tz_convert(zone).dt.tz_localize(None)).drop(columns=["ts_utc", "end"])


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=FIRST_DAYS,
    count=st.integers(1, 4),
    bar_size=st.sampled_from(["1 min", "5 mins", "15 mins", "1 hour", "1 day"]),
    name=st.sampled_from(CALENDARS),
    stamps=st.sampled_from(["start", "end", "date"]),
    zone=st.sampled_from(ZONES),
    form=st.sampled_from(["naive", "aware", "offset text", "epoch_ms"]),
    kind=st.sampled_from(["csv", "csv.gz", "parquet"]),
    is_shared=st.booleans(),
)
def test_what_is_written_by_a_convention_is_read_back_as_it_was(
    first: date, count: int, bar_size: Any, name: str, stamps: str, zone: str, form: str, kind: str, is_shared: bool
) -> None:
    calendar = get_calendar(name)
    sessions = calendar.sessions(first, date(first.year + 1, 12, 31))[:count]
    if stamps == "date" and bar_size != "1 day":
        stamps = "start"
    bars = vendor_bars(sessions, bar_size, name)
    instants = stamped(bars, stamps, calendar, bar_size)
    walls = instants.dt.tz_convert(zone).dt.tz_localize(None)
    if stamps == "date":  # a date is what it is on every clock
        walls, instants = instants.dt.tz_localize(None), instants.dt.tz_localize(None).dt.tz_localize(zone)
    keys: dict[str, Any] = {"bar_size": bar_size, "stamps": stamps, "time_zone": zone}
    if form == "naive":
        column: pd.Series = walls
    elif form == "epoch_ms":
        column, keys["stamp_format"] = instants.dt.as_unit("ms").astype("int64"), "epoch_ms"
    elif form == "offset text":
        column, keys["stamp_format"] = (
            instants.dt.tz_convert(zone).dt.strftime("%d.%m.%Y %H:%M:%S%z"),
            ("%d.%m.%Y %H:%M:%S%z"),
        )
    else:
        column = instants.dt.tz_convert(zone)
    rows = bars.drop(columns=["ts_utc", "end"]).assign(ts=column, symbol="IBM")
    rows = pd.concat([rows[::-1], rows.assign(symbol="AAPL", close=1.0)])  # newest first, and somebody else's
    with TemporaryDirectory() as folder:
        for symbol, part in [("all", rows)] if is_shared else rows.groupby("symbol"):
            path = Path(folder) / f"{symbol}.{kind}"
            part.to_parquet(path, index=False) if kind == "parquet" else part.to_csv(path, index=False)
        files = f"*.{kind}" if is_shared else f"{{symbol}}.{kind}"
        read = source(Path(folder), files, **keys)
        is_double = form == "naive" and name == "24/7" and bar_size != "1 day" and walls.duplicated().any()
        if is_double:  # around the clock nothing tells the hour that is there twice apart
            with pytest.raises(SourceError, match="there twice"):
                ask(read, sessions, bar_size=bar_size, calendar=name)
            return
        sent = ask(read, sessions, bar_size=bar_size, calendar=name)
    same(sent, bars)
    assert sent.left_out == {}
    if bar_size != "1 day":
        labels = session_labels(sent.bars["ts_utc"], bar_size, calendar)
        assert set(labels) == {session.isoformat() for session in sessions}


class TestOneFilePerSymbol:
    def test_only_the_wanted_sessions_come(self, tmp_path: Path) -> None:
        bars = vendor_bars([date(2013, 2, 25), *SESSIONS], "1 min")
        write_csv(tmp_path / "IBM.csv", local(bars))
        sent = ask(source(tmp_path), SESSIONS)
        same(sent, bars[bars["ts_utc"] >= pd.Timestamp(SESSIONS[0], tz="UTC")])
        assert (sent.origin, sent.requests) == ("vendor (directory)", 1)

    def test_a_symbol_may_have_many_files_in_a_folder_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "IBM").mkdir()
        for session in SESSIONS:
            write_csv(tmp_path / "IBM" / f"{session}.csv", local(vendor_bars([session], "1 min")))
        sent = ask(source(tmp_path, "{symbol}/*.csv"), SESSIONS)
        assert (len(sent.bars), sent.requests) == (780, 2)

    def test_columns_symbols_and_delimiter_are_the_vendors(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        theirs = local(bars).rename(columns={"ts": "Time", "close": "Last", "volume": "Vol"})
        theirs.assign(Note="é").to_csv(tmp_path / "BRK.B.csv", index=False, sep=";", encoding="utf-8-sig")
        columns = {"stamp": "Time", "close": "Last", "volume": "Vol"}
        read = source(tmp_path, columns=columns, symbols={"BRK B": "BRK.B"}, delimiter=";", wanted=("BRK B",))
        same(ask(read, SESSIONS, "BRK B"), bars)

    def test_one_bad_file_costs_its_symbol_only(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        bars.rename(columns={"ts_utc": "ts"}).to_parquet(tmp_path / "AAPL.parquet", index=False)
        (tmp_path / "IBM.parquet").write_bytes(b"PAR1 no more than this")
        read = source(tmp_path, "{symbol}.parquet")
        with pytest.raises(SourceError, match=r"IBM\.parquet is damaged .* write it again or remove it") as caught:
            ask(read, SESSIONS)
        assert not isinstance(caught.value, SourceUnavailableError)
        same(ask(read, SESSIONS, "AAPL"), bars)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"source vendor: there is no file IBM\.csv in") as caught:
            ask(source(tmp_path), SESSIONS)
        assert not isinstance(caught.value, SourceUnavailableError)

    @pytest.mark.parametrize("symbol", ["BRK/B", "..", "*"])
    def test_a_symbol_reads_no_file_that_is_not_its_own(self, tmp_path: Path, symbol: str) -> None:
        (tmp_path / "BRK").mkdir()
        write_csv(tmp_path / "BRK" / "B.csv", local(vendor_bars(SESSIONS, "1 min")))
        write_csv(tmp_path / "IBM.csv", local(vendor_bars(SESSIONS, "1 min")))
        with pytest.raises(SourceError, match=r"can't be part of a file name|no file"):
            ask(source(tmp_path), SESSIONS, symbol)


class TestSharedFiles:
    @pytest.fixture
    def shared(self, tmp_path: Path) -> tuple[Path, pd.DataFrame]:
        bars = vendor_bars(SESSIONS, "1 min")
        frame = pd.concat([local(bars).assign(symbol=symbol) for symbol in (*SYMBOLS, "MSFT")])
        frame.sort_values("ts").to_parquet(tmp_path / "all.parquet", index=False)
        return tmp_path, bars

    def test_a_file_is_read_once_for_all_symbols_that_ask_at_once(self, shared, monkeypatch) -> None:
        directory, bars = shared
        reads: list[threading.Thread] = []
        real = pq.read_table

        def counted(*arguments: Any, **keys: Any) -> pa.Table:
            reads.append(threading.current_thread())
            return real(*arguments, **keys)

        monkeypatch.setattr(module.pq, "read_table", counted)
        read = source(directory, "all.parquet")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda symbol: ask(read, SESSIONS, symbol), SYMBOLS * 4))
        for sent in answers:
            same(sent, bars)
        assert (len(reads), sum(sent.requests for sent in answers)) == (1, 1)

    def test_only_wanted_columns_rows_and_symbols_leave_the_file(self, shared, monkeypatch) -> None:
        directory, _ = shared
        read: list[pa.Table] = []
        real = pq.read_table
        monkeypatch.setattr(
            module.pq, "read_table", lambda *arguments, **keys: read.append(real(*arguments, **keys)) or read[-1]
        )
        frame = pd.read_parquet(directory / "all.parquet").assign(note="much text")
        old = frame.assign(ts=frame["ts"] - pd.Timedelta(days=900))
        pd.concat([old, frame]).to_parquet(directory / "all.parquet", index=False)
        ask(source(directory, "all.parquet"), SESSIONS)
        assert sorted(read[-1].column_names) == ["close", "high", "low", "open", "symbol", "ts", "volume"]
        assert len(read[-1]) == len(SYMBOLS) * 780

    def test_a_file_that_cannot_be_read_costs_everybody_as_nobody_knows_whose_bars_it_holds(self, shared) -> None:
        directory, _ = shared
        (directory / "more.parquet").write_bytes(b"")
        read = source(directory, "*.parquet")
        for symbol in SYMBOLS:
            with pytest.raises(SourceError, match=r"more\.parquet is damaged"):
                ask(read, SESSIONS, symbol)

    def test_a_bad_cell_costs_its_own_symbol_only(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        frame = pd.concat([local(bars).assign(symbol=symbol) for symbol in SYMBOLS], ignore_index=True)
        frame["close"] = frame["close"].astype(object)
        frame.loc[len(bars) + 7, "close"] = "1,234.5"
        frame["ts"] = frame["ts"].astype(str)
        write_csv(tmp_path / "all.csv", frame)
        read = source(tmp_path, "*.csv")
        same(ask(read, SESSIONS, "AAPL"), bars)
        with pytest.raises(SourceError, match=r"IBM: close is no number in 1 of 780 rows, first '1,234.5': Correct"):
            ask(read, SESSIONS)

    def test_text_is_read_once_whatever_sessions_are_asked_for(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        write_csv(tmp_path / "all.csv", local(bars).assign(symbol="IBM"))
        read = source(tmp_path, "*.csv")
        first, second = (ask(read, [session]) for session in SESSIONS)
        assert (len(first.bars), len(second.bars)) == (390, 390)
        assert (first.requests, second.requests) == (1, 0)

    def test_a_ticker_called_na_is_a_ticker(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        write_csv(tmp_path / "all.csv", local(bars).assign(symbol="NA"))
        same(ask(source(tmp_path, "*.csv", ("NA",)), SESSIONS, "NA"), bars)

    def test_a_symbol_without_rows_is_named_and_the_others_come(self, shared) -> None:
        directory, bars = shared
        read = source(directory, "*.parquet", ("IBM", "NOPE"))
        with pytest.raises(SourceError, match=r"NOPE has no bar from 2013-02-27 to 2013-02-28: check its name there"):
            ask(read, SESSIONS, "NOPE")
        same(ask(read, SESSIONS), bars)


class TestMistakes:
    def frame(self) -> pd.DataFrame:
        return local(vendor_bars(SESSIONS, "1 min"))

    def refused(self, tmp_path: Path, frame: pd.DataFrame, kind: str, match: str, **keys: Any) -> None:
        path = tmp_path / f"IBM.{kind}"
        write_csv(path, frame) if kind == "csv" else frame.to_parquet(path, index=False)
        with pytest.raises(SourceError, match=match):
            ask(source(tmp_path, f"{{symbol}}.{kind}", **keys), SESSIONS)

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_column_that_is_not_there(self, tmp_path: Path, kind: str) -> None:
        frame = self.frame().rename(columns={"close": "closing"})
        self.refused(
            tmp_path, frame, kind, r"no column 'close' \(did you mean closing\?\)\. Name it under columns\.close"
        )

    def test_prices_that_are_text(self, tmp_path: Path) -> None:
        frame = self.frame().assign(open=self.frame()["open"].astype(str))
        self.refused(tmp_path, frame, "parquet", r"'open' is (large_)?string, not numbers; write the file with numbers")

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_stamps_without_a_zone_that_nobody_declared(self, tmp_path: Path, kind: str) -> None:
        self.refused(tmp_path, self.frame(), kind, "no time zone .* declare time_zone, e.g. America", time_zone=None)

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_a_row_without_a_stamp(self, tmp_path: Path, kind: str) -> None:
        frame = self.frame()
        frame.loc[3, "ts"] = pd.NaT
        self.refused(tmp_path, frame, kind, r"ts is (empty|not ISO 8601.*) in 1 of 780 rows")

    def test_stamps_of_two_kinds(self, tmp_path: Path) -> None:
        frame = self.frame()
        frame["ts"] = frame["ts"].astype(str)
        frame.loc[5, "ts"] += "Z"
        self.refused(tmp_path, frame, "csv", r"ts names no time zone, and other rows do in 779 of 780 rows")

    def test_numbers_of_no_known_unit(self, tmp_path: Path) -> None:
        frame = self.frame().assign(ts=range(780))
        self.refused(tmp_path, frame, "parquet", "holds numbers such as 0: declare stamp_format")

    def test_numbers_of_another_unit(self, tmp_path: Path) -> None:
        frame = self.frame().assign(ts=1362061800000 + pd.RangeIndex(780).to_numpy())
        self.refused(tmp_path, frame, "csv", "ts is too large for epoch_s in 780 of 780 rows", stamp_format="epoch_s")

    def test_a_stamp_of_another_format(self, tmp_path: Path) -> None:
        match = r"ts is not the declared stamp_format '%d/%m/%Y' in 780 of 780 rows"
        self.refused(tmp_path, self.frame(), "csv", match, stamp_format="%d/%m/%Y")

    def test_an_hour_that_the_clock_skipped(self, tmp_path: Path) -> None:
        frame = self.frame()[:2].assign(ts=["2013-03-10 02:15", "2013-03-10 04:15"])
        write_csv(tmp_path / "BTC.csv", frame)
        read = source(tmp_path)
        with pytest.raises(SourceError, match=r"does not exist in America/New_York.* in 1 of 2 rows, .*02:15"):
            ask(read, [date(2013, 3, 10)], "BTC", calendar="24/7")
        # the sessions beside it have nothing to do with that row
        with pytest.raises(SourceError, match="has no bar from 2013-03-11"):
            ask(read, [date(2013, 3, 11)], "BTC", calendar="24/7")

    def test_a_feed_of_another_bar_size(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="has bars of 1 min, not 5 mins"):
            ask(source(tmp_path), SESSIONS, bar_size="5 mins")

    def test_a_directory_that_is_not_there_is_nobodys_bad_symbol(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnavailableError, match=r"there is no directory .*; correct location, or make it"):
            ask(source(tmp_path / "gone"), SESSIONS)

    def test_an_address_that_nobody_understands(self) -> None:
        place = {"location": "gopher://old", "files": "{symbol}.csv"}
        read: DeclaredSource = directory_source("vendor", declared(directory=place), SYMBOLS)
        with pytest.raises(SourceUnavailableError, match="'gopher://old' is not understood"):
            ask(read, SESSIONS)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["parquet", "csv", "csv.gz"]),
    place=st.floats(0, 1),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_whatever_is_damaged_it_is_that_files_fault_and_said(
    tmp_path: Path, kind: str, place: float, byte: int, cut: bool
) -> None:
    path = tmp_path / f"IBM.{kind}"
    bars = vendor_bars(SESSIONS[:1], "5 mins")
    bars = bars.rename(columns={"ts_utc": "ts"}).drop(columns="end")
    bars.to_parquet(path, index=False) if kind == "parquet" else bars.to_csv(path, index=False)
    content = bytearray(path.read_bytes())
    position = int(place * (len(content) - 1))
    content[position] = byte
    path.write_bytes(content[: position + 1] if cut else content)
    said = ""
    try:
        sent = ask(source(tmp_path, f"{{symbol}}.{kind}", bar_size="5 mins"), SESSIONS[:1], bar_size="5 mins")
    except SourceUnavailableError:
        pytest.fail("the directory is there")
    except SourceError as error:
        said = str(error)
    else:
        assert len(sent.bars) <= len(bars)
    assert not said or said.startswith("source vendor: ")


class TestWhatIsNotHandedOut:
    """Nothing that nobody could know, and nothing silently."""

    def test_a_bar_that_has_not_ended_is_from_the_future(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        write_csv(tmp_path / "IBM.csv", local(bars))
        now = datetime(2013, 2, 28, 20, 45, 30, tzinfo=timezone.utc)
        sent = ask(source(tmp_path), SESSIONS, now=now)
        same(sent, bars[bars["end"] <= now])
        assert sent.left_out == {"had not ended yet": 15}

    def test_a_daily_bar_is_there_after_the_close(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 day")
        write_csv(tmp_path / "IBM.csv", local(bars, "UTC"))
        read = source(tmp_path, bar_size="1 day", stamps="date")
        before = ask(read, SESSIONS, bar_size="1 day", now=datetime(2013, 2, 28, 20, 59, tzinfo=timezone.utc))
        same(before, bars[:1])
        same(ask(read, SESSIONS, bar_size="1 day", now=datetime(2013, 2, 28, 21, 0, tzinfo=timezone.utc)), bars)
        with pytest.raises(SourceError, match=r"has no bar .*; 1 row\(s\) had not ended yet"):
            ask(read, SESSIONS[1:], bar_size="1 day", now=datetime(2013, 2, 28, 20, 59, tzinfo=timezone.utc))

    def test_bars_of_a_saturday_are_counted(self, tmp_path: Path) -> None:
        bars = vendor_bars([date(2013, 3, 1), date(2013, 3, 4)], "1 min")
        saturday = bars[:10].assign(ts_utc=bars["ts_utc"][:10] + pd.Timedelta(days=1))
        write_csv(tmp_path / "IBM.csv", local(pd.concat([bars, saturday])))
        sent = ask(source(tmp_path), [date(2013, 3, 1), date(2013, 3, 4)])
        same(sent, bars)
        assert sent.left_out == {"on a day without a session": 10}

    def test_hours_outside_the_session_come_unless_only_regular_ones_are_wanted(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min")
        early = bars[:60].assign(ts_utc=bars["ts_utc"][:60] - pd.Timedelta(hours=1))
        write_csv(tmp_path / "IBM.csv", local(pd.concat([bars, early])))
        assert len(ask(source(tmp_path), SESSIONS).bars) == 840
        regular = ask(source(tmp_path, hours="regular"), SESSIONS)
        same(regular, bars)
        assert regular.left_out == {"outside the session's hours": 60}

    def test_doubles_and_impossible_values_come_as_they_are(self, tmp_path: Path) -> None:
        bars = vendor_bars(SESSIONS, "1 min").assign(low=-1.0)
        bars.loc[2, "close"] = float("nan")
        double = pd.concat([bars, bars[:1]], ignore_index=True).sort_values("ts_utc", kind="stable")
        write_csv(tmp_path / "IBM.csv", local(double))
        same(ask(source(tmp_path), SESSIONS), double)


def test_an_object_store_is_a_directory_too(s3_url: str, s3_options: dict[str, Any]) -> None:
    import s3fs

    bars = vendor_bars(SESSIONS, "1 min")
    store = s3fs.S3FileSystem(**s3_options)
    with store.open(f"{s3_url}/IBM.parquet", "wb") as file:
        local(bars).to_parquet(file, index=False)
    with store.open(f"{s3_url}/AAPL.csv", "wb") as file:
        file.write(local(bars).to_csv(index=False).encode())
    for files, symbol in (("{symbol}.parquet", "IBM"), ("{symbol}.csv", "AAPL")):
        read = directory_source("vendor", declared(directory={"location": s3_url, "files": files}), SYMBOLS, s3_options)
        same(ask(read, SESSIONS, symbol), bars)
    gone = declared(directory={"location": f"{s3_url}/gone", "files": "{symbol}.csv"})
    with pytest.raises(SourceUnavailableError, match="there is no directory s3://"):
        ask(directory_source("vendor", gone, SYMBOLS, s3_options), SESSIONS)


def test_a_store_that_does_not_answer_is_nobodys_bad_symbol(s3_options: dict[str, Any]) -> None:
    options = {
        "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"},
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    place = declared(directory={"location": "s3://bucket/bars", "files": "{symbol}.csv"})
    with pytest.raises(SourceUnavailableError, match="does not answer"):
        ask(directory_source("vendor", place, SYMBOLS, options), SESSIONS, now=LATER)
