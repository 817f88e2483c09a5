"""Stop everything, with real parts: PostgreSQL, the client library, the gateway's socket; and what races it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
import sqlalchemy as sa

from trading_platform.brokers.base import BrokerConnectionError
from trading_platform.brokers.ibkr.breaker import BreakerPolicy, CircuitBreaker
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.brokers.ibkr.shared_state import SharedState, gateway_directory
from trading_platform.clock import ManualClock
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import OrderRequest, OrderStatus
from trading_platform.execution.await_fills import await_fills
from trading_platform.execution.kill_switch import (
    PLATFORM,
    KillReport,
    NoReasonError,
    engage,
    engage_on_breach,
    engage_on_broken_reconciliation,
    release,
)
from trading_platform.execution.reconcile import reconcile
from trading_platform.execution.submit import submit_tick
from trading_platform.paper_gateway.config import GatewayConfig
from trading_platform.paper_gateway.server import PaperGateway
from trading_platform.storage.ledger import Ledger, submission
from trading_platform.storage.ledger.model import SubmissionStart
from trading_platform.storage.ledger.tables import halts
from trading_platform_tests.execution.conftest import submit
from trading_platform_tests.execution.recording_broker import RecordingBroker
from trading_platform_tests.storage.ledger.builders import (
    ACCOUNT,
    NOW,
    STRATEGY,
    approve,
    make_intent,
    make_tick,
    record,
    start,
)

TICK = datetime(2013, 2, 27, 15, 0, tzinfo=timezone.utc)
INSTRUMENTS = {symbol: Instrument(symbol) for symbol in ("AAPL", "IBM", "MSFT")}
NOBODY_LISTENS = 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(TICK + timedelta(seconds=30))


@pytest.fixture
def gateway(clock: ManualClock) -> Iterator[PaperGateway]:
    running = PaperGateway(GatewayConfig(port=0, account=ACCOUNT, pacing_enabled=False), clock.now).start_in_thread()
    yield running
    running.stop_in_thread()


Connect = Callable[..., IBKRBroker]


@pytest.fixture
def connect(gateway: PaperGateway) -> Iterator[Connect]:
    opened: list[IBKRBroker] = []

    def make(client_id: int = 10, **fields: object) -> IBKRBroker:
        config = IBKRConfig(
            port=gateway.port, client_id=client_id, request_timeout_seconds=3.0, read_attempts=1, **fields
        )
        opened.append(IBKRBroker(config))
        return opened[-1]

    yield make
    for broker in opened:
        broker.close()


def stop(ledger: Ledger | None, broker: object, clock: ManualClock, **changes: object) -> KillReport:
    fields = {"account": ACCOUNT, "reason": "prices look wrong", "who": "anna@desk", "clock": clock}
    return engage(ledger, broker, **{**fields, "poll_seconds": 0.05, **changes})


def resting(symbol: str, number: int = 1) -> OrderRequest:
    """A buy far below the market: it stays open."""
    return OrderRequest(f"hand.{symbol}.{number}", symbol, "BUY", Decimal(10), "LMT", "DAY", Decimal("1.00"))


def buy_and_fill(ledger: Ledger, broker: IBKRBroker, clock: ManualClock, *symbols: str) -> None:
    record(ledger, symbols, make_tick(TICK))
    report = submit_tick(
        ledger,
        broker,
        INSTRUMENTS,
        account=ACCOUNT,
        strategy=STRATEGY,
        tick_utc=TICK,
        guard=approve,
        clock=clock,
        run_id="run",
        settle_seconds=0.1,
        in_flight_seconds=0,
    )
    orders = await_fills(ledger, broker, report, clock=clock, run_id="run", wait_seconds=10, poll_seconds=0.05)
    assert [order.status for order in orders] == [OrderStatus.FILLED] * len(symbols)


def test_a_gateway_that_was_sick_a_moment_ago_does_not_hold_it_up(ledger, connect, gateway, clock, tmp_path):
    state = SharedState(gateway_directory(tmp_path, "127.0.0.1", gateway.port) / "gateway_circuit.json")
    circuit = CircuitBreaker(state, "the gateway", BreakerPolicy(probe_seconds=600), longest_seconds=80)
    for number in range(BreakerPolicy().failures):
        circuit.failed(BrokerConnectionError("it was gone"), f"number {number}")
    broker = connect(10, state_dir=tmp_path)
    broker.place_order(INSTRUMENTS["IBM"], resting("IBM"))
    assert circuit.is_open
    report = stop(ledger, broker, clock)
    assert report.is_complete
    assert report.cancelled == ("hand.IBM.1",)


def test_open_orders_of_every_client_are_cancelled_confirmed_and_recorded(ledger, connect, clock):
    intent = make_intent("AAPL", tick=make_tick(TICK))
    rests = replace(intent, request=replace(intent.request, order_type="LMT", limit_price=Decimal("1.00")))
    ledger.record_tick(make_tick(TICK), [(rests, approve(rests))])
    first, second = connect(10), connect(11)
    submit_tick(
        ledger,
        first,
        INSTRUMENTS,
        account=ACCOUNT,
        strategy=STRATEGY,
        tick_utc=TICK,
        guard=approve,
        clock=clock,
        run_id="run",
    )
    second.place_order(INSTRUMENTS["IBM"], resting("IBM"))
    report = stop(ledger, connect(12), clock)
    assert report.is_complete, report.sentences
    assert set(report.cancelled) == {intent.client_order_id, "hand.IBM.1"}
    assert list(first.open_orders()) == []
    (order,) = ledger.orders(ACCOUNT)
    assert order.status is OrderStatus.CANCELLED
    (halt,) = ledger.active_halts(ACCOUNT)
    assert (halt.who, halt.reason, halt.set_at) == ("anna@desk", "prices look wrong", clock.now())


def test_with_nothing_open_it_halts_and_says_so(ledger, connect, clock):
    report = stop(ledger, connect(), clock)
    assert report.is_complete
    assert report.sentences[1] == "open orders cancelled and confirmed: 0"


def test_without_the_gateway_the_halt_stands_and_nothing_is_called_cancelled(ledger, clock):
    broker = IBKRBroker(IBKRConfig(port=NOBODY_LISTENS, account=ACCOUNT, read_attempts=1, connect_timeout_seconds=1))
    report = stop(ledger, broker, clock)
    assert not report.is_complete
    assert "NOT confirmed cancelled" in " ".join(report.troubles)
    assert len(ledger.active_halts(ACCOUNT)) == 1
    assert "NOT cancelled" in " ".join(stop(ledger, None, clock).troubles)


def test_without_the_ledger_open_orders_are_cancelled_all_the_same(connect, clock):
    broker = connect()
    broker.place_order(INSTRUMENTS["IBM"], resting("IBM"))
    unreachable = Ledger("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    for ledger in (None, unreachable):
        report = stop(ledger, broker, clock)
        assert not report.is_complete
        assert "NOT halted" in report.sentences[0]
        assert list(broker.open_orders()) == []
    unreachable.close()


def test_read_only_refuses_even_the_kill_switchs_cancel_and_says_so(ledger, connect, clock):
    connect(11).place_order(INSTRUMENTS["IBM"], resting("IBM"))
    report = stop(ledger, connect(read_only=True), clock)
    assert not report.is_complete
    assert report.still_open == ("hand.IBM.1",)
    assert "read-only" in " ".join(report.troubles)
    assert ledger.active_halts(ACCOUNT)


def test_another_account_is_not_touched(ledger, connect, clock):
    connect(11).place_order(INSTRUMENTS["IBM"], resting("IBM"))
    report = stop(ledger, connect(), clock, account="DU9")
    assert "connected to account" in " ".join(report.troubles)
    assert len(connect(12).open_orders()) == 1


def test_turned_on_twice_it_is_one_halt_and_off_then_on_is_two(ledger, broker):
    clock = ManualClock(NOW)
    first, again = stop(ledger, broker, clock), stop(ledger, broker, clock)
    assert first.halt == again.halt
    (cleared,) = release(ledger, scope=ACCOUNT, reason="it was the feed", who="bert", at=NOW)
    assert (cleared.cleared_by, cleared.clear_reason) == ("bert", "it was the feed")
    assert ledger.active_halts(ACCOUNT) == []
    assert release(ledger, scope=ACCOUNT, reason="again", who="bert", at=NOW) == ()
    assert stop(ledger, broker, clock).is_complete
    assert len(ledger.halt_history(ACCOUNT)) == 2


def test_a_halt_of_all_accounts_is_cleared_as_such_only(ledger, broker):
    stop(ledger, broker, ManualClock(NOW), scope="*")
    assert release(ledger, scope=ACCOUNT, reason="no", who="bert", at=NOW) == ()
    assert len(ledger.active_halts(ACCOUNT)) == 1
    assert len(release(ledger, scope="*", reason="yes", who="bert", at=NOW)) == 1


@pytest.mark.parametrize("reason", ["", "  "])
def test_on_and_off_need_a_reason(ledger, broker, reason):
    with pytest.raises(NoReasonError):
        stop(ledger, broker, ManualClock(NOW), reason=reason)
    with pytest.raises(NoReasonError):
        release(ledger, scope=ACCOUNT, reason=reason, who="anna", at=NOW)
    assert broker.requests == []


def test_turned_on_between_two_orders_of_a_tick_the_later_ones_do_not_go_out(ledger, broker, books):
    record(ledger, ("AAPL", "IBM", "MSFT"))
    stopped: list[KillReport] = []
    stopper = threading.Thread(target=lambda: stopped.append(stop(ledger, RecordingBroker(books), ManualClock(NOW))))

    def turn_on(name: str) -> None:
        stopper.start()
        wait_for_halt(ledger)

    broker.after_send = turn_on
    report = submit(ledger, broker)
    stopper.join(30)
    # whether the first was acknowledged before its cancellation is a matter of luck; its end is not
    assert report.outcomes[0].outcome in ("placed", "unknown")
    assert [outcome.outcome for outcome in report.outcomes[1:]] == ["refused", "refused"]
    assert ledger.orders(ACCOUNT)[0].status is OrderStatus.CANCELLED
    assert len(broker.placed) == 1
    assert list(broker.open_orders()) == []
    assert stopped[0].is_complete, stopped[0].sentences


def test_an_order_on_its_way_when_the_halt_is_set_is_waited_for_and_cancelled(ledger, books):
    record(ledger, ("AAPL",))
    about_to_send, may_send = threading.Event(), threading.Event()

    def hesitate(name: str) -> None:
        about_to_send.set()
        assert may_send.wait(30)

    slow = RecordingBroker(books, before_send=hesitate)
    sender = threading.Thread(target=lambda: submit(ledger, slow))
    sender.start()
    assert about_to_send.wait(30)
    reports: list[KillReport] = []
    stopper = threading.Thread(target=lambda: reports.append(stop(ledger, RecordingBroker(books), ManualClock(NOW))))
    stopper.start()
    wait_for_halt(ledger)
    may_send.set()
    sender.join(30)
    stopper.join(30)
    assert slow.placed != []
    assert list(slow.open_orders()) == []
    assert reports[0].is_complete, reports[0].sentences


def test_an_order_of_unknown_fate_keeps_the_switch_from_calling_itself_complete(ledger, broker):
    intent = make_intent()
    record(ledger)
    start(ledger, intent)
    ledger.move(ACCOUNT, intent.client_order_id, OrderStatus.UNKNOWN, at=NOW, run_id="run", message="lost")
    report = stop(ledger, broker, ManualClock(NOW))
    assert report.in_doubt == (intent.client_order_id,)
    assert not report.is_complete


def test_setting_a_halt_waits_for_an_order_that_is_just_being_let_go(ledger, ledger_url):
    """Else a halt could be set, nothing be seen under way, and an order let go a moment before it still go out."""
    intent = make_intent()
    record(ledger)
    engine = sa.create_engine(ledger_url)
    held = ledger.submission_lease(ACCOUNT, holder="test", now=lambda: NOW, wait_seconds=1)
    with held as lease, engine.begin() as letting_go:
        let_go = submission.start(
            letting_go,
            ACCOUNT,
            [approve(intent)],
            token=lease.token,
            holder="test",
            at=NOW,
            run_id="run",
            is_reducing=False,
        )
        assert let_go is SubmissionStart.STARTED
        with engine.connect() as halting:
            halting.execute(sa.text("SET lock_timeout = '100ms'"))
            row = sa.insert(halts).values(scope="*", reason="r", who="w", set_at=NOW)
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                halting.execute(row)
    engine.dispose()
    ledger.halt("*", reason="r", who="w", at=NOW)
    assert ledger.orders(ACCOUNT)[0].status is OrderStatus.SUBMITTING, "whoever halts sees it"


def test_flatten_brings_positions_to_zero_once_even_when_called_twice(ledger, connect, clock):
    broker = connect()
    buy_and_fill(ledger, broker, clock, "AAPL", "IBM")
    first = stop(ledger, broker, clock, flatten=True, instruments=lambda: INSTRUMENTS)
    again = stop(ledger, broker, clock, flatten=True, instruments=lambda: INSTRUMENTS)
    assert first.is_complete, first.sentences
    assert again.is_complete, again.sentences
    assert first.flattened is not None
    assert sum(report.new_orders for report in first.flattened.orders) == 2
    assert again.flattened is not None
    assert again.flattened.orders == ()
    assert list(broker.positions()) == []
    assert ledger.positions_from_fills(ACCOUNT) == {}
    assert len(broker.completed_orders()) == 4
    decided = [stored for stored in ledger.risk_decisions(ACCOUNT) if stored.dagster_run_id == "kill-switch"]
    assert {stored.stage for stored in decided} == {"decision", "submission"}
    assert reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run").problems == ()


def test_two_flattens_at_once_sell_no_more_than_is_held(ledger, connect, clock):
    buy_and_fill(ledger, connect(), clock, "AAPL")
    brokers = [connect(20), connect(30)]
    stopped: list[KillReport] = []
    workers = [
        threading.Thread(
            target=lambda broker=broker: stopped.append(
                stop(ledger, broker, clock, flatten=True, instruments=lambda: INSTRUMENTS)
            )
        )
        for broker in brokers
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(stopped) == 2
    stop(ledger, brokers[0], clock, flatten=True, instruments=lambda: INSTRUMENTS)
    assert list(brokers[0].positions()) == []
    sold = [one for one in brokers[0].executions() if one.side == "SELL"]
    assert sum(one.quantity for one in sold) == 10


def test_what_no_strategy_holds_is_left_alone_and_reported(ledger, connect, clock):
    broker = connect()
    broker.place_order(INSTRUMENTS["IBM"], OrderRequest("hand", "IBM", "BUY", Decimal(5)))
    wait_for_position(broker)
    report = stop(ledger, broker, clock, flatten=True, instruments=lambda: INSTRUMENTS)
    assert not report.is_complete
    assert "IBM: 5 are no strategy's by the ledger" in " ".join(report.sentences)
    assert [position.quantity for position in broker.positions()] == [Decimal(5)]


def test_a_closed_market_is_not_sold_into(ledger, connect, clock):
    broker = connect()
    buy_and_fill(ledger, broker, clock, "AAPL")
    clock.set(TICK + timedelta(hours=9))
    report = stop(ledger, broker, clock, flatten=True, instruments=lambda: INSTRUMENTS)
    assert not report.is_complete
    assert report.flattened is not None
    assert report.flattened.left == {"AAPL": Decimal(10)}
    assert list(broker.open_orders()) == []


def wait_for_halt(ledger: Ledger) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if ledger.active_halts(ACCOUNT):
            return
        pause.wait(0.01)
    msg = "no halt was set"
    raise AssertionError(msg)


def wait_for_position(broker: IBKRBroker) -> None:
    pause = threading.Event()
    for _ in range(100):
        if broker.positions():
            return
        pause.wait(0.05)
    msg = "no position appeared"
    raise AssertionError(msg)


def trade(ledger: Ledger, broker: RecordingBroker) -> None:
    broker.fills = True
    record(ledger, ("AAPL",))
    submit(ledger, broker)


def judge(ledger: Ledger, broker: RecordingBroker) -> KillReport | None:
    clock = ManualClock(NOW)
    report = reconcile(ledger, broker, account=ACCOUNT, clock=clock, run_id="run")
    return engage_on_broken_reconciliation(ledger, broker, report, clock=clock)


def test_a_clean_reconciliation_stops_nothing(ledger, broker):
    trade(ledger, broker)
    assert judge(ledger, broker) is None
    assert "cancel_all_orders" not in broker.requests


def test_a_position_that_fills_do_not_explain_stops_everything_by_itself_once(ledger, broker):
    trade(ledger, broker)
    broker.transfer("AAPL", "5")
    broker.place_by_hand(resting("IBM"))
    report = judge(ledger, broker)
    assert report is not None
    assert report.is_complete
    assert report.halt is not None
    assert (report.halt.who, report.cancelled) == (PLATFORM, ("hand.IBM.1",))
    assert report.halt.reason == "broken reconciliation: position AAPL: the broker has +5 against the ledger's fills"
    assert judge(ledger, broker) is None, "a person may be at work on it"


def test_what_a_person_has_accepted_does_not_stop_again_but_more_of_it_does(ledger, broker):
    trade(ledger, broker)
    broker.transfer("AAPL", "5")
    judge(ledger, broker)
    release(ledger, scope=ACCOUNT, reason="a transfer of mine", who="anna", at=NOW)
    assert judge(ledger, broker) is None
    broker.transfer("AAPL", "1")
    report = judge(ledger, broker)
    assert report is not None
    assert "+6" in report.sentences[0]


def test_holdings_the_platform_never_ordered_are_no_reason_to_stop(ledger, broker):
    broker.transfer("IBM", "100")
    assert judge(ledger, broker) is None
    trade(ledger, broker)
    assert judge(ledger, broker) is None


def test_a_doubled_order_stops_everything(ledger, broker):
    record(ledger, ("AAPL",))
    submit(ledger, broker)
    broker.place_by_hand(make_intent("AAPL").request)
    report = judge(ledger, broker)
    assert report is not None
    assert "2 times" in report.sentences[0]


def test_breached_limits_stop_everything_and_none_stop_nothing(ledger, broker):
    clock = ManualClock(NOW)
    assert engage_on_breach(ledger, broker, account=ACCOUNT, breaches=[], clock=clock) is None
    report = engage_on_breach(ledger, broker, account=ACCOUNT, breaches=["lost 2 % today, limit 1 %"], clock=clock)
    assert report is not None
    assert report.halt is not None
    assert (report.halt.who, report.halt.reason) == (PLATFORM, "lost 2 % today, limit 1 %")


def test_a_restricted_instrument_is_not_even_given_up(ledger, connect, clock):
    broker = connect()
    buy_and_fill(ledger, broker, clock, "AAPL")
    report = stop(ledger, broker, clock, flatten=True, instruments=dict)
    assert not report.is_complete
    assert "AAPL: it is unknown or restricted" in " ".join(report.sentences)


def test_specs_that_can_not_be_read_keep_nothing_from_being_stopped(ledger, connect, clock):
    def broken() -> dict[str, Instrument]:
        msg = "risk.yaml is broken"
        raise ValueError(msg)

    report = stop(ledger, connect(), clock, flatten=True, instruments=broken)
    assert not report.is_complete
    assert ledger.active_halts(ACCOUNT)
    assert "risk.yaml is broken" in report.sentences[-1]
