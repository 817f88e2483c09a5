"""The schema: migrations up and down, what the code thinks of it, and what the database forbids by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from trading_platform.domain.orders.model import OrderIntent, OrderStatus
from trading_platform.domain.orders.state import LEGAL_TRANSITIONS
from trading_platform.storage.ledger import (
    Ledger,
    LedgerRefusedError,
    LedgerSchemaError,
    LedgerUnavailableError,
)
from trading_platform.storage.ledger import schema as ledger_schema
from trading_platform.storage.ledger.database import parse_url
from trading_platform.storage.ledger.tables import metadata
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    RUN,
    TICK,
    approve,
    make_execution,
    make_intent,
    make_tick,
    record,
    start,
)


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def connection(ledger: Ledger, ledger_url: str) -> Iterator[sa.Connection]:
    with connected(ledger_url) as opened:
        yield opened


def test_migrations_go_up_down_and_up_again(database_url):
    ledger = Ledger(database_url)
    assert not ledger.is_current()
    ledger.migrate()
    assert ledger.is_current()
    record(ledger)
    ledger.downgrade("base")
    assert not ledger.is_current()
    with connected(database_url) as connection:
        assert sa.inspect(connection).get_table_names() == [ledger_schema.VERSION_TABLE]
        assert not connection.execute(sa.text("SELECT proname FROM pg_proc WHERE proname LIKE 'ledger%'")).all()
    ledger.migrate()
    assert ledger.is_current()
    assert ledger.orders(ACCOUNT) == []
    ledger.close()


def bracket_intents() -> list[OrderIntent]:
    """An entry with a target, which the first schema could not describe."""
    entry = make_intent()
    name = entry.client_order_id
    exit_ = replace(entry.request, client_order_id=f"{name}t", side="SELL", order_type="LOC", limit_price=Decimal(180))
    return [entry, replace(entry, request=replace(exit_, parent_id=name, oca_group=name))]


def test_the_kinds_of_orders_go_down_and_up_again(database_url):
    ledger = Ledger(database_url)
    ledger.migrate()
    record(ledger)
    ledger.downgrade("0001")
    with connected(database_url) as connection:
        assert "order_replacements" not in sa.inspect(connection).get_table_names()
        assert connection.scalar(sa.text("SELECT count(*) FROM order_intents")) == 1
    ledger.migrate()
    (order,) = ledger.orders(ACCOUNT)
    assert order.intent == make_intent()
    ledger.close()


def test_what_has_arrived_of_orders_is_summed_up_when_an_old_ledger_is_migrated(database_url):
    ledger = Ledger(database_url)
    ledger.migrate()
    whole, part, none = (make_intent(symbol) for symbol in ("AAPL", "IBM", "MSFT"))
    record(ledger, ("AAPL", "IBM", "MSFT"))
    for intent in (whole, part, none):
        start(ledger, intent)
    executions = [
        make_execution(1, whole, quantity="4"),
        make_execution(1, whole, quantity="6", revision=2),
        make_execution(2, whole, quantity="4"),
        make_execution(3, part, quantity="3"),
    ]
    ledger.record_executions(executions, at=NOW, run_id=RUN)
    before = ledger.orders(ACCOUNT), ledger.working_orders(ACCOUNT)
    assert [order.arrived_quantity for order in before[0]] == [10, 3, 0]
    ledger.downgrade("0002")
    ledger.migrate()
    assert (ledger.orders(ACCOUNT), ledger.working_orders(ACCOUNT)) == before
    ledger.close()


def test_a_ledger_with_orders_the_old_schema_can_not_describe_does_not_go_down(database_url):
    ledger = Ledger(database_url)
    ledger.migrate()
    ledger.record_tick(make_tick(), [(intent, approve(intent)) for intent in bracket_intents()])
    with pytest.raises(LedgerRefusedError, match="order_intents_"):
        ledger.downgrade("0001")
    assert ledger.is_current()
    assert len(ledger.orders(ACCOUNT)) == 2
    ledger.close()


@pytest.mark.parametrize(
    "request_changes",
    [
        {"order_type": "TRAIL", "stop_price": Decimal(1)},
        {"order_type": "TRAIL", "stop_price": Decimal(1), "trail_amount": Decimal(1), "trail_percent": Decimal(1)},
        {"trail_percent": Decimal(1)},
        {"time_in_force": "GTD"},
        {"good_till_utc": NOW},
        {"order_type": "MOC", "time_in_force": "GTC"},
        {"order_type": "LOC"},
        {"parent_id": "nobody"},
    ],
)
def test_the_database_refuses_orders_that_make_no_sense(ledger, request_changes):
    intent = make_intent()
    wrong = replace(intent, request=replace(intent.request, **request_changes))
    with pytest.raises(LedgerRefusedError):
        ledger.record_tick(make_tick(), [(wrong, approve(wrong))])
    assert ledger.orders(ACCOUNT) == []


def test_what_replaces_what_is_kept_and_never_changed(ledger, connection):
    record(ledger)
    later = make_tick(TICK + timedelta(minutes=5))
    new = replace(make_intent(tick=later), replaces=(make_intent().client_order_id,), position_quantity=Decimal(3))
    ledger.record_tick(later, [(new, approve(new))])
    (order,) = ledger.orders(ACCOUNT, tick_utc=later.tick_utc)
    assert order.intent == new
    last = ledger.record_tick(make_tick(TICK + timedelta(minutes=10)), [], cancels=[new.client_order_id])
    assert last.cancels == (new.client_order_id,)
    assert ledger.tick(ACCOUNT, "momentum", last.tick.tick_utc).cancels == last.cancels
    for statement in ("UPDATE order_replacements SET replaced_by = NULL", "DELETE FROM order_replacements"):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            connection.execute(sa.text(statement))
        connection.rollback()


def test_migrating_twice_at_once_is_safe(database_url):
    ledgers = [Ledger(database_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Ledger.migrate, ledgers))
    assert all(ledger.is_current() for ledger in ledgers)
    for ledger in ledgers:
        ledger.close()


def test_the_head_revision_the_code_names_is_the_newest_script():
    assert ledger_schema.script_head() == ledger_schema.HEAD_REVISION


def test_tables_of_the_code_are_the_tables_of_the_database(connection):
    context = MigrationContext.configure(connection, opts={"version_table": ledger_schema.VERSION_TABLE})
    assert compare_metadata(context, metadata) == []


def test_transitions_of_the_database_are_those_of_the_domain(connection):
    rows = connection.execute(sa.text("SELECT from_status, to_status FROM order_status_transitions")).all()
    stored = {(OrderStatus(before), OrderStatus(after)) for before, after in rows}
    assert stored == {(before, after) for before, afters in LEGAL_TRANSITIONS.items() for after in afters}


def test_an_unmigrated_database_is_named_with_what_to_do(database_url):
    ledger = Ledger(database_url)
    with pytest.raises(LedgerSchemaError, match=r"without a schema.*trading-platform run"):
        ledger.orders(ACCOUNT)
    ledger.close()


def test_a_ledger_newer_than_the_code_is_refused(database_url):
    ledger = Ledger(database_url)
    ledger.migrate()
    with connected(database_url) as connection:
        connection.execute(sa.text(f"UPDATE {ledger_schema.VERSION_TABLE} SET version_num = '9999'"))
        connection.commit()
    with pytest.raises(LedgerSchemaError, match=r"9999.*update the code"):
        ledger.orders(ACCOUNT)
    ledger.close()


def test_a_dead_postgresql_says_what_to_do():
    ledger = Ledger("postgresql+psycopg2://nobody:secret@127.0.0.1:1/ledger")
    with pytest.raises(LedgerUnavailableError, match="doctor") as caught:
        ledger.orders(ACCOUNT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///ledger.db", "not a url"])
def test_only_postgresql_urls_are_taken(url):
    with pytest.raises(ValueError, match="postgresql\\+psycopg2://"):
        parse_url(url)


def test_a_plain_postgresql_url_gets_the_driver():
    assert parse_url("postgresql://u:p@/db?host=/run/pg").drivername == "postgresql+psycopg2"


@pytest.mark.parametrize("table", ["order_events", "risk_decisions", "strategy_ticks"])
@pytest.mark.parametrize("change", ["UPDATE {} SET dagster_run_id = 'forged'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_history_is_append_only(ledger, connection, table, change):
    record(ledger)
    with pytest.raises(sa.exc.IntegrityError, match="append-only"):
        connection.execute(sa.text(change.format(table)))


@pytest.mark.parametrize("table", ["order_intents", "fills", "halts"])
def test_orders_fills_and_halts_are_never_deleted(ledger, connection, table):
    record(ledger)
    ledger.record_executions([make_execution(1)], at=NOW, run_id=RUN)
    ledger.halt("*", reason="test", who="me", at=NOW)
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            connection.execute(sa.text(statement))
        connection.rollback()


@pytest.mark.parametrize(
    "to", sorted(set(OrderStatus) - LEGAL_TRANSITIONS[OrderStatus.APPROVED] - {OrderStatus.APPROVED})
)
def test_the_database_itself_forbids_illegal_transitions(ledger, connection, to):
    record(ledger)
    with pytest.raises(sa.exc.IntegrityError, match="can not become"):
        connection.execute(sa.text("UPDATE order_intents SET status = :to"), {"to": to.value})


@pytest.mark.parametrize(
    "change",
    [
        "quantity = 11",
        "side = 'SELL'",
        "symbol = 'IBM'",
        "decision_price = 1",
        "client_order_id = 'x'",
        "filled_quantity = 'NaN'",
        "perm_id = 0",
        "oca_group = 'x'",
        "trail_percent = 1",
        "position_quantity = 1",
    ],
)
def test_a_decided_intent_can_not_be_changed(ledger, connection, change):
    record(ledger)
    with pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.text(f"UPDATE order_intents SET {change}"))


@pytest.mark.parametrize("change", ["quantity = 11", "price = 1", "commission = 2", "client_order_id = NULL"])
def test_a_fill_can_not_be_changed(ledger, connection, change):
    record(ledger)
    ledger.record_executions([make_execution(1, make_intent())], at=NOW, run_id=RUN)
    with pytest.raises(sa.exc.IntegrityError, match="only a missing commission"):
        connection.execute(sa.text(f"UPDATE fills SET {change}"))


def test_an_order_can_not_begin_approved(ledger, connection):
    record(ledger)
    columns = [c.name for c in metadata.tables["order_intents"].columns if c.name not in ("client_order_id", "status")]
    names = ", ".join(columns)
    with pytest.raises(sa.exc.IntegrityError, match="must begin as created"):
        connection.execute(
            sa.text(
                f"INSERT INTO order_intents (client_order_id, status, {names}) "
                f"SELECT 'other', 'approved', {names} FROM order_intents"
            )
        )


def test_a_lease_never_goes_to_another_holder_without_a_higher_token(ledger, connection):
    with ledger.submission_lease(ACCOUNT, holder="a", now=lambda: NOW, wait_seconds=1):
        pass
    with pytest.raises(sa.exc.IntegrityError, match="higher fencing token"):
        connection.execute(sa.text("UPDATE submission_leases SET holder = 'b'"))


def test_naive_datetimes_are_refused(ledger):
    with pytest.raises(sa.exc.StatementError, match="no time zone"):
        ledger.tick(ACCOUNT, "momentum", datetime(2024, 3, 5))  # noqa: DTZ001
    assert ledger.tick(ACCOUNT, "momentum", TICK) is None
