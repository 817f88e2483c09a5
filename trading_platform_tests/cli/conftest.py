"""Homes for the command's tests. A cold start takes seconds, so a module shares one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_platform_tests.cli.command import Home
from trading_platform_tests.conftest import quick_directory


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home that the tests of a module share."""
    directory = quick_directory()
    try:
        yield Home(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def fresh_home(tmp_path: Path) -> Home:
    """A home where nothing was ever started."""
    return Home(tmp_path)
