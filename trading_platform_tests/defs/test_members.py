"""Dynamic members under Dagster: recorded as they were known, collected while they belong, never taken from today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.market_data.scans import Scan
from trading_platform.domain.market_data.watch_lists import WatchChange
from trading_platform.storage.watch_changes import WatchChanges
from trading_platform_tests.specs.one_strategy import ONE_STRATEGY
from trading_platform_tests.world import SESSION, World, checks_of, failure_of, metadata_of, world_at

MEMBERS = ("market_data", "movers_members")
RAW = ("market_data", "movers_raw_bars")
VALID = ("market_data", "movers_validated_bars")
UNIVERSE = """
instruments: {{AAPL: {{}}, IBM: {{primary_exchange: NYSE}}, TSLA: {{}}}}
feeds: {{movers: {{bar_size: {bar_size}, symbols: {symbols}, members: {members}}}}}
"""
RATE = "{scanner: {scan_code: TOP_VOLUME_RATE, limit: 3}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of one strategy, whose universe has a feed with members; rewrite it with ``declare``."""
    made = tmp_path / "strategies"
    made.mkdir()
    (made / "one.yaml").write_text(ONE_STRATEGY)
    (made / "watch_lists.yaml").write_text("lists: {mine: {description: Of mine}}")
    declare(made, RATE)
    return made


@pytest.fixture
def world(tmp_path: Path, folder: Path, postgres_url_factory: Callable[..., str], migrated_url: str) -> Iterator[World]:
    """2013-02-28 15:45 in New York; nothing collected yet."""
    with world_at(tmp_path / "home", postgres_url_factory(template=migrated_url), strategies=folder) as made:
        yield made


def declare(folder: Path, members: str, symbols: str = "[AAPL]", bar_size: str = "15 mins") -> None:
    (folder / "universe.yaml").write_text(UNIVERSE.format(members=members, symbols=symbols, bar_size=bar_size))


def tick(world: World, session: str = SESSION) -> object:
    result = world.run("movers_bars", session)
    assert result.success, failure_of(result)
    return result


def ranking(world: World, scan: Scan) -> list[str]:
    with IBKRBroker(IBKRConfig(port=world.gateway.port, client_id=91)) as broker:
        return [row.symbol for row in broker.scan(scan)]


def symbols(world: World, table: tuple[str, str], session: str = SESSION) -> set[str]:
    return set(world.table(*table, session=session)["symbol"])


def watch(world: World, symbol: str, what: str = "added") -> None:
    change = WatchChange("mine", symbol, what, "ann", world.clock.now(), "earnings")  # type: ignore[arg-type]  # a literal
    WatchChanges(world.lake).record(change)


def test_a_tick_records_the_members_and_collects_their_whole_session(world: World) -> None:
    named = ranking(world, Scan("TOP_VOLUME_RATE", limit=3))
    result = tick(world)
    table = world.table(*MEMBERS)
    assert table["symbol"].tolist() == [symbol for symbol in named if symbol != "AAPL"]
    assert set(table["first_seen_utc"]) == {world.clock.now()}
    assert table["left_utc"].isna().all()
    bars = world.table(*VALID).groupby("symbol")["ts_utc"]
    assert set(bars.groups) == {"AAPL", *named}
    assert set(bars.min()) == {datetime(2013, 2, 28, 14, 30, tzinfo=timezone.utc)}, "the whole session"
    assert bars.size().nunique() == 1
    shown = metadata_of(result, *MEMBERS)
    assert [row.data["symbol"] for row in shown[f"members of {SESSION}"].records] == table["symbol"].tolist()
    assert "TOP_VOLUME_RATE at STK.US.MAJOR" in shown[f"members of {SESSION}"].records[0].data["why"]
    assert all(check.passed for check in checks_of(result, *MEMBERS).values())
    assert set(checks_of(result, *MEMBERS)) == {"contract", "scan_answered", "every_member_resolved"}
    assert all(check.passed for check in checks_of(result, *VALID).values()), "no bar of a member is missed"
    assert metadata_of(result, *RAW)["members"] == len(table)


def test_members_are_only_added_within_a_session_and_who_leaves_is_marked(world: World) -> None:
    tick(world)
    seen = world.table(*MEMBERS)
    for _ in range(3):
        world.clock.advance(timedelta(minutes=1))
        tick(world)
        now = world.table(*MEMBERS)
        columns = ["symbol", "rank", "first_seen_utc"]
        assert now[columns].head(len(seen)).equals(seen[columns])
        listed = set(now.loc[now["left_utc"].isna(), "symbol"])
        assert listed == {one for one in ranking(world, Scan("TOP_VOLUME_RATE", limit=3)) if one != "AAPL"}
        seen = now
    assert seen["left_utc"].notna().any()
    assert symbols(world, VALID) == {"AAPL", *seen["symbol"]}, "who left is collected all the same"


def test_a_scan_that_fails_keeps_the_members_warns_and_does_not_stop_the_bars(world: World, folder: Path) -> None:
    tick(world)
    before = world.table(*MEMBERS)
    declare(folder, "{scanner: {scan_code: NO_SUCH_SCAN}}")
    world.clock.advance(timedelta(minutes=5))
    result = tick(world)
    assert world.table(*MEMBERS).equals(before)
    warned = checks_of(result, *MEMBERS)["scan_answered"]
    assert (warned.passed, warned.severity.value) == (False, "WARN")
    assert "NO_SUCH_SCAN" in warned.metadata["failures"].records[0].data["reason"]
    assert symbols(world, VALID) == {"AAPL", *before["symbol"]}


def test_a_first_scan_that_fails_leaves_no_record(world: World, folder: Path) -> None:
    declare(folder, "{scanner: {scan_code: NO_SUCH_SCAN}}")
    result = tick(world)
    assert world.lake.stored_sessions(MEMBERS) == []
    assert symbols(world, VALID) == {"AAPL"}
    assert metadata_of(result, *MEMBERS)["sessions_without_record"] == 1


def test_a_backfill_never_uses_todays_members(world: World) -> None:
    tick(world)
    today = set(world.table(*MEMBERS)["symbol"])
    assert today
    result = world.run("movers_bars", sessions=("2013-02-25", SESSION))
    assert result.success, failure_of(result)
    for session in ("2013-02-25", "2013-02-26", "2013-02-27"):
        assert symbols(world, VALID, session) == {"AAPL"}
    assert symbols(world, VALID) == {"AAPL", *today}
    assert world.lake.stored_sessions(MEMBERS) == [SESSION], "no record is made up for the past"
    facts = metadata_of(result, *MEMBERS)
    assert facts["sessions_without_record"] == 3
    assert "nobody can know it now" in facts["no_record"]
    assert metadata_of(result, *RAW)["sessions_without_member_record"] == 3


def test_a_past_session_is_collected_with_the_members_recorded_then(world: World) -> None:
    tick(world)
    recorded = world.table(*MEMBERS)
    world.clock.set(datetime(2013, 3, 1, 16, 0, tzinfo=timezone.utc))
    tick(world, "2013-03-01")
    new = set(world.table(*MEMBERS, session="2013-03-01")["symbol"])
    assert new != set(recorded["symbol"])
    result = tick(world)
    assert world.table(*MEMBERS).equals(recorded), "its record does not change"
    assert "not at all" in metadata_of(result, *MEMBERS)["looked"]
    assert symbols(world, VALID) == {"AAPL", *recorded["symbol"]}
    assert symbols(world, VALID, "2013-03-01") == {"AAPL", *new}


def test_the_settled_bars_after_the_close_are_those_of_the_sessions_members(world: World) -> None:
    world.clock.set(datetime(2013, 2, 28, 21, 15, tzinfo=timezone.utc))
    tick(world)
    members = set(world.table(*MEMBERS)["symbol"])
    world.clock.set(datetime(2013, 2, 28, 22, 0, tzinfo=timezone.utc))
    tick(world)
    assert set(world.table(*MEMBERS)["symbol"]) == members, "an hour after the close nobody is added"
    bars = world.table(*VALID)
    assert set(bars["symbol"]) == {"AAPL", *members}
    assert bars["is_final"].all()


def test_a_watch_list_feeds_it_and_a_removal_holds_from_the_next_session_on(world: World, folder: Path) -> None:
    declare(folder, "{watch_list: mine}")
    watch(world, "IBM")
    tick(world)
    assert symbols(world, VALID) == {"AAPL", "IBM"}
    assert world.table(*MEMBERS)["why"].tolist() == ["ann: earnings"]
    world.clock.advance(timedelta(minutes=5))
    watch(world, "IBM", "removed")
    tick(world)
    assert world.table(*MEMBERS)["left_utc"].tolist() == [world.clock.now()]
    assert symbols(world, VALID) == {"AAPL", "IBM"}
    world.clock.set(datetime(2013, 3, 1, 16, 0, tzinfo=timezone.utc))
    tick(world, "2013-03-01")
    assert world.table(*MEMBERS, session="2013-03-01").empty
    assert symbols(world, VALID, "2013-03-01") == {"AAPL"}


def test_a_symbol_that_cant_be_resolved_is_shown_and_costs_nobody(world: World, folder: Path) -> None:
    declare(folder, "{watch_list: mine}")
    watch(world, "NOSUCH")
    watch(world, "IBM")
    result = tick(world)
    assert symbols(world, VALID) == {"AAPL", "IBM"}
    warned = checks_of(result, *MEMBERS)["every_member_resolved"]
    assert (warned.passed, warned.severity.value) == (False, "WARN")
    (row,) = warned.metadata["left_out"].records
    assert (row.data["symbol"], row.data["source"]) == ("NOSUCH", "watch list mine")


def test_a_feed_may_have_members_only_and_for_a_while_nobody(world: World, folder: Path) -> None:
    declare(folder, "{watch_list: mine}", symbols="[]")
    tick(world)
    assert world.table(*VALID).empty
    watch(world, "IBM")
    tick(world)
    assert symbols(world, VALID) == {"IBM"}


def test_splits_are_looked_for_of_a_daily_feeds_own_symbols_and_not_of_its_members(world: World, folder: Path) -> None:
    declare(folder, RATE, bar_size="1 day")
    world.clock.set(datetime(2013, 2, 28, 21, 15, tzinfo=timezone.utc))
    tick(world)
    assert len(symbols(world, VALID)) > 1
    result = world.run("splits_and_dividends", None)
    assert result.success, failure_of(result)
    assert checks_of(result, "market_data", "corporate_actions")["every_symbol_compared"].passed


def test_members_come_first_in_the_feeds_own_job_and_no_strategy_reads_them(world: World) -> None:
    repository = world.definitions().get_repository_def()
    graph = repository.asset_graph
    by_name = {"/".join(key.path): key for key in graph.get_all_asset_keys()}
    members, raw = by_name["market_data/movers_members"], by_name["market_data/movers_raw_bars"]
    assert members in graph.get(raw).parent_keys
    assert "features/movers_features" not in by_name
    jobs = {job.name for job in repository.get_all_jobs() if members in job.asset_layer.executable_asset_keys}
    assert jobs - {"__ASSET_JOB"} == {"movers_bars"}
