"""Reads ``universe.yaml``: the instruments, and the feeds that are collected for their own sake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_platform.domain.calendars import DAILY_CALENDAR, FOREIGN_EXCHANGE, get_calendar
from trading_platform.domain.instruments import BrokerNames, Instrument, SecurityType
from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.members import MOST_MEMBERS, USUAL_MEMBERS, MembersSpec
from trading_platform.domain.market_data.scans import MOST_SCAN_ROWS, Scan
from trading_platform.domain.signals.spec import DAILY, BarSize
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.domain.tickers import TickerError, TickerFact, TickerMap, TickerSpan
from trading_platform.specs.parsing import USUAL_CALENDARS, SpecError, check_calendar, check_symbols, file_of, parse
from trading_platform.specs.watch_lists import WATCH_LISTS_FILE, load_watch_lists

UNIVERSE_FILE = "universe.yaml"
FEED_NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")
PAIR = re.compile(r"[A-Z]{3}\.[A-Z]{3}")
INGEST_HISTORY_SESSIONS = 1


@dataclass(frozen=True)
class Universe:
    """All instruments by symbol, and the feeds that are collected whether a strategy reads them or not."""

    instruments: Mapping[str, Instrument]
    feeds: tuple[Feed, ...]

    def on(self, day: date) -> Universe:
        """The same universe, each instrument under its ticker of ``day``: the broker knows no other."""
        return replace(self, instruments={symbol: one.on(day) for symbol, one in self.instruments.items()})

    def since(self, day: date) -> Universe:
        """The same universe, each instrument under its first ticker on ``day`` or later: for a replay from then on."""
        return replace(self, instruments={symbol: one.since(day) for symbol, one in self.instruments.items()})

    @property
    def names(self) -> BrokerNames:
        """From the broker's names to ours."""
        return BrokerNames.of(self.instruments.values())

    @property
    def tickers(self) -> TickerMap:
        """Who had which ticker when; the market of a ticker is the calendar."""
        return TickerMap(fact for one in self.instruments.values() for fact in _facts(one))

    @property
    def ingested(self) -> tuple[str, ...]:
        """The symbols of all feeds, each once."""
        return tuple(dict.fromkeys(symbol for feed in self.feeds for symbol in feed.symbols))


class _TickerEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ticker: str = Field(min_length=1)
    first: date | None = None
    last: date | None = None
    exchange: str = ""


class _InstrumentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    security_type: SecurityType = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    calendar: str = "XNYS"
    lot_size: Decimal = Field(default=Decimal(1), gt=0)
    sector: str = Field(default="", pattern=r"^[a-z_]*$")
    bar_sizes: tuple[BarSize, ...] = ()
    ticker: str = ""
    con_id: int | None = Field(default=None, gt=0)
    tickers: tuple[_TickerEntry, ...] = ()


class _FiltersEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    above_price: float | None = Field(default=None, ge=0)
    below_price: float | None = Field(default=None, gt=0)
    above_volume: int | None = Field(default=None, ge=0)


class _ScannerEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scan_code: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    location: str = Field(default="STK.US.MAJOR", pattern=r"^STK\.US(\..+)?$|^STK\.(NASDAQ|NYSE|AMEX|ARCA)(\..+)?$")
    filters: _FiltersEntry = _FiltersEntry()
    limit: int = Field(default=10, ge=1, le=MOST_SCAN_ROWS)


class _MembersEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    watch_list: str | None = None
    scanner: _ScannerEntry | None = None
    max_members: int = Field(default=USUAL_MEMBERS, ge=1, le=MOST_MEMBERS)

    @model_validator(mode="after")
    def _has_a_source(self) -> _MembersEntry:
        if self.watch_list is None and self.scanner is None:
            msg = "members come from a watch_list, a scanner, or both: name one"
            raise ValueError(msg)
        return self


class _FeedEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bar_size: BarSize
    calendar: str = DAILY_CALENDAR
    symbols: tuple[str, ...] = ()
    members: _MembersEntry | None = None
    description: str = ""

    @model_validator(mode="after")
    def _has_symbols(self) -> _FeedEntry:
        if not self.symbols and self.members is None:
            msg = "a feed needs symbols, members, or both"
            raise ValueError(msg)
        return self


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
    instruments = {symbol: _instrument(symbol, entry, file) for symbol, entry in entries.instruments.items()}
    _check_tickers(Universe(instruments, ()), file)
    feeds = tuple(_feed(name, entry, instruments, file) for name, entry in entries.feeds.items())
    return Universe(instruments, feeds)


def narrow_ingest(universe: Universe, symbols: Iterable[str] | None) -> Universe:
    """Keep only ``symbols`` in the feeds; ``None`` keeps all. Instruments stay; feeds may be left without a symbol.

    A feed that is narrowed has no dynamic members: nobody knows which they would be.
    """
    if symbols is None:
        return universe
    wanted = set(symbols)
    feeds = (
        replace(feed, symbols=tuple(symbol for symbol in feed.symbols if symbol in wanted), members=None)
        for feed in universe.feeds
    )
    return replace(universe, feeds=tuple(feeds))


def _instrument(symbol: str, entry: _InstrumentEntry, file: Path) -> Instrument:
    key = f"instruments.{symbol}"
    if entry.ticker and entry.tickers:
        raise SpecError(file, f"{key}.ticker", "is for one that never changed: leave it out beside tickers")
    if entry.security_type == "CASH":
        if PAIR.fullmatch(symbol) is None or symbol.partition(".")[2] != entry.currency:
            problem = "foreign exchange is named by its pair, such as EUR.USD, whose second part is its currency"
            raise SpecError(file, key, problem)
        if entry.calendar != FOREIGN_EXCHANGE:
            raise SpecError(file, f"{key}.calendar", f"foreign exchange trades on the calendar {FOREIGN_EXCHANGE}")
    try:
        spans = tuple(TickerSpan(one.ticker, one.first, one.last, one.exchange) for one in entry.tickers)
    except TickerError as error:
        raise SpecError(file, f"{key}.tickers", str(error)) from error
    fields = entry.model_dump(exclude={"tickers"})
    return Instrument(symbol=symbol, **fields, tickers=tuple(sorted(spans, key=lambda span: span.begin)))


def _facts(instrument: Instrument) -> list[TickerFact]:
    spans = instrument.tickers or (TickerSpan(instrument.ticker or instrument.symbol),)
    return [TickerFact(instrument.symbol, span, instrument.calendar) for span in spans]


def _check_tickers(universe: Universe, file: Path) -> None:
    """Refuse a history that contradicts itself, and two instruments that are one at the broker."""
    try:
        changes = {span.begin for one in universe.instruments.values() for span in one.tickers}
        _ = universe.tickers
        for day in sorted({*changes, date.max}):
            _ = universe.on(day).names
    except TickerError as error:
        raise SpecError(file, "instruments", str(error)) from error


def check_bar_size(
    symbols: Iterable[str], bar_size: BarSize, instruments: Mapping[str, Instrument], file: Path, key: str
) -> None:
    """Refuse bars that an instrument may not have, and bars within the day of a market that rests at noon."""
    for symbol in symbols:
        instrument = instruments[symbol]
        if instrument.bar_sizes and bar_size not in instrument.bar_sizes:
            problem = f"{symbol} may have bars of {', '.join(instrument.bar_sizes)} only, as its bar_sizes say"
            raise SpecError(file, key, problem)
        is_usual = instrument.calendar in USUAL_CALENDARS
        if bar_size != "1 day" and not is_usual and get_calendar(instrument.calendar).has_breaks:
            problem = (
                f"{symbol} trades on {instrument.calendar}, which rests at noon: the bars to expect within the day are "
                "not known there. Use 1 day"
            )
            raise SpecError(file, key, problem)


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
    check_bar_size(entry.symbols, entry.bar_size, instruments, file, f"{key}.bar_size")
    members = None if entry.members is None else _members(entry.members, entry.calendar, file, f"{key}.members")
    return Feed(
        name, entry.calendar, entry.bar_size, entry.symbols, INGEST_HISTORY_SESSIONS, (), entry.description, members
    )


def _members(entry: _MembersEntry, calendar: str, file: Path, key: str) -> MembersSpec:
    if entry.scanner is not None and calendar != DAILY_CALENDAR:
        problem = f"scans find US stocks, which trade on {DAILY_CALENDAR}, but the feed's calendar is {calendar}"
        raise SpecError(file, f"{key}.scanner", problem)
    if entry.watch_list is not None:
        known = load_watch_lists(file.parent)
        if entry.watch_list not in known:
            hint = did_you_mean(entry.watch_list, known) or f"; known: {', '.join(sorted(known))}"
            problem = f"there is no list {entry.watch_list!r} in {WATCH_LISTS_FILE}{hint}"
            raise SpecError(file, f"{key}.watch_list", problem)
    scan = None
    if entry.scanner is not None:
        one = entry.scanner
        scan = Scan(one.scan_code, one.location, **one.filters.model_dump(), limit=one.limit)
    return MembersSpec(entry.watch_list, scan, entry.max_members)


def _check_one_calendar(entry: _FeedEntry, instruments: Mapping[str, Instrument], file: Path, key: str) -> None:
    others: Sequence[str] = [
        f"{symbol} ({instruments[symbol].calendar})"
        for symbol in entry.symbols
        if instruments[symbol].calendar != entry.calendar
    ]
    if others:
        problem = f"all symbols must trade on the feed's calendar {entry.calendar}, but there are {', '.join(others)}"
        raise SpecError(file, f"{key}.symbols", f"{problem}: give them a feed of their own")
