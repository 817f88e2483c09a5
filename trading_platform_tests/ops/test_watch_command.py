"""`trading-platform watch`: lists are changed without touching a file, and it is kept who did it and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from trading_platform.cli import main
from trading_platform.settings import ENV_PREFIX, get_settings
from trading_platform.storage.lake import Lake
from trading_platform.storage.watch_changes import WatchChanges
from trading_platform_tests.specs.one_strategy import ONE_STRATEGY

UNIVERSE = """
instruments: {AAPL: {}, IBM: {}}
feeds: {movers: {bar_size: 5 mins, members: {watch_list: mine}}}
"""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """An empty lake, and two lists beside the strategies: ``mine``, which a feed reads, and ``default``."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "universe.yaml").write_text(UNIVERSE)
    (folder / "one.yaml").write_text(ONE_STRATEGY)
    (folder / "watch_lists.yaml").write_text("lists: {mine: {description: Of mine, symbols: [IBM]}, default: {}}")
    monkeypatch.setenv(f"{ENV_PREFIX}HOME", str(tmp_path / "home"))
    monkeypatch.setenv(f"{ENV_PREFIX}LAKE_URL", str(tmp_path / "lake"))
    monkeypatch.setenv(f"{ENV_PREFIX}STRATEGIES", str(folder))
    get_settings.cache_clear()
    yield Lake(str(tmp_path / "lake"))
    get_settings.cache_clear()


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["watch", *arguments])
    return result.exit_code, result.output


def test_symbols_are_added_with_who_and_why_and_listed(lake: Lake) -> None:
    status, text = call("add", "aapl", "acme", "--list", "mine", "--reason", "earnings", "--by", "ann")
    assert status == 0, text
    assert "AAPL added to mine\n" in text
    assert "ACME added to mine; universe.yaml does not know it: it will be looked up as a US stock" in text
    assert "movers will see it at the next tick" in text
    changes = WatchChanges(lake).of("mine")
    assert [(one.symbol, one.change, one.who, one.why) for one in changes] == [
        ("AAPL", "added", "ann", "earnings"),
        ("ACME", "added", "ann", "earnings"),
    ]
    _, listed = call("list")
    assert "mine: 3 symbols, read by movers" in listed
    assert "IBM          by watch_lists.yaml: Of mine" in listed
    assert "AAPL         by ann at 20" in listed
    assert "default: 0 symbols, no feed reads it" in listed


def test_a_symbol_is_taken_off_also_when_the_file_put_it_there(lake: Lake) -> None:
    assert call("remove", "IBM", "--list", "mine", "--reason", "sold")[0] == 0
    assert "mine: 0 symbols" in call("list", "--list", "mine")[1]
    (change,) = WatchChanges(lake).of("mine")
    assert (change.change, "@" in change.who) == ("removed", True)


def test_what_is_on_the_list_is_not_added_again(lake: Lake) -> None:
    status, text = call("add", "IBM", "--list", "mine", "--reason", "again")
    assert (status, "IBM is on mine already" in text) == (0, True)
    assert WatchChanges(lake).of("mine") == []


def test_a_list_that_no_feed_reads_says_so(lake: Lake) -> None:
    assert "no feed reads default: name it in universe.yaml" in call("add", "FB", "--reason", "x")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "FB", "--reason", "x", "--list", "mien"), "there is no watch list 'mien' (did you mean mine?)"),
        (("add", "FB", "NO/SUCH", "--reason", "x"), "'NO/SUCH' is no ticker"),
        (("add", "FB", "--reason", " "), "needs a reason"),
        (("add", "FB"), "Missing option '--reason'"),
        (("add", "--reason", "x"), "Missing argument 'SYMBOL…'"),
        (("remove", "IBN", "--list", "mine", "--reason", "x"), "IBN is not on mine (did you mean IBM?)"),
        (("list", "--list", "nobody"), "there is no watch list 'nobody'; known: default, mine"),
    ],
)
def test_what_can_not_be_done_is_refused_in_words_and_changes_nothing(
    lake: Lake, arguments: tuple[str, ...], message: str
) -> None:
    status, text = call(*arguments)
    assert status != 0
    assert message in text
    assert WatchChanges(lake).of("mine") == WatchChanges(lake).of("default") == []
