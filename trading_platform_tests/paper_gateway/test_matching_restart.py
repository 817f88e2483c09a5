"""The venue's state over a restart and over SIGKILL at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.clock import ManualClock
from trading_platform.paper_gateway.model import Executed
from trading_platform_tests.paper_gateway.venue_kit import AAPL, CLIENT, IBM, Desk, codes, et, of_kind, ticket


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    desk = Desk(path=tmp_path / "paper.sqlite")
    desk.place(ticket("BUY", 100))
    parent = desk.place(ticket("BUY", 50, "LMT", limit="98.00"), transmit=False, time_in_force="GTC")
    desk.place(ticket("SELL", 50, "STP", stop="95.00"), parent_id=parent, time_in_force="GTC")
    desk.place(ticket("SELL", 30), contract=IBM)
    venue = desk.venue
    before = (
        venue.open_orders(),
        venue.completed_orders(),
        venue.executions(),
        venue.holdings(),
        venue.account_values(),
        venue.pnl(),
        venue.next_order_id(CLIENT),
    )
    desk.reopen()
    venue = desk.venue
    assert before == (
        venue.open_orders(),
        venue.completed_orders(),
        venue.executions(),
        venue.holdings(),
        venue.account_values(),
        venue.pnl(),
        venue.next_order_id(CLIENT),
    )
    first = desk.fills()[0]
    order = desk.place(ticket("BUY", 1))
    assert desk.order(order).perm_id > max(o.perm_id for o in before[0])
    assert desk.fills(order)[0].exec_id not in {fill.exec_id for fill in before[2]}
    assert first.exec_id.startswith("0000e0d5.")
    assert first.exec_id.endswith(".01.01")


def test_what_happened_while_the_gateway_was_down_is_caught_up_with_its_own_time(tmp_path: Path) -> None:
    desk = Desk(path=tmp_path / "paper.sqlite")
    filled = desk.place(ticket("BUY", 100, "LMT", limit="99.00"))
    expired = desk.place(ticket("BUY", 100, "LMT", limit="90.00"))
    desk.venue.close()
    desk.market.set_price(AAPL, "98.50", et("11:00"))
    desk.market.set_price(AAPL, "100.00", et("11:10"))
    desk.clock.set(et("09:00", "2013-03-01"))
    desk.venue = desk._open()
    said = desk.at(et("09:00", "2013-03-01"))
    assert of_kind(Executed, said)[0].execution.ts_utc == et("11:00")
    assert [desk.status(order) for order in (filled, expired)] == ["Filled", "Cancelled"]


def test_volume_taken_before_a_restart_stays_taken(tmp_path: Path) -> None:
    desk = Desk(path=tmp_path / "paper.sqlite")
    desk.market.set_volume(AAPL, et("10:00"), "500")
    order = desk.place(ticket("BUY", 80))
    desk.reopen()
    desk.at(et("10:00:30"))
    assert desk.order(order).filled == 50
    desk.at(et("10:01"))
    assert sum(fill.commission for fill in desk.fills(order)) == 1


def test_staged_orders_are_forgotten_by_a_restart(tmp_path: Path) -> None:
    desk = Desk(path=tmp_path / "paper.sqlite")
    staged = desk.place(ticket("BUY", 1), transmit=False)
    desk.reopen()
    assert codes(desk.venue.cancel(CLIENT, staged)) == [10147]


def test_a_clock_that_starts_again_at_an_earlier_moment_is_no_trouble(tmp_path: Path) -> None:
    """A second run ``--as-of`` the same moment opens the first one's account."""
    desk = Desk(path=tmp_path / "paper.sqlite")
    desk.at(et("10:20"))
    desk.place(ticket("BUY", 10))
    resting = desk.place(ticket("BUY", 10, "LMT", limit="99.00"))
    desk.clock = ManualClock(et("10:00"))
    desk.reopen()
    desk.place(ticket("BUY", 10))
    assert desk.quantity() == 20
    assert len(desk.venue.executions()) == 2
    desk.market.set_price(AAPL, "98.00", et("10:30"))
    desk.at(et("10:31"))
    assert desk.status(resting) == "Filled"


def test_a_contract_that_left_the_market_keeps_its_saved_description(tmp_path: Path) -> None:
    desk = Desk(path=tmp_path / "paper.sqlite")
    desk.place(ticket("BUY", 10))
    desk.venue.close()
    desk.venue = type(desk.venue)(desk.market, {}, desk.clock.now, desk.venue._store.__class__(desk.path), "DU1000000")
    assert desk.venue.holdings()[0].contract == AAPL


TRADER = """
    import sys
    from datetime import timedelta
    from pathlib import Path
    from trading_platform_tests.paper_gateway.venue_kit import AAPL, CLIENT, Desk, et, ticket

    desk = Desk(path=Path(sys.argv[1]))
    print("ready", flush=True)
    while True:
        desk.market.set_volume(AAPL, desk.clock.now(), "200")
        side = "BUY" if desk.venue.next_order_id(CLIENT) % 3 else "SELL"
        order = desk.place(ticket(side, 30), order_ref=f"ref.{desk.venue.next_order_id(CLIENT)}")
        print(order, desk.order(order).perm_id, desk.order(order).filled, flush=True)
        desk.at(desk.clock.now() + timedelta(minutes=1))
"""


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_gateway_killed_at_any_moment_has_everything_it_ever_announced(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "paper.sqlite"
    trader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRADER), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert trader.stdout is not None
    assert trader.stdout.readline() == "ready\n"
    heard = [trader.stdout.readline() for _ in range(chance.randint(1, 20))]
    time.sleep(chance.uniform(0, 0.02))
    trader.send_signal(signal.SIGKILL)
    heard += trader.communicate(timeout=30)[0].splitlines(keepends=True)
    announced = [line.split() for line in heard if line.endswith("\n")]

    desk = Desk(et("10:00") + timedelta(minutes=1), path=path)
    orders = {order.order_id: order for order in (*desk.venue.open_orders(), *desk.venue.completed_orders())}
    for order_id, perm_id, filled in announced:
        assert orders[int(order_id)].perm_id == int(perm_id)
        assert orders[int(order_id)].filled >= Decimal(filled)
    spent = quantity = Decimal(0)
    for fill in desk.fills():
        signed = fill.quantity if fill.action == "BUY" else -fill.quantity
        quantity += signed
        spent += signed * fill.price + fill.commission
    assert desk.venue._engine.account.cash == Decimal(1_000_000) - spent
    assert desk.quantity() == quantity
    for order in orders.values():
        assert order.filled == sum((fill.quantity for fill in desk.fills(order.order_id)), Decimal(0))
    assert desk.venue.next_order_id(CLIENT) == max(orders, default=0) + 1
