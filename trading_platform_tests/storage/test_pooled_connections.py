"""Dagster's connections are kept, tested when they lay idle, and nobody else's engine is touched."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from trading_platform.storage import pooled_connections
from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.pooled_connections import pooled
from trading_platform_tests.conftest import quick_directory

BACKEND = sa.text("SELECT pg_backend_pid()")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine made as dagster-postgres makes it, with the plugin in its URL."""
    made = sa.create_engine(pooled(database_url), poolclass=NullPool)
    yield made
    made.dispose()


def backend_of(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(BACKEND).scalar_one())


def test_a_connection_is_kept_for_the_next_statement(engine):
    assert len({backend_of(engine) for _ in range(5)}) == 1


def test_without_the_plugin_every_statement_has_a_connection_of_its_own(database_url):
    engine = sa.create_engine(database_url, poolclass=NullPool)
    assert len({backend_of(engine) for _ in range(3)}) == 3


@pytest.mark.parametrize("url", ["postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d?host=/run/pg&port=5432"])
def test_the_plugin_is_named_in_the_url_and_hidden_from_the_driver(url):
    named = pooled(url)
    assert sa.make_url(named).query["plugin"] == "pooled"
    engine = sa.create_engine(named, poolclass=NullPool)
    assert isinstance(engine.pool, QueuePool)
    assert "plugin" not in engine.url.query
    assert engine.url.database == "d"


@pytest.mark.parametrize(("poolclass", "expected"), [(StaticPool, StaticPool), (None, QueuePool)])
def test_engines_that_ask_for_another_pool_are_left_alone(poolclass, expected):
    chosen = {"poolclass": poolclass} if poolclass else {"pool_size": 7}
    engine = sa.create_engine(pooled("postgresql+psycopg2://h/d"), **chosen)
    assert type(engine.pool) is expected
    if poolclass is None:
        assert engine.pool.size() == 7


def test_many_threads_may_have_more_connections_than_are_kept(engine):
    connections = [engine.connect() for _ in range(8)]
    pids = {connection.execute(BACKEND).scalar_one() for connection in connections}
    for connection in connections:
        connection.close()
    assert len(pids) == 8
    assert engine.pool.checkedin() == pooled_connections.POOL_SIZE


def test_a_connection_that_was_just_used_is_not_tested_again(engine, monkeypatch):
    backend_of(engine)
    pings: list[object] = []
    real = engine.dialect.do_ping
    monkeypatch.setattr(engine.dialect, "do_ping", lambda dbapi: pings.append(dbapi) or real(dbapi))
    backend_of(engine)
    assert pings == []
    monkeypatch.setattr(pooled_connections, "TRUSTED_SECONDS", 0.0)
    backend_of(engine)
    assert len(pings) == 1


def test_a_connection_that_died_while_it_lay_idle_costs_nothing_but_a_new_one(engine, database_url, monkeypatch):
    monkeypatch.setattr(pooled_connections, "TRUSTED_SECONDS", 0.05)
    first = backend_of(engine)
    killer = sa.create_engine(database_url, poolclass=NullPool)
    with killer.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    time.sleep(0.1)
    assert backend_of(engine) != first


def test_all_of_several_dead_connections_are_replaced(engine, database_url, monkeypatch):
    monkeypatch.setattr(pooled_connections, "TRUSTED_SECONDS", 0.05)
    both = [engine.connect() for _ in range(2)]
    pids = [connection.execute(BACKEND).scalar_one() for connection in both]
    for connection in both:
        connection.close()
    killer = sa.create_engine(database_url, poolclass=NullPool)
    with killer.connect() as connection:
        for pid in pids:
            connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    time.sleep(0.1)
    fresh = [engine.connect() for _ in range(2)]
    assert not {connection.execute(BACKEND).scalar_one() for connection in fresh} & set(pids)
    for connection in fresh:
        connection.close()


def test_a_restart_of_postgresql_between_two_statements_costs_no_failure():
    home = quick_directory()
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedPostgres(home / "postgres", settings=settings)
    try:
        engine = sa.create_engine(pooled(server.start().dagster), poolclass=NullPool)
        before = backend_of(engine)
        server.stop()
        url = server.start().dagster
        assert sa.make_url(url).database == engine.url.database
        time.sleep(max(0.0, pooled_connections.TRUSTED_SECONDS))
        assert backend_of(engine) != before
        engine.dispose()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
