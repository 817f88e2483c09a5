"""The loader and the market on real files that were never cleaned."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_platform.paper_gateway.market.datasets import MarketData, load_directory
from trading_platform.paper_gateway.market.files import DatasetError
from trading_platform.paper_gateway.market.market import Market
from trading_platform.paper_gateway.market.timeline import choose_anchor
from trading_platform_tests.paper_gateway.market.builders import at, contract_of

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NOW = at(2026, 11, 20, 17)

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: no real market data to test with"),
]


def linked(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / Path(name).name).symlink_to(DATA / name)
    return directory


def test_twenty_one_symbols_of_raw_daily_bars_are_replayed_for_now(tmp_path: Path) -> None:
    name = "daily_us_equities/lean_raw_1998_2021.parquet"
    data = MarketData((load_directory(linked(tmp_path, name)),))
    rows = pd.read_parquet(DATA / name)
    assert set(data.symbols) == set(rows["symbol"].unique())
    market = Market(data, 7, choose_anchor(NOW), NOW)
    contract = contract_of(market, "SPY")
    shown = market.bars(contract, "1 day", NOW - timedelta(days=365), at(2026, 11, 20), NOW)
    real = rows[rows["symbol"] == "SPY"].sort_values("ts").tail(len(shown))
    assert [bar.close for bar in shown] == real["close"].tolist()
    assert "shifted by +" in contract.data_origin


def test_coins_of_every_hour_never_close(tmp_path: Path) -> None:
    data = MarketData((load_directory(linked(tmp_path, "crypto_hourly_daily/coinbase_btcusd_1h_2017_2019.parquet")),))
    market = Market(data, 7, choose_anchor(at(2019, 3, 2, 12)), at(2019, 3, 2, 12))
    contract = contract_of(market, "BTC")
    assert (contract.security_type, contract.calendar) == ("CRYPTO", "24/7")
    assert contract.data_origin.startswith("real 60-minute bars 2017-07-01..2019-10-17")
    now = at(2019, 3, 3)
    hours = market.bars(contract, "1 hour", at(2019, 3, 2), now, now)
    rows = (
        pd.read_parquet(DATA / "crypto_hourly_daily/coinbase_btcusd_1h_2017_2019.parquet").set_index("ts").sort_index()
    )
    rows = rows.loc["2019-03-02"]
    assert [(bar.open, bar.high, bar.low, bar.close) for bar in hours] == [
        tuple(row) for row in rows[["open", "high", "low", "close"]].to_numpy()
    ]
    assert [bar.volume for bar in hours] == pytest.approx(rows["volume"].tolist())


def test_a_real_session_of_minutes_is_served_to_the_digit(tmp_path: Path) -> None:
    name = "minute_us_equities/spy_1min_2020_12.parquet"
    data = MarketData((load_directory(linked(tmp_path, name)),))
    now = at(2020, 12, 15, 21)
    market = Market(data, 7, choose_anchor(now), now)
    bars = market.bars(contract_of(market, "SPY"), "1 min", at(2020, 12, 15), now, now)
    rows = pd.read_parquet(DATA / name).sort_values("ts")
    rows = rows[(rows["ts"] >= "2020-12-15 14:30Z") & (rows["ts"] < "2020-12-15 21:00Z")]
    assert [(b.ts_utc, b.open, b.high, b.low, b.close, b.volume) for b in bars] == [
        (r.ts.to_pydatetime(), r.open, r.high, r.low, r.close, r.volume) for r in rows.itertuples()
    ]


def test_known_defects_are_refused_with_the_row_they_are_in(tmp_path: Path) -> None:
    name = "daily_us_equities/sp500_2013_2018_kaggle.parquet"
    with (DATA / "known_defects.csv").open() as lines:
        nulls = [row for row in csv.DictReader(lines) if row["dataset"] == name and row["defect"] == "null_ohlcv"]
    with pytest.raises(DatasetError, match=r"no open in \d+ of 619040 rows") as error:
        load_directory(linked(tmp_path, name))
    assert any(f"({row['symbol']} {row['ts']})" in str(error.value) for row in nulls)
