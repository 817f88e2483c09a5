"""Raw bars under Dagster: ticks, settling, a backfill that is killed, and a vendor that rewrites the past."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from trading_platform.clock import SystemClock
from trading_platform.definitions import build_definitions
from trading_platform.defs.market_data.assets import RANGE_END, RANGE_START
from trading_platform.defs.rewritten_history import REWRITE_TAG
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.paper_gateway.faults import RefuseHistory, RewriteHistory
from trading_platform.settings import ENV_PREFIX, get_settings
from trading_platform.storage.bar_store import BarStore
from trading_platform_tests.defs.conftest import MakeWorld
from trading_platform_tests.world import ACCOUNT, SESSION, World, checks_of, failure_of, metadata_of, world_at

UTC = timezone.utc
MINUTE = ("market_data", "minute_raw_bars")
DAILY = ("market_data", "daily_raw_bars")
REFETCH = "trading_platform/refetch"


def values(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars in a fixed order, without when they were received."""
    return bars.drop(columns="received_at_utc").sort_values(["symbol", "ts_utc"], ignore_index=True)


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[World], list[dg.RunRequest]]]:
    """``sensor(world)``: what the daemon's evaluation of `rewritten_history` asks for in that world."""

    def evaluate(world: World) -> list[dg.RunRequest]:
        offset = SystemClock.starting_at(world.clock.now()).offset.total_seconds()
        wanted = {"home": world.home, "clock_offset_seconds": offset, "as_of_session": world.settings.as_of_session}
        for name, value in wanted.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
        get_settings.cache_clear()
        (one,) = [one for one in build_definitions(get_settings()).sensors or () if one.name == "rewritten_history"]
        with dg.build_sensor_context(world.instance, resources={"lake": world.lake_resource}) as context:
            return list(one.evaluate_tick(context).run_requests or ())  # type: ignore[union-attr]  # a sensor of ours

    yield evaluate
    get_settings.cache_clear()


def carry_out(world: World, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """The run that the daemon would start."""
    tags = dict(request.tags)
    ranged = (tags.pop(RANGE_START), tags.pop(RANGE_END)) if RANGE_START in tags else None
    assets = [key.path for key in request.asset_selection] if request.asset_selection else None
    result = world.run(str(request.job_name), None, assets=assets, tags=tags, sessions=ranged)
    assert result.success, failure_of(result)
    return result


def test_a_tick_asks_for_little_and_says_so(own_world: MakeWorld) -> None:
    world = own_world()
    first = metadata_of(world.run("minute_bars", assets=[MINUTE]), *MINUTE)
    world.clock.advance(timedelta(minutes=1))
    result = world.run("minute_bars", assets=[MINUTE])
    tick = metadata_of(result, *MINUTE)
    assert (first["bars_received"], tick["bars_received"]) == (25 * 375, 25 * 4)
    assert (tick["rows"], tick["symbols"]) == (25 * 376, 25)
    assert tick["lake_version"] == world.lake.versions(MINUTE, SESSION)[0].version
    assert checks_of(result, *MINUTE)["nothing_rewritten"].passed
    assert checks_of(result, *MINUTE)["contract"].passed


def test_a_bad_symbol_is_reported_keeps_its_bars_and_catches_up(own_world: MakeWorld) -> None:
    world = own_world()
    world.run("minute_bars", assets=[MINUTE])
    world.gateway.faults.add(RefuseHistory("IBM"))
    world.clock.advance(timedelta(minutes=3))
    result = world.run("minute_bars", assets=[MINUTE])
    assert result.success, failure_of(result)
    told = checks_of(result, *MINUTE)["every_symbol_answered"]
    assert [record.data["symbol"] for record in told.metadata["failures"].records] == ["IBM"]
    assert len(world.table(*MINUTE).query("symbol == 'IBM'")) == 375
    world.gateway.faults.clear()
    world.clock.advance(timedelta(minutes=1))
    world.run("minute_bars", assets=[MINUTE])
    assert set(world.table(*MINUTE).groupby("symbol").size()) == {379}


def test_settling_replaces_the_sessions_ticks_and_shows_what_it_changed(own_world: MakeWorld) -> None:
    world = own_world()
    key = ("market_data", "tsla_raw_bars")
    world.run("tsla_bars", assets=[key])
    world.clock.advance(timedelta(minutes=30))
    opened = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
    world.gateway.faults.add(RewriteHistory("TSLA", volume_factor=2, start=opened, end=opened + timedelta(minutes=5)))
    result = world.run("tsla_bars", assets=[key])
    told = checks_of(result, *key)["nothing_rewritten"]
    assert (told.passed, told.severity.value) == (False, "WARN")
    (row,) = told.metadata["rows"].records
    assert (row.data["symbol"], row.data["kind"], row.data["found_in"]) == ("TSLA", "revised", "settling")
    assert "volume" in row.data["detail"]
    bars = world.table(*key)
    assert (len(bars), set(bars["received_at_utc"])) == (78, {pd.Timestamp(world.clock.now())})


def test_a_person_asks_again_by_tag_or_in_the_launchpad(own_world: MakeWorld) -> None:
    world = own_world()
    span = ("2013-02-25", "2013-02-27")
    assert metadata_of(world.run("daily_bars", assets=[DAILY], sessions=span), *DAILY)["requests"] == 0
    tagged = world.run("daily_bars", assets=[DAILY], sessions=span, tags={REFETCH: "IBM, AAPL"})
    assert metadata_of(tagged, *DAILY)["symbol_sessions_asked"] == 6
    job = world.definitions().resolve_job_def("daily_bars")
    result = job.execute_in_process(
        instance=world.instance,
        asset_selection=[dg.AssetKey(DAILY)],
        tags={RANGE_START: span[0], RANGE_END: span[1]},
        run_config={"ops": {"market_data__daily_raw_bars": {"config": {"refetch": "all"}}}},
    )
    assert metadata_of(result, *DAILY)["symbol_sessions_asked"] == 15


BACKFILL = """
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from trading_platform.clock import ManualClock
from trading_platform.domain.market_data import history
from trading_platform.settings import Settings
from trading_platform_tests.world import World

history.longest_request = lambda *_: 1  # a piece is a session, and the test is short
home, moment, session, port, account, ledger, first, last = sys.argv[1:]
settings = Settings(
    _env_file=None, home=home, as_of_session=session, ibkr_port=port, ibkr_account=account, ledger_database_url=ledger
)
gateway = SimpleNamespace(port=int(port))
world = World(Path(home), ManualClock(datetime.fromisoformat(moment)), gateway, settings, ledger)
print(world.run("minute_bars", assets=[("market_data", "minute_raw_bars")], sessions=(first, last)).success)
"""


def test_a_backfill_that_is_killed_carries_on_where_it_stopped(own_world: MakeWorld) -> None:
    world = own_world()
    first, last = "2013-02-19", "2013-02-26"
    own = (world.home, world.clock.now().isoformat(), SESSION, world.gateway.port, ACCOUNT, world.ledger_url)
    arguments = [*map(str, own), first, last]
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", BACKFILL, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while len(world.lake.stored_sessions(MINUTE)) < 2 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    done = world.lake.stored_sessions(MINUTE)
    assert 2 <= len(done) < 6
    kept = {session: world.lake.versions(MINUTE, session)[0].version for session in done}
    result = world.run("minute_bars", assets=[MINUTE], sessions=(first, last))
    assert result.success, failure_of(result)
    told = metadata_of(result, *MINUTE)
    assert told["symbol_sessions_asked"] == 25 * (6 - len(done))
    assert told["requests"] == 25  # one covers all that is missing of a symbol
    assert {session: world.lake.versions(MINUTE, session)[0].version for session in done} == kept
    rows = {
        event.partition: event.step_materialization_data.materialization.metadata["rows"].value
        for event in result.all_events
        if event.is_step_materialization
    }
    sessions = world.lake.stored_sessions(MINUTE)
    assert rows == dict.fromkeys(sessions, 25 * 390)
    resumed = values(world.lake.read_sessions(MINUTE, sessions))
    again = world.run("minute_bars", assets=[MINUTE], sessions=(first, last), tags={REFETCH: "all"})
    assert checks_of(again, *MINUTE)["nothing_rewritten"].passed
    pd.testing.assert_frame_equal(resumed, values(world.lake.read_sessions(MINUTE, sessions)))


class TestASplitThatTheVendorAdjustsFor:
    """Apple's two for one of 2005-02-28, with a vendor that halves the past that day, as IBKR does."""

    EX = "2005-02-28"
    HALVED = RewriteHistory("AAPL", price_factor=0.5, volume_factor=2, end=datetime(2005, 2, 28, tzinfo=UTC))

    @pytest.fixture
    def world(self, tmp_path: Path, postgres_url_factory: Callable[..., str], migrated_url: str) -> Iterator[World]:
        """A quarter of an hour before the close of the ex-session, the past stored on the Friday before."""
        before = datetime(2005, 2, 25, 22, tzinfo=UTC)
        with world_at(tmp_path, postgres_url_factory(template=migrated_url), before, "DU20050225") as made:
            made.fetch_history("daily")
            assert made.run("daily_bars", "2005-02-25").success
            made.clock.set(datetime(2005, 2, 28, 20, 45, tzinfo=UTC))
            made.gateway.faults.add(self.HALVED)
            yield made

    def test_it_is_shown_learned_and_never_adjusted_twice(
        self, world: World, sensor: Callable[[World], list[dg.RunRequest]]
    ) -> None:
        past = world.lake.stored_sessions(DAILY)
        before = world.lake.read_sessions(DAILY, past)
        tick = world.run("daily_bars", self.EX)
        assert tick.success, failure_of(tick)
        told = checks_of(tick, *DAILY)["nothing_rewritten"]
        assert not told.passed
        assert {record.data["kind"] for record in told.metadata["rows"].records} == {"rescaled"}
        splits, again = sensor(world)
        assert (splits.job_name, again.job_name) == ("splits_and_dividends", "daily_bars")
        assert again.tags[REFETCH] == "AAPL"
        carry_out(world, splits)
        result = carry_out(world, again)
        assert checks_of(result, *DAILY)["nothing_rewritten"].passed  # the split is known by now, and explains it
        pd.testing.assert_frame_equal(world.lake.read_sessions(DAILY, past), before)
        assert sensor(world) == []
        world.run("daily_bars", self.EX)
        features = world.table("features", "daily_features", session=self.EX).set_index("symbol")
        assert abs(features.loc["AAPL", "return_5"]) < 0.2
        world.clock.set(datetime(2005, 2, 28, 21, 30, tzinfo=UTC))
        assert world.run("daily_bars", self.EX).success
        world.clock.set(datetime(2005, 3, 1, 21, 30, tzinfo=UTC))
        assert world.run("daily_bars", "2005-03-01").success
        assert sensor(world) == []


class TestAVendorThatCorrectsThePast:
    START = datetime(2013, 2, 25, tzinfo=UTC)

    @pytest.fixture
    def world(self, own_world: MakeWorld) -> World:
        """The history was fetched on the session before this one; today has not closed."""
        world = own_world()
        sessions = world.lake.stored_sessions(DAILY)
        bars = world.lake.read_sessions(DAILY, sessions)
        stamp = pd.Timestamp("2013-02-27T22:00Z").as_unit("ns")
        world.lake.write_sessions(DAILY, bars.assign(received_at_utc=stamp), sessions)
        return world

    def correct(self, world: World, factor: float) -> None:
        world.gateway.faults.clear()
        fault = RewriteHistory("IBM", volume_factor=factor, start=self.START, end=self.START + timedelta(days=2))
        world.gateway.faults.add(fault)

    def stored(self, world: World, session: str = "2013-02-25") -> float:
        return float(world.table(*DAILY, session=session).set_index("symbol").loc["IBM", "volume"])

    def test_it_is_asked_for_again_once_and_believed(
        self, world: World, sensor: Callable[[World], list[dg.RunRequest]]
    ) -> None:
        before = self.stored(world)
        self.correct(world, 2)
        assert sensor(world) == []
        tick = world.run("daily_bars")
        assert metadata_of(tick, *DAILY)["bars_revised"] == 2
        assert self.stored(world) == before  # another session's bars are not this run's to write
        (request,) = sensor(world)
        assert request.tags[REFETCH] == "IBM"
        feed: Feed = world.feed("daily")
        world.clock.advance(timedelta(minutes=1))
        result = carry_out(world, request)
        assert metadata_of(result, *DAILY)["symbol_sessions_asked"] == feed.history_sessions
        assert self.stored(world) == 2 * before
        kept = BarStore(world.lake, "daily").revisions(["2013-02-25"])
        assert list(kept["found_in"]) == ["overlap", "refetch"]
        assert sensor(world) == []
        assert set(world.table("market_data", "daily_quarantined_bars", session="2013-02-25")["reason"]) == {
            "vendor_revision"
        }

    def test_one_who_never_says_the_same_twice_is_not_asked_for_ever(
        self, world: World, sensor: Callable[[World], list[dg.RunRequest]]
    ) -> None:
        self.correct(world, 2)
        world.run("daily_bars")
        (request,) = sensor(world)
        self.correct(world, 3)
        carry_out(world, request)
        assert sensor(world) == []

    def test_a_run_that_failed_is_tried_again_after_a_while_and_not_more_than_twice(
        self, world: World, sensor: Callable[[World], list[dg.RunRequest]]
    ) -> None:
        self.correct(world, 2)
        world.run("daily_bars")
        keys = set()
        for wait in (11, 21, 400):  # the sensor's clock goes on while it works
            (request,) = sensor(world)
            keys.add(request.run_key)
            world.instance.add_run(
                dg.DagsterRun(
                    "daily_bars", tags=dict(request.tags), status=dg.DagsterRunStatus.FAILURE, run_id=f"{wait}"
                )
            )
            assert sensor(world) == []
            world.clock.advance(timedelta(minutes=wait))
        assert len(keys) == 3
        assert sensor(world) == []
        assert request.tags[REWRITE_TAG].startswith("as-of-2013-02-28:daily:")


def test_a_range_that_begins_before_a_symbol_was_listed_has_its_later_bars(
    tmp_path: Path, postgres_url_factory: Callable[..., str], migrated_url: str
) -> None:
    """Facebook traded from 2012-05-18 on."""
    moment = datetime(2012, 6, 1, 21, tzinfo=UTC)
    with world_at(tmp_path, postgres_url_factory(template=migrated_url), moment, "DU20120601") as world:
        result = world.run("daily_bars", assets=[DAILY], sessions=("2010-01-04", "2012-05-31"))
        assert result.success, failure_of(result)
        assert checks_of(result, *DAILY)["every_symbol_answered"].passed
        known: Any = world.lake.read_sessions(DAILY, world.lake.stored_sessions(DAILY), symbols=["FB"])
        assert known["session"].min() == "2012-05-18"
