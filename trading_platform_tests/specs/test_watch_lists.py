"""Watch lists as a file, and the feeds of the universe that take them or a scan as their members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.market_data.members import MembersSpec
from trading_platform.domain.market_data.scans import Scan
from trading_platform.specs.loader import load_strategy_specs, load_universe, narrow_ingest
from trading_platform.specs.parsing import SpecError
from trading_platform.specs.watch_lists import load_watch_lists
from trading_platform_tests.specs.one_strategy import ONE_STRATEGY

LISTS = "lists: {mine: {description: Of mine, symbols: [AAPL, BRK B]}, empty: {}}"
UNIVERSE = """
instruments: {AAPL: {}, BTC: {security_type: CRYPTO, exchange: PAXOS, calendar: 24/7}}
feeds:
  movers:
    bar_size: 5 mins
    symbols: [AAPL]
    members:
      watch_list: mine
      scanner: {scan_code: TOP_PERC_GAIN, filters: {above_price: 5, above_volume: 100000}, limit: 20}
      max_members: 30
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "universe.yaml").write_text(UNIVERSE)
    (tmp_path / "watch_lists.yaml").write_text(LISTS)
    return tmp_path


def test_the_shipped_file_has_a_list_to_begin_with() -> None:
    assert load_watch_lists()["default"].symbols == ()


def test_lists_are_read_with_their_symbols_and_meaning(folder: Path) -> None:
    mine = load_watch_lists(folder)["mine"]
    assert (mine.symbols, mine.description, mine.file) == (("AAPL", "BRK B"), "Of mine", "watch_lists.yaml")
    assert load_watch_lists(folder)["empty"].symbols == ()


def test_a_folder_without_the_file_has_the_shipped_lists(tmp_path: Path) -> None:
    assert load_watch_lists(tmp_path) == load_watch_lists()


def test_the_file_beside_the_strategies_is_no_strategy(folder: Path) -> None:
    (folder / "one.yaml").write_text(ONE_STRATEGY)
    assert [spec.name for spec in load_strategy_specs(folder)] == ["one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lists: {}", "lists: .*at least 1 item"),
        ("lists: {Mine: {}}", r"watch_lists.yaml: lists.Mine: a list's name has up to 20 small letters"),
        ("lists: {mine: {symbols: [aapl]}}", "lists.mine.symbols: 'aapl' is no ticker: up to 12 capital letters"),
        ("lists: {mine: {symbols: [FB, FB]}}", "lists.mine.symbols: names FB twice"),
        ("lists: {mine: {symbol: [FB]}}", r"lists.mine.symbol: unknown key .did you mean symbols"),
        ("lists: [FB]", "lists: .*dictionary"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "watch_lists.yaml").write_text(text)
    with pytest.raises(SpecError, match=message):
        load_watch_lists(tmp_path)


def test_a_feed_says_where_its_members_come_from(folder: Path) -> None:
    (feed,) = load_universe(folder).feeds
    scan = Scan("TOP_PERC_GAIN", "STK.US.MAJOR", above_price=5, above_volume=100_000, limit=20)
    assert feed.members == MembersSpec("mine", scan, 30)
    assert feed.rows_per_session == 31 * replace(feed, symbols=("AAPL",), members=None).rows_per_session


def test_a_feed_may_have_members_only(folder: Path) -> None:
    (folder / "universe.yaml").write_text(UNIVERSE.replace("    symbols: [AAPL]\n", ""))
    universe = load_universe(folder)
    assert [feed.symbols for feed in feeds_of((), universe.feeds)] == [()]


def test_a_narrowed_feed_has_no_members(folder: Path) -> None:
    (feed,) = narrow_ingest(load_universe(folder), ["AAPL"]).feeds
    assert (feed.symbols, feed.members) == (("AAPL",), None)
    assert feeds_of((), narrow_ingest(load_universe(folder), ["MSFT"]).feeds) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("watch_list: mine", "watch_list: mien", r"feeds.movers.members.watch_list: there is no list 'mien' in .*mine"),
        ("TOP_PERC_GAIN", "top gainers", r"members.scanner.scan_code: String should match"),
        ("limit: 20", "limit: 51", r"members.scanner.limit: Input should be less than or equal to 50"),
        ("max_members: 30", "max_members: 1000", r"members.max_members: Input should be less than or equal to 100"),
        ("above_price", "over_price", r"filters.over_price: unknown key .did you mean above_price"),
        ("limit: 20", "location: STK.EU", r"members.scanner.location: String should match"),
        (
            "    symbols: [AAPL]\n",
            "    calendar: 24/7\n    symbols: [BTC]\n",
            r"members.scanner: scans find US stocks, which trade on XNYS, but the feed's calendar is 24/7",
        ),
    ],
)
def test_a_mistake_in_a_feeds_members_is_named(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "universe.yaml").write_text(UNIVERSE.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_universe(folder)


def test_members_need_a_source(folder: Path) -> None:
    (folder / "universe.yaml").write_text(
        "{instruments: {AAPL: {}}, feeds: {movers: {bar_size: 1 min, members: {max_members: 3}}}}"
    )
    with pytest.raises(SpecError, match=r"feeds.movers.members: members come from a watch_list, a scanner, or both"):
        load_universe(folder)
