"""Reads ``sources.yaml``: where feeds take their bars from. Every mistake is named with file, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from trading_platform.domain.market_data.feeds import Feed
from trading_platform.domain.market_data.sources import BROKER, FeedSources, SourceDeclaration, Sources
from trading_platform.domain.suggestions import did_you_mean
from trading_platform.specs.loader import SOURCES_FILE
from trading_platform.specs.parsing import SpecError, file_of, parse

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_sources(directory: Path | None = None, *, feeds: Iterable[Feed] | None = None) -> Sources:
    """Read ``sources.yaml`` of ``directory``, or the shipped one where it has none.

    ``feeds`` are all feeds there are; with them it is checked that each one that the file speaks of exists, is made of
    the bars that its source has, and may read prices of its kind.

    Raises:
        SpecError: the file can't be read or says something wrong.
    """
    file = file_of(directory, SOURCES_FILE)
    declared = parse(Sources, file)
    for name, one in declared.sources.items():
        if one.postgres is not None and not VARIABLE.fullmatch(one.postgres.url_env):
            problem = "must name an environment variable, such as MARKET_DATA_URL: the URL is a secret and stands there"
            raise SpecError(file, f"sources.{name}.postgres.url_env", problem)
    for name, rule in declared.feeds.items():
        keys = {f"feeds.{name}.source": rule.source}
        keys |= {f"feeds.{name}.symbols.{symbol}": source for symbol, source in rule.symbols.items()}
        for key, source in keys.items():
            if source != BROKER and source not in declared.sources:
                known = [BROKER, *sorted(declared.sources)]
                hint = did_you_mean(source, known) or f"; known: {', '.join(known)}"
                raise SpecError(file, key, f"there is no source {source!r}{hint}")
    if feeds is not None:
        by_name = {feed.name: feed for feed in feeds}
        for name, rule in declared.feeds.items():
            _check_feed(file, name, rule, by_name, declared.sources)
    return declared


def _check_feed(
    file: Path, name: str, rule: FeedSources, feeds: Mapping[str, Feed], sources: Mapping[str, SourceDeclaration]
) -> None:
    key = f"feeds.{name}"
    feed = feeds.get(name)
    if feed is None:
        hint = did_you_mean(name, feeds) or f"; known: {', '.join(sorted(feeds))}"
        raise SpecError(file, key, f"there is no feed {name!r}{hint}")
    for symbol in rule.symbols:
        if symbol not in feed.symbols:
            hint = did_you_mean(symbol, feed.symbols) or f"; it has {', '.join(feed.symbols)}"
            raise SpecError(file, f"{key}.symbols.{symbol}", f"the feed has no symbol {symbol!r}{hint}")
    for source in rule.names(feed.symbols):
        declared = sources.get(source)
        if declared is None:
            continue  # the broker has bars of every size, as they trade
        if declared.bar_size != feed.bar_size:
            problem = f"the feed is made of {feed.bar_size} bars, but {source} has bars of {declared.bar_size}"
            raise SpecError(file, key, problem)
        if declared.prices != "as_traded" and feed.strategies:
            problem = (
                f"{', '.join(feed.strategies)} would decide on {declared.prices.replace('_', '-')} prices of {source}: "
                "raw bars are as traded, and the platform adjusts them itself. Give strategies prices as traded"
            )
            raise SpecError(file, key, problem)
