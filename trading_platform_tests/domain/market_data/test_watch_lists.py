from __future__ import annotations

from datetime import datetime, timedelta, timezone

from trading_platform.domain.market_data.watch_lists import WatchChange, WatchList, watched

NOON = datetime(2013, 2, 28, 17, tzinfo=timezone.utc)
LIST = WatchList("default", ("AAPL", "IBM"), "Blue chips", "watch_lists.yaml")


def change(symbol: str, what: str, minutes: int, watch_list: str = "default") -> WatchChange:
    return WatchChange(watch_list, symbol, what, "ann", NOON + timedelta(minutes=minutes), "because")  # type: ignore[arg-type]  # a literal


def symbols(*changes: WatchChange, minutes: int = 60) -> list[str]:
    return [one.symbol for one in watched(LIST, changes, NOON + timedelta(minutes=minutes))]


def test_a_list_begins_with_what_the_file_says() -> None:
    assert symbols() == ["AAPL", "IBM"]
    (first, _) = watched(LIST, [], NOON)
    assert (first.who, first.at, first.why) == ("watch_lists.yaml", None, "Blue chips")


def test_changes_add_and_remove_also_what_the_file_says() -> None:
    assert symbols(change("FB", "added", 1), change("IBM", "removed", 2)) == ["AAPL", "FB"]
    assert symbols(change("IBM", "removed", 1), change("IBM", "added", 2)) == ["AAPL", "IBM"]


def test_what_is_added_says_who_did_it_when_and_why() -> None:
    newest = watched(LIST, [change("FB", "added", 1), change("FB", "added", 5)], NOON + timedelta(minutes=9))[-1]
    assert (newest.symbol, newest.who, newest.at, newest.why) == ("FB", "ann", NOON + timedelta(minutes=1), "because")


def test_a_change_is_not_seen_before_it_was_made() -> None:
    later = change("FB", "added", 10)
    assert "FB" not in symbols(later, minutes=9)
    assert "FB" in symbols(later, minutes=10)


def test_the_order_in_which_changes_are_read_does_not_matter_and_a_removal_wins_at_the_same_instant() -> None:
    both = [change("FB", "added", 1), change("FB", "removed", 1)]
    assert symbols(*both) == symbols(*reversed(both)) == ["AAPL", "IBM"]


def test_other_lists_have_their_own_changes() -> None:
    assert symbols(change("FB", "added", 1, "other")) == ["AAPL", "IBM"]
