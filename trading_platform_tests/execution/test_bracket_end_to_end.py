"""A bracket strategy's life with real parts: PostgreSQL, the real client library, the paper gateway's socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.clock import ManualClock
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import due_bar
from trading_platform.domain.orders.model import OrderIntent, OrderStatus, RiskDecision
from trading_platform.domain.orders.risk.decision import decide
from trading_platform.domain.orders.risk.due import due_bars
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.domain.signals.ticks import Decision, decision_at
from trading_platform.execution.decide import DecidedTick, decide_tick
from trading_platform.execution.observe import observe
from trading_platform.execution.reconcile import reconcile
from trading_platform.execution.report import SubmissionReport
from trading_platform.execution.submit import submit_tick
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.faults import DropConnection, RejectOrders
from trading_platform.paper_gateway.messages.ids import Incoming
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.ledger import Ledger
from trading_platform_tests.domain.orders.builders import signal, spec
from trading_platform_tests.storage.ledger.builders import ACCOUNT

START = datetime(2013, 2, 27, 15, 0, 20, tzinfo=timezone.utc)
INSTRUMENTS = {
    "AAPL": Instrument("AAPL", primary_exchange="NASDAQ"),
    "BTC": Instrument("BTC", "CRYPTO", calendar="24/7"),
}
SMALL = {"equity_fraction": "0.02"}
FILLED, CANCELLED, SUBMITTED = OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.SUBMITTED


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def gateway(clock: ManualClock) -> Iterator[PaperGateway]:
    config = GatewayConfig(port=0, account=ACCOUNT, pacing_enabled=False)
    running = PaperGateway(config, clock.now).start_in_thread()
    yield running
    running.stop_in_thread()


@pytest.fixture
def broker(gateway: PaperGateway) -> Iterator[IBKRBroker]:
    config = IBKRConfig(port=gateway.port, request_timeout_seconds=3.0, retry_wait_seconds=0.05, read_attempts=3)
    with IBKRBroker(config) as connected:
        yield connected


class Trader:
    """One strategy with its real risk control, decided and submitted at the clock's moments."""

    def __init__(
        self, ledger: Ledger, broker: IBKRBroker, gateway: PaperGateway, clock: ManualClock, of: StrategySpec
    ) -> None:
        self.ledger, self.broker, self.gateway, self.clock, self.spec = ledger, broker, gateway, clock, of
        self.symbol = of.universe[0]

    def due(self) -> Decision:
        found = decision_at(self.spec, get_calendar(self.spec.calendar), self.clock.now())
        assert isinstance(found, Decision)
        return found

    def fresh_bars(self) -> dict[str, datetime]:
        """The newest bar that a healthy feed has."""
        calendar = get_calendar(self.spec.calendar)
        return {self.symbol: due_bar(self.spec.bar_size, calendar, self.clock.now())}

    def decide(self, weight: float) -> DecidedTick:
        quote = self.broker.quote(INSTRUMENTS[self.symbol])
        assert quote.last is not None
        return decide_tick(
            self.ledger,
            self.broker,
            self.spec,
            [signal(self.symbol, weight, float(quote.last))],
            self.due(),
            instruments=INSTRUMENTS,
            quarantined=frozenset(),
            newest_bars=self.fresh_bars(),
            signal_time_utc=self.clock.now(),
            clock=self.clock,
            run_id="run",
            code_version="abc",
            world="test",
        )

    def submit(self) -> SubmissionReport:
        report = submit_tick(
            self.ledger,
            self.broker,
            INSTRUMENTS,
            account=ACCOUNT,
            strategy=self.spec.name,
            tick_utc=self.due().tick_utc,
            guard=self.guard(),
            clock=self.clock,
            run_id="run",
            settle_seconds=0.1,
            in_flight_seconds=0,
        )
        self.settle()
        return report

    def tick(self, weight: float) -> SubmissionReport:
        """Decide with this target weight and send what comes of it; every control must agree."""
        decided = self.decide(weight)
        assert [order.status for order in decided.record.orders if order.status is not OrderStatus.APPROVED] == [], [
            stored.decision.reasons for stored in self.ledger.risk_decisions(ACCOUNT)
        ]
        return self.submit()

    def decide_later(self, weight: float) -> None:
        """Decide the next tick, as a run does that is slow to submit."""
        self.clock.advance(timedelta(minutes=5))
        self.later = self.due()
        self.decide(weight)

    def settle(self) -> None:
        """Let the gateway act on the moment and take the broker's truth in; ledger and broker must agree."""
        self.gateway.step_now()
        assert reconcile(self.ledger, self.broker, account=ACCOUNT, clock=self.clock, run_id="run").problems == ()

    def pass_minutes(self, minutes: int, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(0, minutes, 5):
            self.clock.advance(timedelta(minutes=5))
            self.settle()
            if until():
                return

    def statuses(self) -> dict[str, OrderStatus]:
        """By what follows the tick's stamp in an order's name."""
        return {order.client_order_id.partition("Z.")[2]: order.status for order in self.ledger.orders(ACCOUNT)}

    @property
    def held(self) -> Decimal:
        at_broker = {position.symbol: position.quantity for position in self.broker.positions()}
        by_fills = self.ledger.strategy_position(ACCOUNT, self.spec.name)
        assert at_broker == by_fills
        return by_fills.get(self.symbol, Decimal(0))

    def live(self) -> list[str]:
        return sorted(o.client_order_id for o in self.broker.open_orders() if not o.status.is_terminal)

    def guard(self) -> Callable[[OrderIntent], RiskDecision]:
        context = observe(
            self.ledger,
            self.broker,
            self.spec,
            INSTRUMENTS,
            now=self.clock.now(),
            quarantined=(),
            signal_time_utc=self.clock.now(),
            bars=due_bars(self.spec, self.fresh_bars(), tick_utc=self.due().tick_utc, as_of_utc=self.clock.now()),
        )
        approved: list[OrderIntent] = []

        def judge(intent: OrderIntent) -> RiskDecision:
            (decision,) = decide([intent], replace(context, approved=tuple(approved)))
            approved.extend([intent] if decision.is_approved else [])
            return decision

        return judge


@pytest.fixture
def trader(ledger, broker, gateway, clock) -> Callable[..., Trader]:
    def make(**order: Any) -> Trader:
        return Trader(ledger, broker, gateway, clock, spec(name="tsla", universe=("AAPL",), sizing=SMALL, order=order))

    return make


@pytest.mark.parametrize(
    ("bracket", "ends"),
    [
        ({"target_pct": "0.1", "stop_pct": 15}, {"r0": FILLED, "r0t": FILLED, "r0s": CANCELLED}),
        ({"target_pct": 15, "stop_pct": "0.1"}, {"r0": FILLED, "r0t": CANCELLED, "r0s": FILLED}),
        ({"target_pct": 15, "trail_pct": "0.1"}, {"r0": FILLED, "r0t": CANCELLED, "r0s": FILLED}),
    ],
)
def test_the_entry_fills_one_exit_fills_the_other_is_cancelled_and_all_books_agree(trader, bracket, ends) -> None:
    desk = trader(bracket=bracket)
    report = desk.tick(1.0)
    assert [outcome.outcome for outcome in report.outcomes] == ["placed"] * 3
    assert desk.statuses() == {"r0": FILLED, "r0t": SUBMITTED, "r0s": SUBMITTED}
    assert desk.held > 0
    desk.pass_minutes(240, until=lambda: desk.held == 0)
    assert desk.statuses() == ends
    assert desk.held == 0
    assert desk.live() == []
    assert {fill.strategy for fill in desk.ledger.fills(ACCOUNT)} == {"tsla"}


def test_a_short_bracket_is_the_mirror_of_a_long_one(trader) -> None:
    desk = trader(bracket={"target_pct": "0.1", "stop_pct": 15})
    desk.spec = desk.spec.model_copy(update={"limits": desk.spec.limits.model_copy(update={"is_short_allowed": True})})
    desk.tick(-1.0)
    assert desk.held < 0
    desk.pass_minutes(240, until=lambda: desk.held == 0)
    assert desk.statuses()["r0s"] is CANCELLED
    assert desk.held == 0


def test_a_signal_that_stands_leaves_a_holding_to_its_exits(trader) -> None:
    desk = trader(bracket={"target_pct": 15, "stop_pct": 15})
    desk.tick(1.0)
    desk.pass_minutes(5)
    report = desk.tick(0.5)
    assert report.outcomes == ()
    assert len(desk.live()) == 2


def test_a_strategy_gets_out_past_its_exits_and_they_are_over_before_it_does(trader) -> None:
    desk = trader(bracket={"target_pct": 15, "stop_pct": 15})
    desk.tick(1.0)
    desk.pass_minutes(5)
    report = desk.tick(0.0)
    assert [outcome.outcome for outcome in report.outcomes] == ["placed"]
    assert desk.held == 0
    assert desk.live() == []
    by_name = {order.client_order_id[-3:]: order for order in desk.ledger.orders(ACCOUNT)}
    assert (by_name["r0t"].status, by_name["r0s"].status) == (CANCELLED, CANCELLED)


def test_an_entry_that_waits_is_called_off_with_its_exits_when_the_signal_ends(trader) -> None:
    desk = trader(order_type="STP", stop_offset_bps=300, bracket={"target_pct": 15, "stop_pct": 15})
    desk.tick(1.0)
    assert desk.statuses() == dict.fromkeys(("r0", "r0t", "r0s"), SUBMITTED)
    desk.pass_minutes(5)
    report = desk.tick(0.0)
    assert len(report.called_off) == 3
    assert report.not_called_off == ()
    assert desk.live() == []
    assert desk.held == 0


def test_a_bracket_that_the_broker_refuses_is_refused_whole(trader) -> None:
    desk = trader(bracket={"target_pct": 15, "stop_pct": 15})
    desk.gateway.faults.add(RejectOrders(201, "Order rejected - reason:not today", symbol="AAPL"))
    desk.tick(1.0)
    assert desk.statuses() == dict.fromkeys(("r0", "r0t", "r0s"), OrderStatus.BROKER_REJECTED)
    assert desk.live() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("message", [1, 2, 3])
def test_a_connection_that_breaks_between_the_legs_leaves_all_of_the_bracket_or_nothing(trader, message, when) -> None:
    desk = trader(order_type="STP", stop_offset_bps=300, bracket={"target_pct": 15, "stop_pct": 15})
    desk.decide(1.0)
    desk.gateway.faults.add(DropConnection(message_id=Incoming.PLACE_ORDER, direction="in", when=when, nth=message))
    first = submit_quietly(desk)
    assert {outcome.outcome for outcome in first.outcomes} == {"unknown" if message == 3 else "not_sent"}
    assert len(desk.live()) == (3 if (message, when) == (3, "after") else 0)
    again = submit_quietly(desk)
    if (message, when) == (3, "before"):
        assert {outcome.outcome for outcome in again.outcomes} == {"unknown"}
        assert desk.live() == []
    else:
        assert len(desk.live()) == 3
        assert set(desk.statuses().values()) == {SUBMITTED}


def submit_quietly(desk: Trader, due: Decision | None = None) -> SubmissionReport:
    """Submit without asking that everything is explained by now."""
    return submit_tick(
        desk.ledger,
        desk.broker,
        INSTRUMENTS,
        account=ACCOUNT,
        strategy=desk.spec.name,
        tick_utc=(due or desk.due()).tick_utc,
        guard=desk.guard(),
        clock=desk.clock,
        run_id="run",
        settle_seconds=0.1,
        in_flight_seconds=0,
        confirm_seconds=1.5,
    )


def test_a_stop_entry_that_no_longer_fits_is_replaced_and_one_order_is_live(trader) -> None:
    desk = trader(order_type="STP", stop_offset_bps=300, replace_working=True)
    desk.tick(1.0)
    (old,) = desk.live()
    desk.pass_minutes(5)
    report = desk.tick(0.5)
    assert [outcome.outcome for outcome in report.outcomes] == ["placed"]
    (new,) = desk.live()
    assert new != old
    statuses = {order.client_order_id: order.status for order in desk.ledger.orders(ACCOUNT)}
    assert statuses == {old: CANCELLED, new: SUBMITTED}
    (stored,) = desk.ledger.orders(ACCOUNT, client_order_ids=[new])
    assert (stored.intent.replaces, stored.intent.position_quantity) == ((old,), Decimal(0))


def test_a_fill_in_between_expires_the_order_that_was_planned_without_it(trader) -> None:
    desk = trader(order_type="STP", stop_offset_bps=1, replace_working=True)
    desk.tick(1.0)
    desk.decide_later(0.5)
    desk.pass_minutes(240, until=lambda: desk.held > 0)
    assert desk.held > 0
    report = submit_quietly(desk, desk.later)
    (outcome,) = report.outcomes
    assert (outcome.outcome, outcome.status) == ("refused", OrderStatus.EXPIRED)
    assert "is held after a fill" in outcome.reasons[0]
    assert desk.live() == []


def test_what_another_client_placed_can_not_be_called_off_and_nothing_is_sent_in_its_place(trader, gateway) -> None:
    desk = trader(order_type="STP", stop_offset_bps=300, replace_working=True)
    desk.tick(1.0)
    live = desk.live()
    desk.pass_minutes(5)
    desk.decide(0.5)
    with IBKRBroker(IBKRConfig(port=gateway.port, client_id=77, request_timeout_seconds=3.0)) as stranger:
        own, desk.broker = desk.broker, stranger
        (outcome,) = submit_quietly(desk).outcomes
        desk.broker = own
    assert outcome.outcome == "not_sent"
    assert "lets a client cancel its own orders only" in outcome.reasons[0]
    assert desk.live() == live
    assert [one.outcome for one in submit_quietly(desk).outcomes] == ["placed"]
    assert len(desk.live()) == 1
    assert desk.live() != live


@pytest.mark.parametrize("message_id", [Incoming.CANCEL_ORDER, Incoming.PLACE_ORDER])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_while_one_order_replaces_another_leaves_one_at_most(trader, message_id, when) -> None:
    desk = trader(order_type="STP", stop_offset_bps=300, replace_working=True)
    desk.tick(1.0)
    desk.pass_minutes(5)
    desk.decide(0.5)
    desk.gateway.faults.add(DropConnection(message_id=message_id, direction="in", when=when))
    for _ in range(2):
        submit_quietly(desk)
        assert len(desk.live()) <= 1
    was_lost = (message_id, when) == (Incoming.PLACE_ORDER, "before")
    assert len(desk.live()) == (0 if was_lost else 1)


WAITING = [
    {"order_type": "STP", "stop_offset_bps": 300, "time_in_force": "GTC"},
    {"order_type": "STP LMT", "stop_offset_bps": 300, "time_in_force": "GTD", "good_till_minutes": 30},
    {"order_type": "TRAIL", "trail_percent": 3},
    {"order_type": "MOC"},
    {"order_type": "LOC", "limit_offset_bps": 50},
]


@pytest.mark.parametrize("order", WAITING, ids=[str(order["order_type"]) for order in WAITING])
def test_every_kind_of_order_goes_from_the_spec_to_the_broker_and_is_told_alike(trader, order) -> None:
    desk = trader(**order)
    assert [outcome.outcome for outcome in desk.tick(1.0).outcomes] == ["placed"]
    (stored,) = desk.ledger.orders(ACCOUNT)
    (told,) = desk.broker.open_orders()
    asked = stored.intent.request
    assert stored.status is SUBMITTED
    assert (told.order_type, told.time_in_force) == (order["order_type"], order.get("time_in_force", "DAY"))
    assert told.limit_price == asked.limit_price
    if order["order_type"] != "TRAIL":  # its stop follows the market from the first moment on
        assert told.stop_price == asked.stop_price


def test_coins_are_bought_to_the_eighth_decimal_and_every_book_agrees(ledger, broker, gateway, clock) -> None:
    of = spec(
        name="btc",
        universe=("BTC",),
        calendar="24/7",
        sizing={"method": "fixed_quantity", "quantity": "0.12345678"},
        order={"order_type": "LMT", "limit_offset_bps": 50},
    )
    desk = Trader(ledger, broker, gateway, clock, of)
    desk.tick(1.0)
    assert desk.held == Decimal("0.12345678")
    (order,) = ledger.orders(ACCOUNT)
    assert (order.status, order.filled_quantity) == (FILLED, Decimal("0.12345678"))
