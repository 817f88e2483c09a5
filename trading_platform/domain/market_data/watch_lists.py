"""Watch lists: symbols that persons keep an eye on. What a file begins with, and what was changed since. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Change = Literal["added", "removed"]
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9. -]{0,11}")
"""A ticker as IBKR spells it: ``BRK B`` has a space."""
MOST_SYMBOLS = 500


@dataclass(frozen=True)
class WatchList:
    """A list as the file has it. ``file`` says which one, for people."""

    name: str
    symbols: tuple[str, ...]
    description: str = ""
    file: str = ""


@dataclass(frozen=True)
class WatchChange:
    """A person's word on one symbol of a list. ``at`` is tz-aware UTC by the platform's clock."""

    watch_list: str
    symbol: str
    change: Change
    who: str
    at: datetime
    why: str


@dataclass(frozen=True)
class Watched:
    """A symbol on a list, and who put it there when; ``at`` is ``None`` where the file did."""

    symbol: str
    who: str
    at: datetime | None
    why: str


def watched(begun: WatchList, changes: Iterable[WatchChange], at: datetime) -> tuple[Watched, ...]:
    """What is on the list at ``at`` (tz-aware): the file's symbols in its order, then the added ones, oldest first.

    Changes after ``at`` are not seen. Of two at the same instant the removal counts.
    """
    listed = {
        symbol: Watched(symbol, begun.file or "file", None, begun.description or f"on the list {begun.name}")
        for symbol in begun.symbols
    }
    seen = [one for one in changes if one.watch_list == begun.name and one.at <= at]
    for one in sorted(seen, key=lambda change: (change.at, change.change, change.symbol)):
        if one.change == "removed":
            listed.pop(one.symbol, None)
        elif one.symbol not in listed:
            listed[one.symbol] = Watched(one.symbol, one.who, one.at, one.why)
    return tuple(listed.values())
