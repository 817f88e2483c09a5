from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.paper_gateway.account import Position
from trading_platform.paper_gateway.model import PaperExecution, PaperOrder
from trading_platform.paper_gateway.state import Changes, Header
from trading_platform.paper_gateway.store import (
    CorruptStateError,
    ForeignStateError,
    StateInUseError,
    StateNotWritableError,
    Store,
)
from trading_platform_tests.paper_gateway.venue_kit import AAPL, ACCOUNT, CLIENT, Desk, et, ticket

HEADER = Header(ACCOUNT, Decimal("999.123456"), 1_000_000_005, 4_294_967_295, et("10:00"))
ORDER = PaperOrder(
    CLIENT,
    3,
    1_000_000_004,
    AAPL,
    replace(ticket("BUY", 10, "LMT", limit="99.50"), good_till=et("12:00"), order_ref="a.b.c"),
    status="Submitted",
    filled=Decimal(4),
    working_since=et("10:00"),
)
EXECUTION = PaperExecution(
    "0000e0d5.00000001.01.01",
    CLIENT,
    3,
    1_000_000_004,
    "a.b.c",
    AAPL,
    "BUY",
    Decimal(4),
    Decimal("99.5"),
    Decimal(4),
    Decimal("99.5"),
    Decimal("0.398"),
    None,
    et("10:01"),
    "NASDAQ",
)
CHANGES = Changes(HEADER, [ORDER], [EXECUTION], [Position(AAPL, Decimal(4), Decimal("398.398"))])


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_what_was_saved_is_read_back_equal(tmp_path: Path, is_in_memory: bool) -> None:
    path = None if is_in_memory else tmp_path / "deep" / "paper.sqlite"
    store = Store(path)
    assert store.load() is None
    store.save(CHANGES)
    if path is not None:
        store.close()
        store = Store(path)
    saved = store.load()
    assert saved is not None
    assert saved.header == HEADER
    assert saved.orders == [ORDER]
    assert saved.executions == [EXECUTION]
    assert saved.positions == CHANGES.positions


def test_a_flat_position_is_forgotten_and_an_order_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "paper.sqlite")
    store.save(CHANGES)
    done = replace(ORDER, status="Filled", filled=Decimal(10))
    store.save(Changes(HEADER, [done], [], [Position(AAPL)]))
    saved = store.load()
    assert saved is not None
    assert (saved.orders, saved.positions) == ([done], [])


def test_a_transaction_that_fails_leaves_nothing_behind() -> None:
    store = Store(None)
    store.save(CHANGES)
    with pytest.raises(CorruptStateError):
        store.save(Changes(replace(HEADER, cash=Decimal(1)), [replace(ORDER, status="Filled")], [EXECUTION], []))
    saved = store.load()
    assert saved is not None
    assert (saved.header, saved.orders) == (HEADER, [ORDER])


def test_facts_are_kept_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    store = Store(path)
    assert store.get_fact("anchor") is None
    store.set_fact("anchor", "2013-02-28")
    store.set_fact("anchor", "2013-03-01")
    store.close()
    assert Store(path).get_fact("anchor") == "2013-03-01"


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    path.write_text("symbol,ts,open\n" * 500)
    with pytest.raises(CorruptStateError, match="delete it to start with a fresh paper account"):
        Store(path)
    assert path.read_text().startswith("symbol")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    store = Store(path)
    store.save(CHANGES)
    store.close()
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 512):
        content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(CorruptStateError):
        Store(path).load()


def test_an_unreadable_record_is_corruption_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    store = Store(path)
    store.save(CHANGES)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE orders SET document = '{\"client_id\":1}'")
    connection.close()
    with pytest.raises(CorruptStateError, match="can't be read"):
        Store(path).load()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with pytest.raises(ForeignStateError, match="another program"):
        Store(path)


def test_a_file_of_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ForeignStateError, match="layout 99"):
        Store(path)


def test_another_accounts_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    store = Store(path)
    store.save(Changes(replace(HEADER, account="DU20130228")))
    store.close()
    with pytest.raises(ForeignStateError, match="DU20130228"):
        Desk(path=path)


def test_a_second_gateway_on_the_same_file_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    program = (
        f"from pathlib import Path\nfrom trading_platform.paper_gateway.store import Store\nStore(Path({str(path)!r}))"
    )
    first = Store(path)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "StateInUseError" in done.stderr
    with pytest.raises(StateInUseError, match="in use by another gateway"):
        Store(path)
    first.close()
    Store(path).close()


def test_a_place_that_can_not_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateNotWritableError, match="name another place"):
        Store(tmp_path / "file" / "paper.sqlite")
    with pytest.raises(StateNotWritableError, match="can't be written"):
        Store(tmp_path)


def test_a_full_disk_refuses_the_order_and_keeps_the_account_as_it_was(tmp_path: Path) -> None:
    """The file-size limit of the process stands in for the end of the disk."""
    program = f"""
        import resource, signal, sys
        from dataclasses import replace
        from pathlib import Path
        from trading_platform.paper_gateway.store import StateNotWritableError
        from trading_platform_tests.paper_gateway.venue_kit import Desk, ticket
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        desk = Desk(path=Path({str(tmp_path / "paper.sqlite")!r}))
        desk.place(ticket("BUY", 100))
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        for placed in range(1000):
            before = (desk.venue.account_values(), desk.venue.holdings(), desk.venue.next_order_id(7))
            try:
                desk.place(ticket("BUY", 1))
            except StateNotWritableError as error:
                print(error)
                break
        assert (desk.venue.account_values(), desk.venue.holdings(), desk.venue.next_order_id(7)) == before
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        desk.place(ticket("BUY", 1))
        assert desk.quantity() == 100 + placed + 1, (desk.quantity(), placed)
    """
    assert resource.RLIM_INFINITY
    assert signal.SIGXFSZ
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "free space on the disk" in done.stdout
