"""Reads ``universe.yaml``: the instruments, and the feeds that are collected for their own sake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_platform.domain.calendars import DAILY_CALENDAR
from trading_platform.domain.instruments import Instrument, SecurityType
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.signals.spec import DAILY, BarSize
from trading_platform.specs.parsing import SpecError, check_calendar, check_symbols, file_of, parse

UNIVERSE_FILE = "universe.yaml"
FEED_NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")
INGEST_HISTORY_SESSIONS = 1


@dataclass(frozen=True)
class Universe:
    """What can be traded, by symbol, and the feeds that are collected whether a strategy reads them or not."""

    instruments: Mapping[str, Instrument]
    feeds: tuple[Feed, ...]

    @property
    def ingested(self) -> tuple[str, ...]:
        """The symbols of all feeds, each once."""
        return tuple(dict.fromkeys(symbol for feed in self.feeds for symbol in feed.symbols))


class _InstrumentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    calendar: str = "XNYS"
    lot_size: Decimal = Field(default=Decimal(1), gt=0)
    sector: str = Field(default="", pattern=r"^[a-z_]*$")


class _FeedEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bar_size: BarSize
    calendar: str = DAILY_CALENDAR
    symbols: tuple[str, ...] = Field(min_length=1)
    description: str = ""


class _UniverseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: dict[str, _InstrumentEntry] = Field(min_length=1)
    feeds: dict[str, _FeedEntry] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _is_not_of_old(cls, entries: object) -> object:
        if isinstance(entries, Mapping) and "ingest" in entries:
            msg = "the key ingest is now a feed: write feeds: {minute: {bar_size: 1 min, symbols: [...]}} in its place"
            raise ValueError(msg)
        return entries


def load_universe(path: Path | None = None) -> Universe:
    """Read the instruments and the ingest feeds.

    ``path`` is a file, or a directory that may hold a ``universe.yaml``; without one the shipped file is read.

    Raises:
        SpecError: the file can't be read or says something wrong.
    """
    file = file_of(path, UNIVERSE_FILE)
    entries = parse(_UniverseFile, file)
    for symbol, entry in entries.instruments.items():
        check_calendar(entry.calendar, file, f"instruments.{symbol}.calendar")
    instruments = {
        symbol: Instrument(symbol=symbol, **entry.model_dump()) for symbol, entry in entries.instruments.items()
    }
    feeds = tuple(_feed(name, entry, instruments, file) for name, entry in entries.feeds.items())
    return Universe(instruments, feeds)


def narrow_ingest(universe: Universe, symbols: Iterable[str] | None) -> Universe:
    """Keep only ``symbols`` in the feeds; ``None`` keeps all. Instruments stay; feeds may be left without a symbol."""
    if symbols is None:
        return universe
    wanted = set(symbols)
    feeds = (
        replace(feed, symbols=tuple(symbol for symbol in feed.symbols if symbol in wanted)) for feed in universe.feeds
    )
    return replace(universe, feeds=tuple(feeds))


def _feed(name: str, entry: _FeedEntry, instruments: Mapping[str, Instrument], file: Path) -> Feed:
    key = f"feeds.{name}"
    if FEED_NAME.fullmatch(name) is None:
        problem = "a feed's name is part of asset keys: up to 20 small letters, digits and _, beginning with a letter"
        raise SpecError(file, key, problem)
    if name == DAILY or name.startswith(f"{DAILY}_"):
        raise SpecError(file, key, f"names beginning with {DAILY} belong to the daily strategies: choose another")
    check_calendar(entry.calendar, file, f"{key}.calendar")
    check_symbols(entry.symbols, instruments, file, f"{key}.symbols", calendar=None)
    twice = sorted({symbol for symbol in entry.symbols if entry.symbols.count(symbol) > 1})
    if twice:
        raise SpecError(file, f"{key}.symbols", f"names {', '.join(twice)} twice")
    _check_one_calendar(entry, instruments, file, key)
    return Feed(name, entry.calendar, entry.bar_size, entry.symbols, INGEST_HISTORY_SESSIONS, (), entry.description)


def _check_one_calendar(entry: _FeedEntry, instruments: Mapping[str, Instrument], file: Path, key: str) -> None:
    others: Sequence[str] = [
        f"{symbol} ({instruments[symbol].calendar})"
        for symbol in entry.symbols
        if instruments[symbol].calendar != entry.calendar
    ]
    if others:
        problem = f"all symbols must trade on the feed's calendar {entry.calendar}, but there are {', '.join(others)}"
        raise SpecError(file, f"{key}.symbols", f"{problem}: give them a feed of their own")
