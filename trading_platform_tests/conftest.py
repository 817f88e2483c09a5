"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest

from trading_platform.storage.embedded_postgres import EmbeddedPostgres

# a busy machine is slow, and no test is about that
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

LONG_FIRST = ("replay", "cli", "deployment", "specs/test_new_agent.py", "defs", "execution", "resources")
"""Where files take long. They are begun first: one that is begun last would keep one core busy and the others idle."""

PostgresUrlFactory = Callable[..., str]
_buckets = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take long first, and leave the order within a file alone."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(here)
        is_in = (path.is_relative_to(room) for room in LONG_FIRST)
        return next((number for number, is_there in enumerate(is_in) if is_there), len(LONG_FIRST))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: let the garbage collector look at what tests make, not at a million old objects."""
    gc.freeze()


def quick_directory() -> Path:
    """A new directory in memory where there is room for it (databases sync a lot), else on disk."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="tp-tests-", dir=memory if has_room else None))


@pytest.fixture(scope="session")
def embedded_postgres() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL server for the whole test session (and one per worker under pytest-xdist)."""
    home = quick_directory()
    # nothing here has to outlive a power failure
    unsafe = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedPostgres(home / "postgres", settings=unsafe)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url_factory(embedded_postgres: EmbeddedPostgres) -> PostgresUrlFactory:
    """``factory()`` makes a fresh, empty database and returns its ``postgresql+psycopg2://…`` URL.

    ``factory(template=url)`` copies the database of another URL that came from the factory (nobody may be
    connected to it): migrate one database per module, then copy it for each test.
    """
    numbers = itertools.count(1)

    def create(*, template: str | None = None) -> str:
        source = urlsplit(template).path.lstrip("/") if template else None
        return embedded_postgres.create_database(f"test_{next(numbers)}", template=source)

    return create


@pytest.fixture
def database_url(embedded_postgres: EmbeddedPostgres, postgres_url_factory: PostgresUrlFactory) -> Iterator[str]:
    """``postgresql+psycopg2://…`` of an empty database that lives as long as the test."""
    url = postgres_url_factory()
    yield url
    embedded_postgres.drop_database(urlsplit(url).path.lstrip("/"))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Endpoint of an S3 server that lives as long as the test session."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_options(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``storage_options`` for that server; the environment holds credentials and a region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return {"client_kwargs": {"endpoint_url": s3_endpoint}}


@pytest.fixture
def s3_url(s3_options: dict[str, Any]) -> str:
    """``s3://<bucket>/lake`` in a bucket of this test's own."""
    import s3fs

    bucket = f"bucket-{next(_buckets)}"
    s3fs.S3FileSystem(**s3_options).mkdir(bucket)
    return f"s3://{bucket}/lake"
