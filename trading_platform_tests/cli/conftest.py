"""Homes for the command's tests. A cold start takes seconds, so a module shares one."""

from __future__ import annotations

import shutil
import subprocess
import sys
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


@pytest.fixture(scope="session")
def calendar_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process leaves behind that made a calendar, which takes most of a second."""
    home = Home(tmp_path_factory.mktemp("derived"))
    make = "from trading_platform.calendar_cache import cached_calendar; cached_calendar('XNYS')"
    subprocess.run([sys.executable, "-c", make], check=True, cwd=home.directory, env=home.environment())
    return home.state / "cache"


@pytest.fixture
def fresh_home(tmp_path: Path, calendar_cache: Path) -> Home:
    """A home where nothing was ever started; its calendar was made before."""
    home = Home(tmp_path)
    shutil.copytree(calendar_cache, home.state / "cache")
    return home
