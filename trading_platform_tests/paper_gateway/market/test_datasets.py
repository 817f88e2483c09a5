from __future__ import annotations

import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from trading_platform.paper_gateway.market.datasets import (
    BUNDLED,
    SymbolHistory,
    load_bundled,
    load_directory,
    load_market_data,
)
from trading_platform.paper_gateway.market.files import DatasetError
from trading_platform_tests.paper_gateway.market.builders import at, load_frames, minute_frame


def daily_frame(symbol: str, stamps: list[str]) -> pd.DataFrame:
    count = len(stamps)
    return pd.DataFrame(
        {
            "symbol": [symbol] * count,
            "ts": pd.to_datetime(stamps, utc=True, format="ISO8601"),
            "open": 10.0,
            "high": 12.0,
            "low": 9.0,
            "close": [10.0 + i / 10 for i in range(count)],
            "volume": 1000,
        }
    )


def the_history(directory: Path, symbol: str, **frames: pd.DataFrame) -> SymbolHistory:
    found = load_frames(directory, **frames).find(symbol)
    assert found is not None
    return found[1]


def test_the_bundled_bars_are_the_five_real_symbols_as_traded() -> None:
    dataset = load_bundled()
    assert {symbol: (h.first_day, h.last_day, len(h.positions)) for symbol, h in dataset.histories.items()} == {
        "AAPL": (date(2000, 3, 1), date(2013, 3, 1), 3270),
        "FB": (date(2012, 5, 18), date(2013, 3, 1), 196),
        "GOOG": (date(2004, 8, 19), date(2013, 3, 1), 2148),
        "IBM": (date(2000, 3, 1), date(2013, 3, 1), 3270),
        "MSFT": (date(2000, 3, 1), date(2013, 3, 1), 3270),
    }
    apple = dataset.histories["AAPL"]
    assert (apple.open[-2], apple.high[-2], apple.low[-2], apple.close[-2]) == (444.05, 447.87, 441.4, 441.4)
    assert apple.factor[-1] == 1.0
    assert apple.factor[0] < 0.5


def test_the_bundled_bars_load_quickly_and_without_bokeh() -> None:
    load_bundled()  # the calendar and pandas are warm now
    begun = time.process_time()
    load_bundled()
    assert time.process_time() - begun < 0.3
    code = "import sys, trading_platform.paper_gateway.market as m; m.load_bundled(); assert 'bokeh' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_directory_s_symbols_override_the_bundled_ones_and_the_others_stay(tmp_path: Path) -> None:
    daily_frame("IBM", ["2014-06-02", "2014-06-03"]).to_csv(tmp_path / "own.csv", index=False)
    data = load_market_data(tmp_path)
    own, bundled = data.find("IBM"), data.find("AAPL")
    assert own is not None
    assert bundled is not None
    assert (own[0].name, own[1].last_day) == (tmp_path.name, date(2014, 6, 3))
    assert bundled[0].name == BUNDLED
    assert data.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def test_midnight_stamps_and_one_bar_a_day_are_daily_bars(tmp_path: Path) -> None:
    at_midnight = the_history(tmp_path, "AAA", a=daily_frame("AAA", ["2014-06-02", "2014-06-03"]))
    assert at_midnight.grain == "daily"
    assert (at_midnight.first_day, at_midnight.last_day) == (date(2014, 6, 2), date(2014, 6, 3))
    at_the_close = the_history(
        tmp_path,
        "BBB",
        a=daily_frame("AAA", ["2014-06-02"]),
        b=daily_frame("BBB", ["2014-06-02T20:00Z", "2014-06-03T20:00Z"]),
    )
    assert (at_the_close.grain, at_the_close.first_day) == ("daily", date(2014, 6, 2))
    at_new_york_midnight = the_history(
        tmp_path, "CCC", c=daily_frame("CCC", ["2014-06-02T04:00Z", "2014-06-03T04:00Z"])
    )
    assert (at_new_york_midnight.grain, at_new_york_midnight.first_day) == ("daily", date(2014, 6, 2))


@pytest.mark.parametrize("step", [1, 5, 30])
def test_intraday_bars_are_aggregated_to_sessions_and_extended_hours_left_out(step: int, tmp_path: Path) -> None:
    regular = minute_frame("AAA", [at(2014, 6, 2, 13, 30), at(2014, 6, 3, 13, 30)], step=step)
    early = regular.iloc[:1].assign(ts=pd.Timestamp("2014-06-02T12:00Z"), high=999.0)
    history = the_history(tmp_path, "AAA", a=pd.concat([early, regular]).sample(frac=1, random_state=1))
    assert history.grain == f"{step}-minute"
    assert history.high.max() < 999
    first = regular.iloc[: 390 // step]
    assert history.open[0] == first["open"].iloc[0]
    assert history.high[0] == first["high"].max()
    assert history.low[0] == first["low"].min()
    assert history.close[0] == first["close"].iloc[-1]
    assert history.volume[0] == first["volume"].sum()
    assert (history.intraday_stop - history.intraday_start).tolist() == [390 // step] * 2


def test_daily_and_intraday_files_of_one_symbol_go_together_and_intraday_counts(tmp_path: Path) -> None:
    minutes = minute_frame("AAA", [at(2014, 6, 3, 13, 30)])
    days = daily_frame("AAA", ["2014-06-02", "2014-06-03", "2014-06-04"])
    history = the_history(tmp_path, "AAA", days=days, minutes=minutes, zlast=daily_frame("AAA", ["2014-06-05"]))
    assert len(history.positions) == 4
    assert (history.intraday_stop - history.intraday_start).tolist() == [0, 390, 0, 0]
    assert history.close.tolist() == [10.0, minutes["close"].iloc[-1], 10.2, 10.0]


def test_two_files_that_hold_the_same_session_get_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"b.parquet and .*a.parquet: both have bars of AAA for 1 sessions, first 2014-06-03"
    ):
        load_frames(
            tmp_path,
            a=daily_frame("AAA", ["2014-06-02", "2014-06-03"]),
            b=daily_frame("AAA", ["2014-06-03", "2014-06-04"]),
        )


def test_two_files_with_bars_of_two_lengths_get_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two lengths, 1-minute and 5-minute"):
        load_frames(
            tmp_path,
            a=minute_frame("AAA", [at(2014, 6, 2, 13, 30)]),
            b=minute_frame("AAA", [at(2014, 6, 3, 13, 30)], step=5),
        )


def test_symbols_that_trade_on_weekends_never_close_and_a_dollar_pair_is_its_coin(tmp_path: Path) -> None:
    weekend = ["2014-06-06", "2014-06-07", "2014-06-08"]
    data = load_frames(tmp_path, a=daily_frame("BTC-USD", weekend), b=daily_frame("DOGEUSD", weekend))
    assert data.symbols == ("BTC", "DOGE")
    assert {h.calendar for h in data.datasets[0].histories.values()} == {"24/7"}


def test_a_symbol_under_two_spellings_gets_an_error(tmp_path: Path) -> None:
    weekend = ["2014-06-06", "2014-06-07", "2014-06-08"]
    both = pd.concat([daily_frame("BTC-USD", weekend), daily_frame("BTC", weekend)])
    with pytest.raises(DatasetError, match="two symbols of the file mean BTC"):
        load_frames(tmp_path, a=both)


def test_a_file_without_bars_beside_a_good_one_is_not_passed_over(tmp_path: Path) -> None:
    daily_frame("AAA", ["2014-06-02"]).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "notes.csv").write_text("what,why\n1,2\n")
    with pytest.raises(DatasetError, match=r"notes.csv: missing columns symbol, ts"):
        load_directory(tmp_path)
