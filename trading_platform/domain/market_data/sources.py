"""Where feeds take their bars from, as ``sources.yaml`` declares it. Pure: the file is read by ``specs.sources``.

A source other than the broker has to say what its bars are: nothing of it can be guessed from the numbers alone
without being wrong some day.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trading_platform.domain.signals.spec import BarSize
from trading_platform.domain.suggestions import did_you_mean

BROKER = "broker"
"""The name of the source that needs no declaration."""
FILE_KINDS = (".parquet", ".pq", ".csv", ".csv.gz")
SYMBOL = "{symbol}"
EPOCHS: Mapping[str, int] = MappingProxyType(
    {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
)
"""Formats of stamps that are numbers since 1970 in UTC, with their unit in nanoseconds."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Strict):
    """What the columns are called there. ``symbol`` is not looked at where each symbol has files of its own."""

    symbol: str = "symbol"
    stamp: str = "ts"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"

    @property
    def numbers(self) -> dict[str, str]:
        """The names there of prices and volume, by ours."""
        return {name: getattr(self, name) for name in ("open", "high", "low", "close", "volume")}


class DirectoryPlace(_Strict):
    """Parquet or CSV files below ``location``, a directory or e.g. ``s3://bucket/prefix``.

    ``files`` is a pattern relative to it: with ``{symbol}`` each symbol has its own files, without it the files hold
    all symbols and a column says whose a row is. ``*`` stands for anything within a name.
    """

    location: str = Field(min_length=1)
    files: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)

    @field_validator("files")
    @classmethod
    def _is_readable(cls, files: str) -> str:
        if not files.lower().endswith(FILE_KINDS):
            msg = f"must end in one of {', '.join(FILE_KINDS)}, such as {SYMBOL}.parquet or *.csv"
            raise ValueError(msg)
        if files.startswith("/") or ".." in files.split("/"):
            msg = "must be relative to location, without .."
            raise ValueError(msg)
        return files

    @property
    def is_by_symbol(self) -> bool:
        """Whether each symbol has files of its own."""
        return SYMBOL in self.files

    def files_of(self, name: str) -> str:
        """The pattern of the files of the symbol called ``name`` there."""
        return self.files.replace(SYMBOL, name)

    @property
    def is_csv(self) -> bool:
        """Whether the files are text."""
        return ".csv" in self.files.lower()[-7:]


class PostgresPlace(_Strict):
    """A table or view of a PostgreSQL database. ``url_env`` names the environment variable with its URL.

    The URL is ``postgresql+psycopg2://user:password@host/database``. It is a secret, and no file of specs holds any.
    ``table`` may name its schema too: ``market.bars``.
    """

    url_env: str
    table: str = Field(pattern=r"^[^.]+(\.[^.]+)?$")
    timeout_seconds: float = Field(default=30, gt=0)

    @property
    def schema_and_name(self) -> tuple[str, str]:
        """The schema (``public`` unless it is named) and the table in it."""
        schema, _, name = self.table.rpartition(".")
        return schema or "public", name


Stamps = Literal["start", "end", "date"]
Prices = Literal["as_traded", "split_adjusted", "adjusted"]


class SourceDeclaration(_Strict):
    """One source: its place, and what its bars are.

    ``stamps``: each bar is stamped with its ``start`` or its ``end``; a daily one perhaps with its session's ``date``.
    ``time_zone``: of stamps that name none; with ``date`` also the zone in which an instant has the session's date.
    ``stamp_format``: of text, as ``strptime`` takes it (unset: ISO 8601), or of numbers, one of ``EPOCHS``.
    ``prices``: raw bars are kept as traded. Others say so in the column ``source``, and no strategy may read them.
    ``hours``: ``regular`` leaves out what starts outside the session, and counts it.
    ``symbols``: what ours are called there, where it is not the same.
    """

    directory: DirectoryPlace | None = None
    postgres: PostgresPlace | None = None
    bar_size: BarSize
    stamps: Stamps
    stamp_format: str | None = None
    time_zone: str | None = None
    prices: Prices
    hours: Literal["all", "regular"] = "all"
    columns: Columns = Field(default_factory=Columns)
    symbols: Mapping[str, str] = Field(default_factory=lambda: MappingProxyType({}))

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                zoneinfo.ZoneInfo(name)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError):
                hint = did_you_mean(name, zoneinfo.available_timezones())
                msg = f"unknown time zone{hint or '; use a name of the tz database such as America/New_York or UTC'}"
                raise ValueError(msg) from None
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> SourceDeclaration:
        if (self.directory is None) == (self.postgres is None):
            msg = "name its place: either directory or postgres"
            raise ValueError(msg)
        if self.stamps == "date" and self.bar_size != "1 day":
            msg = f"stamps: date is for daily bars; say whether bars of {self.bar_size} are stamped at start or end"
            raise ValueError(msg)
        theirs: dict[str, str] = {}
        for ours, name in self.symbols.items():
            if name in theirs:
                msg = f"symbols: {theirs[name]} and {ours} are both called {name!r} there; one row can't be both"
                raise ValueError(msg)
            theirs[name] = ours
        return self

    @property
    def kind(self) -> Literal["directory", "postgres"]:
        """What kind of place it is."""
        return "postgres" if self.postgres is not None else "directory"

    @property
    def label(self) -> str:
        """What the column ``source`` adds to the source's name."""
        return self.kind if self.prices == "as_traded" else f"{self.kind}, {self.prices.replace('_', '-')}"

    def name_of(self, symbol: str) -> str:
        """What the symbol is called there."""
        return self.symbols.get(symbol, symbol)


class FeedSources(_Strict):
    """Which source a feed takes its bars from; ``symbols`` names those that have another one."""

    source: str = BROKER
    symbols: Mapping[str, str] = Field(default_factory=lambda: MappingProxyType({}))

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    def source_of(self, symbol: str) -> str:
        """The name of the symbol's source."""
        return self.symbols.get(symbol, self.source)

    def names(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """The sources of ``symbols``, each once."""
        return tuple(dict.fromkeys(self.source_of(symbol) for symbol in symbols))


class Sources(_Strict):
    """The whole of ``sources.yaml``. A feed that is not named takes its bars from the broker."""

    sources: Mapping[str, SourceDeclaration] = Field(default_factory=lambda: MappingProxyType({}))
    feeds: Mapping[str, FeedSources] = Field(default_factory=lambda: MappingProxyType({}))

    @field_validator("sources")
    @classmethod
    def _names_are_names(cls, sources: Mapping[str, SourceDeclaration]) -> Mapping[str, SourceDeclaration]:
        for name in sources:
            if name == BROKER:
                msg = f"{BROKER!r} is the broker itself and needs no declaration; choose another name"
                raise ValueError(msg)
        return sources

    def kinds(self, names: Sequence[str]) -> list[str]:
        """What technologies the sources of these names are, each once."""
        kinds = {BROKER: "ibkr"} | {name: one.kind for name, one in self.sources.items()}
        return sorted({kinds[name] for name in names})

    def elsewhere(self, feed: str, symbols: Sequence[str]) -> dict[str, str]:
        """The symbols of the feed that do not come from the broker, with the names of their sources."""
        rule = self.of(feed)
        return {symbol: name for symbol in symbols if (name := rule.source_of(symbol)) != BROKER}

    def of(self, feed: str) -> FeedSources:
        """The sources of the feed of this name."""
        return self.feeds.get(feed, FeedSources())
