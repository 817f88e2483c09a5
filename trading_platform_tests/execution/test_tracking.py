"""Orders that take their time: followed to their end over fills, closes, nights and restarts, end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.clock import ManualClock
from trading_platform.defs.sensors import watched_orders
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.execution.reconcile import ReconcileReport
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.execution.end_to_end import (
    NAMES,
    TICK,
    clock,
    connect,
    limit,
    reconciled,
    record_orders,
    status_of,
    submit,
)
from trading_platform_tests.storage.ledger.builders import ACCOUNT, STRATEGY
from trading_platform_tests.storage.ledger.fixtures import ledger, ledger_url, migrated_url

__all__ = ["clock", "ledger", "ledger_url", "migrated_url"]

AAPL = NAMES[0]
CLOSE = TICK.replace(hour=21, minute=0)
MORE_THAN_A_DAY_TRADES = Decimal(3_000_000)
Gateways = Callable[[], PaperGateway]


@pytest.fixture
def restart(clock: ManualClock, tmp_path: Path) -> Iterator[Gateways]:
    """``restart()`` ends the gateway that runs, if one does, and starts it again on its saved account."""
    running: list[PaperGateway] = []
    config = GatewayConfig(port=0, account=ACCOUNT, cash=Decimal(10) ** 11, state_path=tmp_path / "account.sqlite")

    def start() -> PaperGateway:
        if running:
            running.pop().stop_in_thread()
        running.append(PaperGateway(config, clock.now).start_in_thread())
        return running[0]

    yield start
    for gateway in running:
        gateway.stop_in_thread()


@contextmanager
def fresh_ledger(url: str) -> Iterator[Ledger]:
    """The ledger as a new process opens it."""
    opened = Ledger(url)
    yield opened
    opened.close()


def look(url: str, gateway: PaperGateway, clock: ManualClock, now: datetime) -> ReconcileReport:
    """What the sensor's run does at ``now``, with nothing kept from before."""
    clock.set(now)
    gateway.step_now()
    with fresh_ledger(url) as ledger, connect(gateway) as broker:
        return reconciled(ledger, broker, clock)


def test_a_slow_order_is_followed_over_nights_and_restarts_until_it_is_filled(ledger, ledger_url, restart, clock):
    record_orders(ledger, quantity=MORE_THAN_A_DAY_TRADES, **limit("1000000", time_in_force="GTC"))
    gateway = restart()
    with connect(gateway) as broker:
        submit(ledger, broker, clock)
    moments = [clock.now() + timedelta(minutes=3), CLOSE + timedelta(minutes=5)]
    moments += [CLOSE + timedelta(days=days, minutes=5) for days in (1, 2)]
    seen = []
    for moment in moments:
        assert watched_orders(ledger, ACCOUNT, moment), "the sensor must go on asking"
        report = look(ledger_url, restart(), clock, moment)
        assert report.problems == ()
        (order,) = ledger.orders(ACCOUNT)
        seen.append((order.status, order.filled_quantity))
        if order.status is OrderStatus.FILLED:
            break
        assert ledger.open_quantity(ACCOUNT, STRATEGY) == {"AAPL": MORE_THAN_A_DAY_TRADES - order.filled_quantity}
    assert seen[-1] == (OrderStatus.FILLED, MORE_THAN_A_DAY_TRADES)
    assert len({filled for _, filled in seen}) >= 3, "it grew from look to look"
    assert ledger.strategy_position(ACCOUNT, STRATEGY) == {"AAPL": MORE_THAN_A_DAY_TRADES}
    assert all(fill.execution.commission is not None for fill in ledger.fills(ACCOUNT))
    assert watched_orders(ledger, ACCOUNT, clock.now()) == ()


@pytest.mark.parametrize(
    ("quantity", "price"), [(Decimal(10), "1"), (MORE_THAN_A_DAY_TRADES, "1000000")], ids=["unfilled", "in part"]
)
def test_a_day_order_is_expired_at_the_close_and_not_merely_cancelled(
    ledger, ledger_url, restart, clock, quantity, price
):
    record_orders(ledger, quantity=quantity, **limit(price))
    gateway = restart()
    with connect(gateway) as broker:
        submit(ledger, broker, clock)
    assert look(ledger_url, gateway, clock, CLOSE - timedelta(minutes=1)).problems == ()
    assert not status_of(ledger, AAPL).is_terminal
    assert look(ledger_url, gateway, clock, CLOSE + timedelta(minutes=1)).problems == ()
    (order,) = ledger.orders(ACCOUNT)
    assert order.status is OrderStatus.EXPIRED
    assert (order.filled_quantity > 0) == (price != "1")
    assert order.filled_quantity == sum(fill.execution.quantity for fill in ledger.fills(ACCOUNT))
    assert watched_orders(ledger, ACCOUNT, clock.now()) == ()


def test_a_cancelled_order_is_cancelled_and_not_expired(ledger, ledger_url, restart, clock):
    record_orders(ledger, **limit("1"))
    gateway = restart()
    with connect(gateway) as broker:
        submit(ledger, broker, clock)
        broker.cancel_order(AAPL)
    look(ledger_url, gateway, clock, CLOSE + timedelta(minutes=1))
    assert status_of(ledger, AAPL) is OrderStatus.CANCELLED


def test_the_close_that_nobody_watched_is_seen_on_the_next_day(ledger, ledger_url, restart, clock):
    """By then the broker lists the order nowhere: completed orders reach back to midnight only."""
    record_orders(ledger, **limit("1"))
    with connect(restart()) as broker:
        submit(ledger, broker, clock)
    clock.set(CLOSE + timedelta(hours=17))
    gateway = restart()
    with connect(gateway) as broker:
        gateway.step_now()
        assert list(broker.completed_orders()) == list(broker.open_orders()) == []
    report = look(ledger_url, gateway, clock, clock.now())
    assert (report.closed, report.problems) == ((AAPL,), ())
    assert status_of(ledger, AAPL) is OrderStatus.EXPIRED
    assert watched_orders(ledger, ACCOUNT, clock.now()) == ()


def test_a_fill_behind_which_a_day_ended_unseen_is_never_explained_away(ledger, ledger_url, restart, clock):
    """The executions are not listed any more, the holding is: a difference for a person, and the order stays open."""
    record_orders(ledger, quantity=MORE_THAN_A_DAY_TRADES, **limit("1000000"))
    with connect(restart()) as broker:
        submit(ledger, broker, clock)
    gateway = restart()
    clock.set(CLOSE - timedelta(hours=1))
    gateway.step_now()
    report = look(ledger_url, gateway, clock, CLOSE + timedelta(hours=17))
    assert report.closed == ()
    assert report.missing == (AAPL,)
    assert [difference.symbol for difference in report.position_differences] == ["AAPL"]
    assert not status_of(ledger, AAPL).is_terminal
