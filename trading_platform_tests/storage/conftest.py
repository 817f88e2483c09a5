"""Places to keep things: lakes on disk and in S3, and a disk that is soon full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading_platform.storage.lake import Lake


@pytest.fixture(params=["disk", "s3"])
def make_lake(request: pytest.FixtureRequest) -> Callable[[], Lake]:
    """Makes lakes over one place, on disk and in S3."""
    if request.param == "disk":
        path = request.getfixturevalue("tmp_path") / "lake"
        return lambda: Lake(str(path))
    url = request.getfixturevalue("s3_url")
    options = request.getfixturevalue("s3_options")
    return lambda: Lake(url, options)


@pytest.fixture
def lake(make_lake: Callable[[], Lake]) -> Lake:
    """A lake, once on disk and once in S3."""
    return make_lake()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; skipped where mounting is not allowed."""
    mount_point = tmp_path / "small_disk"
    mount_point.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount_point)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield mount_point
    subprocess.run(["umount", str(mount_point)], check=True)
