"""Fixtures: one world at a standing moment that many tests only read, and worlds of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.storage.ledger.fixtures import migrated_url
from trading_platform_tests.world import SESSION, World, copy_of, world_at

__all__ = ["migrated_url"]

FEEDS = ("daily", "tsla", "iwm", "btc")
MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def world(
    tmp_path_factory: pytest.TempPathFactory, postgres_url_factory: Callable[..., str], migrated_url: str
) -> Iterator[World]:
    """2013-02-28 15:45 in New York, the history of all feeds fetched, nothing decided. For reading only."""
    with world_at(tmp_path_factory.mktemp("world"), postgres_url_factory(template=migrated_url)) as made:
        for feed in FEEDS:
            made.fetch_history(feed)
        yield made


@pytest.fixture
def own_world(
    world: World, tmp_path: Path, postgres_url_factory: Callable[..., str], migrated_url: str
) -> Iterator[MakeWorld]:
    """``own_world(**settings)``: the same moment with the same history, a ledger and an account of its own."""
    with ExitStack() as stack:

        def make(**settings: Any) -> World:
            return stack.enter_context(
                copy_of(world, tmp_path, postgres_url_factory(template=migrated_url), **settings)
            )

        yield make


@pytest.fixture(scope="session")
def traded(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url_factory: Callable[..., str],
    migrated_url: str,
) -> Iterator[tuple[World, Any]]:
    """A world in which the strategy ``momentum`` has had its tick, and that run's result. For reading only."""
    home = tmp_path_factory.mktemp("traded")
    with copy_of(world, home, postgres_url_factory(template=migrated_url)) as made:
        result = made.run("momentum_agent", SESSION)
        assert result.success
        yield made, result
