"""Reads ``watch_lists.yaml``: what each watch list begins with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from trading_platform.domain.market_data.watch_lists import MOST_SYMBOLS, SYMBOL, WatchList
from trading_platform.specs.parsing import SpecError, file_of, parse

WATCH_LISTS_FILE = "watch_lists.yaml"
LIST_NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")


class _ListEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    symbols: tuple[str, ...] = Field(default=(), max_length=MOST_SYMBOLS)


class _WatchListsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    lists: dict[str, _ListEntry] = Field(min_length=1)


def load_watch_lists(directory: Path | None = None) -> Mapping[str, WatchList]:
    """The lists of the directory's ``watch_lists.yaml`` by name, or of the shipped one where it has none.

    Raises:
        SpecError: the file can't be read or says something wrong.
    """
    file = file_of(directory, WATCH_LISTS_FILE)
    entries = parse(_WatchListsFile, file)
    for name, entry in entries.lists.items():
        if LIST_NAME.fullmatch(name) is None:
            problem = "a list's name has up to 20 small letters, digits and _, and begins with a letter"
            raise SpecError(file, f"lists.{name}", problem)
        for symbol in entry.symbols:
            if SYMBOL.fullmatch(symbol) is None:
                problem = f"{symbol!r} is no ticker: up to 12 capital letters, digits, periods, spaces and dashes"
                raise SpecError(file, f"lists.{name}.symbols", problem)
        twice = sorted({symbol for symbol in entry.symbols if entry.symbols.count(symbol) > 1})
        if twice:
            raise SpecError(file, f"lists.{name}.symbols", f"names {', '.join(twice)} twice")
    return {name: WatchList(name, entry.symbols, entry.description, file.name) for name, entry in entries.lists.items()}
