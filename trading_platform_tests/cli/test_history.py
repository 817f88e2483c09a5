"""`trading-platform replay` and `backtest` as their user has them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.ledger import Ledger, LedgerError
from trading_platform_tests.cli.command import Done, Home, kill

SPAN = ("--from", "2012-06-01", "--to", "2012-06-15", "--strategy", "momentum")
ACCOUNT = "DUR20120601"
KEYS = {
    "command": str,
    "strategies": list,
    "first_session": str,
    "last_session": str,
    "account": str,
    "seconds": float,
    "ticks": int,
    "ticks_per_second": float,
    "decided_ticks": int,
    "prices": dict,
    "quarantined_bars": int,
    "intents": int,
    "rejections": dict,
    "orders": list,
    "fills": list,
    "positions": list,
    "equity": list,
    "figures": dict,
    "notes": list,
    "failures": list,
    "success": bool,
}
RESULT = ("ticks", "intents", "rejections", "orders", "fills", "positions", "equity", "figures", "notes")


def call(home: Home, command: str, *arguments: str, **settings: str) -> tuple[Done, dict[str, Any]]:
    """Run a command with ``--json``; the document is empty if it wrote none."""
    file = home.directory / f"{command}.json"
    file.unlink(missing_ok=True)
    done = home.call(command, *arguments, "--json", str(file), **settings)
    return done, json.loads(file.read_text()) if file.exists() else {}


@pytest.fixture
def foreign_broker() -> Iterator[tuple[int, list[socket.socket]]]:
    """A port somebody else listens on, and who connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1], [server]


@pytest.fixture(scope="module")
def replayed(home: Home) -> dict[str, Any]:
    """What an undisturbed replay says."""
    done, document = call(home, "replay", *SPAN)
    assert done.status == 0, done.text
    return document


@pytest.fixture(scope="module")
def backtested(home: Home) -> tuple[Done, dict[str, Any]]:
    """What a backtest of the same span says."""
    return call(home, "backtest", *SPAN)


def result(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in RESULT}


def test_the_document_has_its_keys_and_the_orders_are_filled(replayed: dict[str, Any]) -> None:
    assert {key: type(value) for key, value in replayed.items()} == KEYS
    assert replayed["success"]
    assert replayed["account"] == ACCOUNT
    assert replayed["ticks"] == replayed["decided_ticks"] == 11
    assert {order["status"] for order in replayed["orders"]} == {"filled"}
    assert replayed["prices"]["IBM"].startswith("real daily bars")


def test_a_backtest_from_the_command_line_says_the_same(
    backtested: tuple[Done, dict[str, Any]], replayed: dict[str, Any]
) -> None:
    done, document = backtested
    assert done.status == 0, done.text
    assert result(document) == result(replayed)
    assert "Sharpe ratio" in done.text


def test_a_replay_that_was_killed_leaves_nothing_that_changes_the_next_one(
    home: Home, replayed: dict[str, Any]
) -> None:
    process = home.start("replay", *SPAN)
    try:
        with EmbeddedPostgres(home.state / "postgres") as server:
            deadline = time.monotonic() + 120
            while _readings(server) < 8:
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline, "it did not begin"
                time.sleep(0.05)
            process.kill()
    finally:
        kill(process)
    done, document = call(home, "replay", *SPAN)
    assert done.status == 0, done.text
    assert result(document) == result(replayed)


def _readings(server: EmbeddedPostgres) -> int:
    ledger = Ledger(server.url_of("replay"))
    try:
        return len(ledger.equity_history(ACCOUNT))
    except LedgerError:
        return 0  # it is being made anew
    finally:
        ledger.close()


def test_a_configured_live_broker_is_neither_asked_nor_told_anything(
    home: Home, foreign_broker: tuple[int, list[socket.socket]], replayed: dict[str, Any]
) -> None:
    port, (server,) = foreign_broker
    account = "U1234567"
    done, document = call(
        home,
        "replay",
        *SPAN,
        IBKR_PORT=str(port),
        IBKR_ACCOUNT=account,
        MODE="live",
        LIVE_CONFIRMATION=f"I trade real money in {account}",
    )
    assert done.status == 0, done.text
    assert document["account"] == ACCOUNT
    assert document["orders"] == replayed["orders"]
    assert "the configured broker was not connected to" in " ".join(document["notes"])
    with pytest.raises(BlockingIOError):
        server.accept()


def test_a_parameter_can_be_changed_from_the_command_line(home: Home, backtested: tuple[Done, dict[str, Any]]) -> None:
    done, changed = call(home, "backtest", *SPAN, "--set", "top_n=1")
    assert done.status == 0, done.text
    assert changed["orders"] != backtested[1]["orders"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "2012-06-15", "--to", "2012-06-01"), "turn them round"),
        (("--from", "2012-06-02", "--to", "2012-06-03", "--strategy", "momentum"), "no session"),
        ((*SPAN, "--strategy", "momentun"), "did you mean momentum"),
        ((*SPAN, "--set", "lookbak=3"), "did you mean lookback"),
        ((*SPAN, "--set", "lookback"), "--set lookback=126"),
        (("--from", "2012-06-01", "--to", "2012-06-15", "--set", "top_n=1"), "name it with --strategy"),
        (("--from", "2012-06-01", "--to", "2035-06-15"), "only sessions that have closed"),
        (("--from", "1998-01-02", "--to", "1998-01-09", "--strategy", "momentum"), "needs 70 sessions before it"),
        ((*SPAN, "--data", "nowhere"), "does not exist"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_a_sentence(home: Home, arguments: tuple[str, ...], sentence: str) -> None:
    done = home.call("backtest", *arguments)
    assert done.status == 1
    assert sentence in done.text
    assert "Traceback" not in done.text
