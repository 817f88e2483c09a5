"""A feed from somebody's files under Dagster: bars without a broker, and orders only while the files keep up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.instruments import Instrument
from trading_platform.specs.loader import SHIPPED
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import SESSION, World, checks_of, failure_of, metadata_of

RAW = ("market_data", "tsla_raw_bars")
VALID = ("market_data", "tsla_validated_bars")
BAD = ("market_data", "tsla_quarantined_bars")
INTENTS = ("orders", "tsla_order_intents")
ORDERS = ("orders", "tsla_orders")
SIGNALS = ("signals", "tsla_signals")
SESSIONS = ["2013-02-25", "2013-02-26", "2013-02-27"]
IN_PLACE_OF_THE_BROKERS = {"dagster/backfill": "one", "trading_platform/refetch": "all"}
SOURCES = """
sources:
  vendor:
    directory: {{location: {folder}, files: "{{symbol}}.csv"}}
    bar_size: 5 mins
    stamps: end
    time_zone: America/New_York
    prices: as_traded
    columns: {{stamp: Time}}
feeds:
  tsla: vendor
"""


def write(folder: Path, bars: pd.DataFrame, symbol: str = "TSLA") -> None:
    """The bars as a vendor writes them: stamped with their ends, on New York's clock."""
    local = bars["ts_utc"].dt.tz_convert("America/New_York").dt.tz_localize(None) + pd.Timedelta(minutes=5)
    columns = bars[["open", "high", "low", "close", "volume"]].assign(Time=local)
    columns.to_csv(folder / f"{symbol}.csv", index=False)


@pytest.fixture
def stored(world: World) -> pd.DataFrame:
    """What the broker sent of TSLA."""
    return pd.concat([world.table(*RAW, session=day) for day in SESSIONS], ignore_index=True)


def specs_of(home: Path, *symbols: str) -> Path:
    """Specs of the strategy ``tsla`` for ``symbols``, whose bars come from the directory beside them."""
    specs, folder = home / "specs", home / "bars"
    specs.mkdir()
    folder.mkdir()
    spec = (SHIPPED / "strategies" / "tsla.yaml").read_text().replace("[TSLA]", f"[{', '.join(symbols)}]")
    (specs / "tsla.yaml").write_text(spec)
    (specs / "sources.yaml").write_text(SOURCES.format(folder=folder))
    return specs


@pytest.fixture
def vendors_world(own_world: MakeWorld, stored: pd.DataFrame, tmp_path: Path) -> World:
    """A world whose feed ``tsla`` comes from a directory with the three sessions before the current one."""
    specs = specs_of(tmp_path, "TSLA")
    write(tmp_path / "bars", stored)
    return own_world(strategies=specs)


def test_a_backfill_of_a_range_needs_no_broker(vendors_world: World, stored: pd.DataFrame) -> None:
    world = vendors_world
    world.gateway.stop_in_thread()
    result = world.run(
        "tsla_bars", assets=[RAW, VALID, BAD], sessions=(SESSIONS[0], SESSIONS[-1]), tags=IN_PLACE_OF_THE_BROKERS
    )
    assert result.success, failure_of(result)
    columns = ["symbol", "session", "ts_utc", "open", "high", "low", "close", "volume"]
    for key in (RAW, VALID):
        bars = pd.concat([world.table(*key, session=day) for day in SESSIONS], ignore_index=True)
        pd.testing.assert_frame_equal(bars[columns], stored[columns])
        assert set(bars["source"]) == {"vendor (directory)"}
    assert all(world.table(*BAD, session=day).empty for day in SESSIONS)
    said = metadata_of(result, *RAW)
    assert (said["sources"], said["requests"]) == ({"vendor (directory)": 234}, 1)
    assert checks_of(result, *VALID)["no_bars_missing"].passed


def test_rows_that_no_session_holds_are_counted_and_shown(vendors_world: World, stored, tmp_path: Path) -> None:
    saturday = stored[stored["session"] == SESSIONS[0]].assign(ts_utc=lambda own: own["ts_utc"] - pd.Timedelta(days=2))
    write(tmp_path / "bars", pd.concat([stored, saturday]))
    result = vendors_world.run(
        "tsla_bars", assets=[RAW], sessions=("2013-02-22", SESSIONS[-1]), tags=IN_PLACE_OF_THE_BROKERS
    )
    (row,) = metadata_of(result, *RAW)["rows_left_out"].records
    assert row.data == {"symbol": "TSLA", "source": "vendor", "reason": "on a day without a session", "rows": 78}


def test_the_asset_says_where_its_bars_come_from_and_waits_for_no_broker(vendors_world: World) -> None:
    graph = vendors_world.definitions().resolve_asset_graph()
    node = graph.get(dg.AssetKey(RAW))
    assert node.description.startswith("As received from vendor")
    assert "directory" in node.kinds
    assert "ibkr" not in node.kinds
    assert node.pools == set()


class TestTrading:
    """Orders and quotes are the broker's whatever the bars' source; late files stop orders by themselves."""

    SYMBOLS = ("AMD", "AMZN", "BAC", "NFLX", "NVDA", "QCOM", "TSLA", "XOM")

    @pytest.fixture
    def trading(self, own_world: MakeWorld, tmp_path: Path) -> World:
        """A strategy for eight symbols, with a file for each that ends with the newest bar that has ended."""
        world = own_world(strategies=specs_of(tmp_path, *self.SYMBOLS))
        with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=91)) as broker:
            for symbol in self.SYMBOLS:
                bars = broker.historical_bars(Instrument(symbol), end=None, duration="6 D", bar_size="5 mins")
                write(tmp_path / "bars", bars, symbol)
        assert world.run("tsla_bars", sessions=(SESSIONS[0], SESSIONS[-1])).success
        return world

    def late(self, home: Path, *symbols: str) -> None:
        """Take the newest bar from the files."""
        for symbol in symbols:
            file = home / "bars" / f"{symbol}.csv"
            file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))

    def test_files_that_keep_up_lead_to_orders(self, trading: World) -> None:
        result = trading.run("tsla_agent")
        assert result.success, failure_of(result)
        assert list(trading.table(*ORDERS)["symbol"]) == ["AMD"]
        assert trading.orders_at_broker() == 1
        assert set(trading.table(*RAW)["source"]) == {"vendor (directory)"}

    def test_files_that_are_late_get_no_order(self, trading: World, tmp_path: Path) -> None:
        self.late(tmp_path, *self.SYMBOLS)
        result = trading.run("tsla_agent")
        assert result.success, failure_of(result)
        intents = trading.table(*INTENTS).set_index("symbol")
        assert "FreshBars" in intents.loc["AMD", "reason_codes"]
        assert trading.orders_at_broker() == 0

    def test_a_symbol_whose_file_is_late_beside_others_has_no_signal(self, trading: World, tmp_path: Path) -> None:
        self.late(tmp_path, "AMD")
        result = trading.run("tsla_agent")
        assert result.success, failure_of(result)
        assert set(trading.table(*SIGNALS)["symbol"]) == set(self.SYMBOLS) - {"AMD"}
        assert trading.orders_at_broker() == 0


class TestADailyFeed:
    """The strategy ``momentum`` on a file with the closes of all its symbols, today's included."""

    @pytest.fixture
    def daily_world(self, own_world: MakeWorld, world: World, tmp_path: Path) -> World:
        specs, folder = tmp_path / "specs", tmp_path / "bars"
        specs.mkdir()
        folder.mkdir()
        daily = world.lake.read_sessions(("market_data", "daily_raw_bars"), SESSIONS)
        today = daily[daily["session"] == SESSIONS[-1]].assign(session=SESSION)
        pd.concat([daily, today]).to_csv(folder / "all.csv", index=False)
        (specs / "momentum.yaml").write_text((SHIPPED / "strategies" / "momentum.yaml").read_text())
        text = SOURCES.format(folder=folder).replace("stamps: end", "stamps: date").replace("5 mins", "1 day")
        text = text.replace("{symbol}.csv", "all.csv").replace("Time", "session").replace("tsla:", "daily:")
        (specs / "sources.yaml").write_text(text)
        return own_world(strategies=specs)

    def test_gets_no_order_since_the_sessions_bar_is_not_known_before_its_close(self, daily_world: World) -> None:
        result = daily_world.run("momentum_agent")
        assert not result.success
        assert "1 row(s) had not ended yet" in failure_of(result)
        assert daily_world.orders_at_broker() == 0

    def test_has_the_session_once_it_has_closed(self, daily_world: World) -> None:
        daily_world.clock.advance(timedelta(hours=1))
        result = daily_world.run("daily_bars")
        assert result.success, failure_of(result)
        bars = daily_world.table("market_data", "daily_validated_bars")
        assert (len(bars), set(bars["source"])) == (5, {"vendor (directory)"})

    def test_learns_no_splits_from_another_vendors_closes(self, daily_world: World) -> None:
        result = daily_world.run("splits_and_dividends", None)
        assert result.success, failure_of(result)
        key = ("market_data", "corporate_actions")
        assert daily_world.lake.read_table(key).empty
        compared = checks_of(result, *key)["every_symbol_compared"]
        assert (compared.passed, compared.severity.value) == (False, "WARN")
        rows = [record.data for record in compared.metadata["failures"].records]
        assert len(rows) == 5
        assert rows[0] == {"symbol": "AAPL", "reason": "its bars come from vendor"}
