"""`trading-platform run` from a clone to filled paper orders, and again."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

import pytest

from trading_platform_tests.cli.command import AS_OF, Done, Home, interrupt_at

TYPES: dict[str, type | tuple[type, ...]] = {
    "as_of": str,
    "session": str,
    "account": str,
    "mode": str,
    "market": str,
    "sessions": dict,
    "notes": list,
    "assets": dict,
    "checks": list,
    "signals": list,
    "intents": list,
    "orders": list,
    "fills": list,
    "positions": list,
    "equity": float,
    "new_orders": int,
    "outcomes": dict,
    "dagster_runs": list,
    "failures": list,
    "success": bool,
}
ROW_KEYS = {
    "checks": {"asset", "check", "passed", "severity"},
    "intents": {"strategy", "symbol", "side", "quantity", "approved", "reasons"},
    "orders": {"client_order_id", "perm_id", "symbol", "side", "quantity", "type", "status", "filled_quantity"},
    "fills": {"execution_id", "client_order_id", "symbol", "side", "quantity", "price", "commission", "ts"},
    "positions": {"symbol", "quantity", "average_price"},
}
SATURDAY = "2013-03-02T12:00:00-05:00"
ANOTHER_DAY = "2013-02-26T15:45:00-05:00"
FOUR = "AAPL,IBM,MSFT,GOOG"


@pytest.fixture(scope="module")
def first(home: Home) -> tuple[Done, dict[str, Any]]:
    """The first run in a home: everything is set up."""
    return home.run("--as-of", AS_OF)


def test_the_first_run_ends_with_filled_paper_orders(first: tuple[Done, dict[str, Any]]) -> None:
    done, document = first
    assert done.status == 0, done.text
    assert document["orders"]
    assert {order["status"] for order in document["orders"]} == {"filled"}
    assert document["new_orders"] == len(document["orders"])
    assert {fill["client_order_id"] for fill in document["fills"]} == {o["client_order_id"] for o in document["orders"]}
    assert document["account"] == "DU20130228"
    assert document["equity"] > 0
    assert document["failures"] == []


def test_the_document_has_the_documented_keys_and_types(first: tuple[Done, dict[str, Any]]) -> None:
    document = first[1]
    assert set(document) == set(TYPES)
    for key, kind in TYPES.items():
        assert isinstance(document[key], kind), key
    for key, names in ROW_KEYS.items():
        assert all(names <= set(row) for row in document[key]), key
    assert {outcome["status"] for outcome in document["assets"].values()} <= {"materialized", "skipped"}
    json.dumps(document, allow_nan=False)


def test_the_screen_shows_progress_and_a_summary_without_warnings(first: tuple[Done, dict[str, Any]]) -> None:
    done = first[0]
    assert "✓ market_data/daily_raw_bars" in done.out
    assert "✓ portfolio/performance" in done.out
    assert "equity" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert "warn" not in done.err.lower(), done.err
    assert done.err == ""


def test_nothing_is_left_running(home: Home, first: tuple[Done, dict[str, Any]]) -> None:
    assert first[0].status == 0
    assert home.processes_in_the_end() == []


def test_a_second_run_at_the_same_moment_places_no_order_and_says_why(
    home: Home, first: tuple[Done, dict[str, Any]]
) -> None:
    done, document = home.run("--as-of", AS_OF)
    assert done.status == 0, done.text
    assert document["new_orders"] == 0
    assert document["orders"] == first[1]["orders"]
    assert "already placed" in document["outcomes"]["orders/momentum_orders"]
    assert "already placed" in done.text
    assert _order_counts(home, "2013-02-28") == {order["client_order_id"]: 1 for order in document["orders"]}


def test_symbols_narrow_the_universe_and_a_closed_market_gets_no_order(
    home: Home, first: tuple[Done, dict[str, Any]]
) -> None:
    assert first[0].status == 0
    done, document = home.run("--as-of", SATURDAY, "--symbols", "aapl, IBM")
    assert done.status == 0, done.text
    assert {signal["symbol"] for signal in document["signals"]} == {"AAPL", "IBM"}
    assert {key for key in document["assets"] if key.endswith("_signals")} == {"signals/momentum_signals"}
    assert document["market"] == "closed"
    assert document["session"] == "2013-03-01"
    assert (document["new_orders"], document["orders"]) == (0, [])
    assert "closed" in document["outcomes"]["orders/momentum_order_intents"]


def test_ctrl_c_twice_and_a_third_run_doubles_nothing(home: Home, first: tuple[Done, dict[str, Any]]) -> None:
    assert first[0].status == 0
    arguments = ("run", "--as-of", ANOTHER_DAY, "--symbols", FOUR)
    for sign in ("✓ features/daily_features", "✓ orders/momentum_orders"):
        done = interrupt_at(home.start(*arguments), sign)
        assert done.status == 130, done.text
        assert "Traceback" not in done.err
        assert "nothing is done twice" in done.err
        assert home.processes_in_the_end() == []
    done, document = home.run(*arguments[1:])
    assert done.status == 0, done.text
    assert document["orders"]
    assert _order_counts(home, "2013-02-26") == {order["client_order_id"]: 1 for order in document["orders"]}
    assert document["new_orders"] == 0, "the second run was interrupted after its orders were placed"


def _order_counts(home: Home, session: str) -> Counter[str]:
    """How often the paper gateway has an order of each reference."""
    path = home.state / "worlds" / f"as-of-{session}" / "paper_gateway" / "account.sqlite"
    with sqlite3.connect(path) as database:
        documents = [json.loads(document) for (document,) in database.execute("SELECT document FROM orders")]
    return Counter(_find(document, "order_ref") for document in documents)


def _find(document: Any, key: str) -> str:
    """The value of ``key`` anywhere in a JSON document."""
    if isinstance(document, dict):
        if key in document:
            return str(document[key])
        document = list(document.values())
    if isinstance(document, list):
        return next((found for found in (_find(part, key) for part in document) if found), "")
    return ""
