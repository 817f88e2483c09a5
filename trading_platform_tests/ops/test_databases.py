"""Whether a database answers, said with the name of the setting and without the password."""

from __future__ import annotations

import socket

import pytest

from trading_platform.ops.databases import DatabaseDownError, ask_database, place_of


def test_a_database_says_its_version_and_latency(database_url: str) -> None:
    answer = ask_database(database_url, "ledger_database_url")
    assert answer.version.partition(".")[0].isdigit()
    assert answer.latency_ms < 1000
    assert answer.place == place_of(database_url)


def test_a_database_that_is_down_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DatabaseDownError) as caught:
        ask_database(f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/x", "dagster_database_url")
    assert f"127.0.0.1:{port}/x" in str(caught.value)
    assert "TRADING_PLATFORM_DAGSTER_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://here/x", "sqlite:///x.db"])
def test_what_is_no_postgresql_url_is_refused(url: str) -> None:
    with pytest.raises(DatabaseDownError, match=r"write postgresql\+psycopg2://"):
        ask_database(url, "ledger_database_url")
