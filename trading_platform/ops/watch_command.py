"""``trading-platform watch``: see and change watch lists. Needs only the lake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from trading_platform.domain.market_data.watch_lists import MOST_SYMBOLS, SYMBOL, WatchChange, Watched, watched
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.ops import local
from trading_platform.ops.kill_switch_command import who
from trading_platform.settings import get_settings
from trading_platform.specs.configured import configured_feeds
from trading_platform.specs.loader import load_universe
from trading_platform.specs.watch_lists import load_watch_lists

if TYPE_CHECKING:
    from trading_platform.domain.market_data.watch_lists import Change, WatchList
    from trading_platform.storage.lake import Lake


class WatchError(RuntimeError):
    """What was asked for can't be done; the message says why. Nothing was changed."""


def show(*, as_of: datetime | None, name: str | None) -> int:
    """List every watch list (or one) with its symbols: who put each there, when and why; and the feeds that read it."""
    with local.environment_restored():
        lake, lists = _open(as_of)
        now = get_settings().clock.now()
        feeds = configured_feeds(get_settings())
        for one in [_list(lists, name)] if name is not None else lists.values():
            readers = [feed.name for feed in feeds if feed.members is not None and feed.members.watch_list == one.name]
            listed = _watched(lake, one, now)
            read = f"read by {', '.join(readers)}" if readers else "no feed reads it"
            click.echo(f"{one.name}: {len(listed)} symbols, {read}")
            for symbol in listed:
                since = f" at {symbol.at:%Y-%m-%d %H:%M} UTC" if symbol.at is not None else ""
                click.echo(f"  {symbol.symbol:12} by {symbol.who}{since}: {symbol.why}")
    return 0


def change(symbols: Sequence[str], what: Change, *, as_of: datetime | None, name: str, why: str, by: str | None) -> int:
    """Put symbols on a list, or take them off; say what was changed.

    Raises:
        WatchError: nothing was changed: there is no such list, a symbol is no ticker or not on the list, no reason is
            given, or the list would be too long.
    """
    from trading_platform.storage.watch_changes import WatchChanges

    wanted = list(dict.fromkeys(symbol.strip().upper() for symbol in symbols))
    for symbol in wanted:
        if SYMBOL.fullmatch(symbol) is None:
            msg = f"{symbol!r} is no ticker: up to 12 letters, digits, periods, spaces and dashes"
            raise WatchError(msg)
    if not why.strip():
        msg = "a change of a watch list needs a reason"
        raise WatchError(msg)
    with local.environment_restored():
        lake, lists = _open(as_of)
        settings = get_settings()
        watch_list, now = _list(lists, name), settings.clock.now()
        on_it = {one.symbol for one in _watched(lake, watch_list, now)}
        if what == "removed":
            _require(wanted, on_it, watch_list)
            due = wanted
        else:
            due = [symbol for symbol in wanted if symbol not in on_it]
            if len(on_it) + len(due) > MOST_SYMBOLS:
                msg = f"the list {name} would have {len(on_it) + len(due)} symbols; {MOST_SYMBOLS} at most"
                raise WatchError(msg)
        known = load_universe(settings.strategies).instruments
        feeds = [feed for feed in configured_feeds(settings) if feed.members and feed.members.watch_list == name]
        changes, person = WatchChanges(lake), (by or "").strip() or who()
        for symbol in due:
            changes.record(WatchChange(name, symbol, what, person, now, why))
    _tell(wanted, due, what, name, lambda symbol: symbol in known)
    if feeds:
        names = ", ".join(feed.name for feed in feeds)
        click.echo(f"{names} will see it at the next tick; who is a member stays one until the session's end")
    elif due:
        click.echo(f"no feed reads {name}: name it in universe.yaml, as members: {{watch_list: {name}}}")
    return 0


def _tell(wanted: Sequence[str], due: Sequence[str], what: Change, name: str, is_known: Callable[[str], bool]) -> None:
    for symbol in wanted:
        if symbol not in due:
            click.echo(f"{symbol} is on {name} already")
        elif what == "added" and not is_known(symbol):
            click.echo(f"{symbol} added to {name}; universe.yaml does not know it: it will be looked up as a US stock")
        else:
            click.echo(f"{symbol} {what} {'to' if what == 'added' else 'from'} {name}")


def _require(wanted: Sequence[str], on_it: set[str], watch_list: WatchList) -> None:
    for symbol in wanted:
        if symbol not in on_it:
            hint = did_you_mean(symbol, on_it) or (f"; there are {', '.join(sorted(on_it))}" if on_it else "")
            msg = f"{symbol} is not on {watch_list.name}{hint}"
            raise WatchError(msg)


def _open(as_of: datetime | None) -> tuple[Lake, dict[str, WatchList]]:
    if as_of is not None:
        local.move_clock(as_of)
    settings = get_settings()
    lake = local.configured_lake(settings)
    return lake, dict(load_watch_lists(settings.strategies))


def _list(lists: dict[str, WatchList], name: str) -> WatchList:
    if name not in lists:
        hint = did_you_mean(name, lists) or f"; known: {', '.join(sorted(lists))}"
        msg = f"there is no watch list {name!r}{hint}: watch_lists.yaml beside the strategies names them"
        raise WatchError(msg)
    return lists[name]


def _watched(lake: Lake, watch_list: WatchList, now: datetime) -> tuple[Watched, ...]:
    from trading_platform.storage.watch_changes import WatchChanges

    return watched(watch_list, WatchChanges(lake).of(watch_list.name), now)
