"""What the settings' files come to: strategies narrowed to the settings' symbols, feeds, sources, instruments.

Without Dagster, so that commands that need no more (the kill switch above all) start at once.
"""

from __future__ import annotations

from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.feeds import Feed, feeds_of
from trading_platform.domain.market_data.sources import Sources
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.settings import Settings
from trading_platform.specs.loader import (
    Universe,
    load_risk_limits,
    load_strategy_specs,
    load_universe,
    narrow,
    narrow_ingest,
)
from trading_platform.specs.sources import load_sources


def current_universe(settings: Settings) -> Universe:
    """The configured universe, its instruments under the tickers that they have now by the platform's clock.

    Raises:
        SpecError: the file says something wrong.
    """
    return load_universe(settings.strategies).on(settings.clock.now().date())


def configured_specs(settings: Settings) -> tuple[StrategySpec, ...]:
    """The strategy specs that the settings name, narrowed to the settings' symbols.

    Raises:
        SpecError: a file says something wrong.
        UnknownSymbolError: narrowed to a symbol that nobody knows, or that no strategy trades.
    """
    universe = load_universe(settings.strategies)
    specs = load_strategy_specs(settings.strategies, universe=universe)
    return narrow(specs, settings.symbols, universe=universe) if settings.symbols else specs


def configured_feeds(settings: Settings) -> tuple[Feed, ...]:
    """The feeds of the configured strategies, and those that the universe names."""
    universe = load_universe(settings.strategies)
    return feeds_of(configured_specs(settings), narrow_ingest(universe, settings.symbols).feeds)


def configured_sources(settings: Settings) -> Sources:
    """Where the feeds take their bars from, checked against all feeds, also those that the settings' symbols leave out.

    Raises:
        SpecError: a file says something wrong.
    """
    sources = load_sources(settings.strategies)
    if not sources.feeds:
        return sources  # every run comes by here, and reading all specs once more takes its time
    universe = load_universe(settings.strategies)
    specs = load_strategy_specs(settings.strategies, universe=universe)
    return load_sources(settings.strategies, feeds=feeds_of(specs, universe.feeds))


def tradable_instruments(settings: Settings) -> dict[str, Instrument]:
    """All known instruments without those that must not be traded, not even to reduce.

    These are the ones that ``risk.yaml`` restricts, those in another currency than USD, and those without a ticker.

    Raises:
        SpecError: a file says something wrong.
    """
    universe = current_universe(settings)
    restricted = load_risk_limits(settings.strategies, universe=universe).account.restricted_symbols
    return {
        symbol: one
        for symbol, one in universe.instruments.items()
        if symbol not in restricted and not one.why_not_tradable and one.broker_symbol is not None
    }
