"""``sources.yaml`` is read whole, and every mistake in it is named with file, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trading_platform.domain.market_data.feeds import feeds_of
from trading_platform.domain.market_data.sources import BROKER, SourceDeclaration
from trading_platform.settings import Settings
from trading_platform.specs.configured import configured_sources
from trading_platform.specs.loader import SHIPPED, SpecError, load_strategy_specs, load_universe
from trading_platform.specs.sources import load_sources

GOOD = """
sources:
  files:
    directory: {location: /data, files: "{symbol}.csv"}
    bar_size: 1 min
    stamps: end
    time_zone: America/New_York
    prices: as_traded
  table:
    postgres: {url_env: MARKET_DATA_URL, table: market.bars}
    bar_size: 1 day
    stamps: date
    prices: as_traded
feeds:
  minute: files
  daily: {source: table, symbols: {IBM: broker}}
"""
FEEDS = feeds_of(load_strategy_specs(), load_universe().feeds)


def load(directory: Path, text: str):
    (directory / "sources.yaml").write_text(text)
    return load_sources(directory, feeds=FEEDS)


def test_feeds_name_their_sources_and_all_others_come_from_the_broker(tmp_path: Path) -> None:
    sources = load(tmp_path, GOOD)
    assert sources.of("minute").names(["AAPL", "IBM"]) == ("files",)
    daily = sources.of("daily")
    assert (daily.source_of("AAPL"), daily.source_of("IBM")) == ("table", BROKER)
    assert sources.of("tsla").names(["TSLA"]) == (BROKER,)
    assert sources.kinds(("files", "table", BROKER)) == ["directory", "ibkr", "postgres"]
    table = sources.sources["table"].postgres
    assert table is not None
    assert table.schema_and_name == ("market", "bars")


def test_the_shipped_file_leaves_everything_to_the_broker_and_its_example_is_right(tmp_path: Path) -> None:
    shipped = load_sources(feeds=FEEDS)
    assert (dict(shipped.sources), dict(shipped.feeds)) == ({}, {})
    text = (SHIPPED / "sources.yaml").read_text().replace("sources: {}", "sources:").replace("feeds: {}", "feeds:")
    example = load(tmp_path, text.replace("\n#  ", "\n  "))
    assert set(example.sources) == {"my_files", "my_table"}
    assert set(example.feeds) == {"minute", "daily"}


def test_the_examples_of_the_documentation_are_right(tmp_path: Path) -> None:
    page = (SHIPPED.parents[1] / "docs" / "sources.md").read_text()
    examples = [load(tmp_path, text) for text in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
    assert [list(example.feeds) for example in examples] == [["minute"], ["daily"]]
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert documented == set(SourceDeclaration.model_fields)


def test_a_file_beside_the_strategies_is_no_strategy_and_is_checked_at_the_start(tmp_path: Path) -> None:
    for file in (SHIPPED / "strategies").glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "sources.yaml").write_text(GOOD)
    settings = Settings(_env_file=None, strategies=tmp_path, symbols=("TSLA",))
    assert set(configured_sources(settings).feeds) == {"minute", "daily"}
    (tmp_path / "sources.yaml").write_text(GOOD.replace("minute: files", "minutes: files"))
    with pytest.raises(SpecError, match=r"feeds.minutes: there is no feed 'minutes' \(did you mean minute\?\)"):
        configured_sources(settings)


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ("minute: files", "minute: file", "feeds.minute.source", "there is no source 'file' (did you mean files?)"),
        ("IBM: broker", "IBM: brokr", "feeds.daily.symbols.IBM", "no source 'brokr' (did you mean broker?)"),
        ("IBM: broker", "IMB: broker", "feeds.daily.symbols.IMB", "the feed has no symbol 'IMB' (did you mean IBM?)"),
        ("minute: files", "tsla: files", "feeds.tsla", "made of 5 mins bars, but files has bars of 1 min"),
        ("time_zone: America/New_York", "time_zone: America/NewYork", "time_zone", "did you mean America/New_York?"),
        ("stamps: end", "stamps: middle", "sources.files.stamps", "'middle' is none of start, end, date"),
        ("stamps: end", "stamps: date", "sources.files", "stamps: date is for daily bars"),
        ("    stamps: end\n", "", "sources.files.stamps", "this key is missing"),
        ("    prices: as_traded\n  table", "  table", "sources.files.prices", "this key is missing"),
        (
            "stamps: end",
            "stamp: end",
            "sources.files.stamps",
            "sources.files.stamp: unknown key (did you mean stamps?)",
        ),
        ('"{symbol}.csv"', '"{symbol}.xlsx"', "sources.files.directory.files", "must end in one of .parquet"),
        ('"{symbol}.csv"', '"../{symbol}.csv"', "sources.files.directory.files", "relative to location"),
        ("table: market.bars", "table: a.b.c", "sources.table.postgres.table", "pattern"),
        (
            "url_env: MARKET_DATA_URL",
            "url_env: postgresql://me:pw@host/db",
            "sources.table.postgres.url_env",
            "the URL is a secret",
        ),
        ("  table:\n    postgres", "  broker:\n    postgres", "sources", "'broker' is the broker itself"),
        (
            "    stamps: end",
            "    postgres: {url_env: A, table: b}\n    stamps: end",
            "sources.files",
            "either directory",
        ),
        ("prices: as_traded\nfeeds", "prices: split_adjusted\nfeeds", "feeds.daily", "momentum would decide on"),
        ("prices: as_traded\nfeeds", "prices: adjusted\nfeeds", "feeds.daily", "Give strategies prices as traded"),
        (
            "    stamps: end",
            "    symbols: {A: X, B: X}\n    stamps: end",
            "sources.files",
            "A and B are both called 'X'",
        ),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, old: str, new: str, key: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.path == tmp_path / "sources.yaml"
    assert caught.value.key.endswith(key)
    assert problem in str(caught.value)
    assert "me:pw" not in str(caught.value)


def test_what_no_strategy_reads_may_be_adjusted_and_says_so(tmp_path: Path) -> None:
    sources = load(tmp_path, GOOD.replace("prices: as_traded", "prices: split_adjusted", 1))
    assert sources.sources["files"].label == "directory, split-adjusted"
