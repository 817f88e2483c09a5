"""How long the ledger's questions take after years of trading: the same four, with 2,000, 20,000 and 200,000 orders.

The rows are written by SQL, past the triggers: finished orders of two fills each, twenty-five a tick.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from common import show, spread

from trading_platform.storage.embedded_postgres import EmbeddedPostgres
from trading_platform.storage.ledger import Ledger
from trading_platform.storage.ledger.database import parse_url

ACCOUNT, STRATEGY = "DU1000000", "momentum"
ORDERS = (2_000, 20_000, 200_000)
ROWS = """
SET session_replication_role = replica;
INSERT INTO strategy_ticks
    SELECT :account, :strategy, '2020-01-01Z'::timestamptz + tick * interval '5 min', '2020-01-01', now(), 'r', 'v',
        'now'
    FROM generate_series(1, :orders / 25) AS tick;
INSERT INTO order_intents (account, client_order_id, strategy, symbol, side, quantity, order_type, time_in_force,
        decision_price, target_weight, confidence, reason, session, tick_utc, as_of_utc, status, filled_quantity,
        arrived_quantity, dagster_run_id, created_at, updated_at)
    SELECT :account, 'o' || number, :strategy, 'S' || number % 25, 'BUY', 10, 'MKT', 'DAY', 1, 0, 0, 'r', '2020-01-01',
        '2020-01-01Z'::timestamptz + (number / 25 + 1) * interval '5 min', now(), 'filled', 10, 10, 'r', now(), now()
    FROM generate_series(1, :orders) AS number;
INSERT INTO fills
    SELECT :account, 'x' || number || '.01', 'x' || number, 1, 'o' || number / 2, :strategy, number,
        'S' || number / 2 % 25, 'BUY', 5, 1, 1, 0, now(), now(), 'r'
    FROM generate_series(2, 2 * :orders + 1) AS number;
"""


def filled(home: Path, orders: int) -> tuple[EmbeddedPostgres, Ledger]:
    """A server with a ledger of ``orders`` orders."""
    server = EmbeddedPostgres(home)
    url = server.start().ledger
    ledger = Ledger(url)
    ledger.migrate()
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        for statement in ROWS.split(";\n"):
            if statement.strip():
                values = {"account": ACCOUNT, "strategy": STRATEGY, "orders": orders}
                known = {name: value for name, value in values.items() if f":{name}" in statement}
                connection.execute(sa.text(statement), known)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))  # as autovacuum does within a minute
    engine.dispose()
    return server, ledger


def milliseconds(question: Callable[[], object], samples: int) -> list[float]:
    """How long it takes."""
    found = []
    for _ in range(samples):
        start = time.perf_counter()
        question()
        found.append((time.perf_counter() - start) * 1000)
    return found


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, str] = {}
    raw: dict[str, object] = {}
    for orders in ORDERS:
        with tempfile.TemporaryDirectory() as home:
            server, ledger = filled(Path(home) / "postgres", orders)
            questions: dict[str, Callable[[], object]] = {
                "working orders": lambda ledger=ledger: ledger.working_orders(ACCOUNT),
                "positions from all fills": lambda ledger=ledger: ledger.positions_from_fills(ACCOUNT),
                "a strategy's position": lambda ledger=ledger: ledger.strategy_position(ACCOUNT, STRATEGY),
                "the fills of one order": lambda ledger=ledger: ledger.fills(ACCOUNT, client_order_ids=["o100"]),
            }
            for name, question in questions.items():
                question()
                found = milliseconds(question, arguments.samples)
                rows[f"{orders:,} orders: {name}, ms"] = spread(found)
                raw[f"{orders} {name}"] = found
            ledger.close()
            server.stop()
    show("The ledger after years", rows, arguments.json, raw)


if __name__ == "__main__":
    main()
