"""One run of one tick, in a process of its own: what the assets call, with points at which something can be killed."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from crash_world import ACCOUNT, World, kill_tree

from trading_platform.brokers.base import BrokerError
from trading_platform.brokers.ibkr import orders as ibkr_orders
from trading_platform.brokers.ibkr.client import IBKRBroker
from trading_platform.brokers.ibkr.config import IBKRConfig
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.market_data.bars import due_bar
from trading_platform.domain.orders.model import OrderStatus
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.signals.spec import OrderSpec, SizingSpec, StrategySpec
from trading_platform.execution.reconcile import reconcile
from trading_platform.execution.trade import OrderRun, decide_current_tick, submit_current_tick
from trading_platform.settings import Settings
from trading_platform.storage.ledger import Ledger, LedgerError

SYMBOLS = (
    *("AAPL", "AMD", "AMZN", "BAC", "CSCO", "DIS", "FB", "GOOG", "GS", "IBM", "INTC", "IWM", "JPM"),
    *("KO", "MSFT", "NFLX", "NVDA", "ORCL", "PEP", "PG", "QCOM", "SPY", "TSLA", "V", "XOM"),
)
CADENCE_MINUTES = 60
FINISHED, FAILED, BROKEN = 0, 3, 4
"""Exit codes: all is well; a typed error of broker or ledger ended the run; anything else did."""

POINTS = (
    "before the decision",
    "after the decision",
    "before persist",
    "after persist",
    "before send",
    "after send, before acknowledgement",
    "after acknowledgement, before commit",
    "after commit",
    "after fills are recorded",
    "after a partial fill",
    "before a cancellation",
    "after a cancellation",
    "before reconciliation",
    "within reconciliation",
)
PER_ORDER = (*POINTS[2:8], *POINTS[10:12])

_MILLION = Decimal(1_000_000)
_LIMITS: dict[str, Any] = {
    "max_order_quantity": _MILLION,
    "max_order_notional_usd": _MILLION * 1000,
    "max_position_quantity": _MILLION * 10,
    "max_position_notional_usd": _MILLION * 1000,
    "max_gross_exposure_usd": _MILLION * 1000,
    "max_net_exposure_usd": _MILLION * 1000,
    "max_concentration_pct": Decimal(1000),
    "max_price_deviation_pct": Decimal(99),
    "max_last_price_deviation_pct": Decimal(99),
    "max_limit_price_deviation_pct": Decimal(99),
    "max_price_age_seconds": 7200,
    "max_signal_age_seconds": 7200,
    "max_open_orders": 100_000,
    "max_orders_per_minute": 100_000,
    "max_orders_per_day": 100_000,
    "duplicate_window_seconds": 0,
    "max_consecutive_losses": 1_000_000,
    "is_short_allowed": True,
}
_ACCOUNT_LIMITS = AccountLimits(
    **_LIMITS,
    max_leverage=Decimal(100),
    max_sector_pct=Decimal(10_000),
    max_daily_loss_pct=Decimal(99),
    max_drawdown_pct=Decimal(99),
)


def _spec(name: str, quantity: int, **order: Any) -> StrategySpec:
    return StrategySpec(
        name=name,
        strategy="trend_momentum",
        description="A strategy of the crash program.",
        universe=SYMBOLS,
        bar_size="5 mins",
        cadence_minutes=CADENCE_MINUTES,
        history_sessions=1,
        sizing=SizingSpec(method="fixed_quantity", quantity=Decimal(quantity)),
        order=OrderSpec(min_trade_notional_usd=Decimal(0), **order),
        limits=Limits(**_LIMITS),
        account_limits=_ACCOUNT_LIMITS,
    )


SPECS = (
    _spec("market", 500),
    _spec("limits", 1500, order_type="LMT", limit_offset_bps=Decimal(0)),
    _spec("slow", 8000),
    _spec("carried", 3000, order_type="LMT", time_in_force="GTC", limit_offset_bps=Decimal(0)),
    _spec("replaced", 4000, order_type="STP", time_in_force="GTC", stop_offset_bps=Decimal(40), replace_working=True),
)
"""Market orders that mostly fill at once; limits at the touch that often rest; market orders so large that they fill
over many minutes, or in part until the close; limits that are carried over nights until they are filled; stops that
wait away from the market and are called off and replaced at every tick of their strategy."""


@dataclass(frozen=True)
class Strike:
    """Something to be killed when the run comes to a point for the ``nth`` time."""

    point: str
    nth: int
    victim: str  # "run", "gateway" or "postgres"


@dataclass(frozen=True)
class TickPlan:
    """What one run does. ``weights``: target weight by symbol; ``prices``: what the strategy saw."""

    number: int
    spec: StrategySpec
    tick_utc: datetime
    session: str
    weights: dict[str, float]
    prices: dict[str, float]


@dataclass(frozen=True)
class Patience:
    """How long the platform's own pauses are, in real seconds."""

    settle: float
    fill_wait: float
    answer: float


class _Points:
    def __init__(self, world: World, strike: Strike | None) -> None:
        self.world = world
        self.strike = strike
        self.passed = 0

    def is_waiting_for(self, point: str) -> bool:
        return self.strike is not None and self.strike.point == point

    def at(self, point: str) -> None:
        strike = self.strike
        if strike is None or point != strike.point:
            return
        self.passed += 1
        if self.passed != strike.nth:
            return
        if strike.victim == "run":
            os.kill(os.getpid(), signal.SIGKILL)
        elif strike.victim == "gateway":
            os.kill(self.world.gateway_pid, signal.SIGKILL)
        else:
            kill_tree(self.world.postmaster_pid)


class PointedLedger(Ledger):
    """A ledger with points. Made and rehearsed in the parent, so that a run need not compile every statement again."""

    _points = None

    def at(self, points: _Points) -> PointedLedger:
        """Take a child's points."""
        self._points = points
        return self

    def begin_submission(self, account: str, client_order_id: str, **options: Any) -> Any:
        self._at("before persist")
        result = super().begin_submission(account, client_order_id, **options)
        self._at("after persist")
        return result

    def record_broker_order(self, account: str, broker_order: Any, **options: Any) -> Any:
        self._at("after acknowledgement, before commit")
        result = super().record_broker_order(account, broker_order, **options)
        self._at("after commit")
        return result

    def record_executions(self, executions: Any, **options: Any) -> int:
        new = super().record_executions(executions, **options)
        if new:
            self._at("after fills are recorded")
            if self._points is not None and self._points.is_waiting_for("after a partial fill"):
                names = [execution.client_order_id for execution in executions]
                if self.orders(ACCOUNT, client_order_ids=names, statuses=[OrderStatus.PARTIALLY_FILLED]):
                    self._at("after a partial fill")
        return new

    def record_positions(self, account: str, positions: Any, **options: Any) -> None:
        self._at("within reconciliation")
        super().record_positions(account, positions, **options)

    def _at(self, point: str) -> None:
        if self._points is not None:
            self._points.at(point)


class _PointedBroker(IBKRBroker):
    def __init__(self, config: IBKRConfig, points: _Points) -> None:
        super().__init__(config)
        self._points = points

    def place_order(self, instrument: Instrument, request: Any) -> Any:
        self._points.at("before send")
        return super().place_order(instrument, request)

    def cancel_order(self, client_order_id: str) -> None:
        self._points.at("before a cancellation")
        super().cancel_order(client_order_id)
        self._points.at("after a cancellation")


def _connect(world: World, points: _Points, patience: Patience) -> IBKRBroker:
    _strike_after_a_send(points)
    return _PointedBroker(
        IBKRConfig(
            port=world.proxy_port,
            client_id=10,
            client_id_span=8,
            account=ACCOUNT,
            connect_timeout_seconds=patience.answer * 2,
            request_timeout_seconds=patience.answer,
            retry_wait_seconds=0.02,
            commission_wait_seconds=0.3,
            max_messages_per_second=0,  # the gateway's pacing is off, too
        ),
        points,
    )


def _strike_after_a_send(points: _Points) -> None:
    """Put a point between an order's message and its acknowledgement."""
    settle = ibkr_orders.settle

    async def struck(watch: Any, seconds: float) -> None:
        points.at("after send, before acknowledgement")
        await settle(watch, seconds)

    ibkr_orders.settle = struck


def trade(
    world: World, ledger: PointedLedger, plan: TickPlan, run_id: str, patience: Patience, strike: Strike | None
) -> None:
    """Decide the tick, send it, reconcile: the steps of an agent's run."""
    points = _Points(world, strike)
    ledger.at(points)
    broker = _connect(world, points, patience)
    run = OrderRun(
        spec=plan.spec,
        sessions=(plan.session,),
        run_id=run_id,
        run_tags={},
        settings=Settings(_env_file=None, ibkr_account=ACCOUNT),
        clock=world.clock,
        instruments={symbol: Instrument(symbol) for symbol in SYMBOLS},
        ledger=ledger,
        connect=lambda: broker,
        quarantined=frozenset,
        log=print,
        newest_bars=lambda: dict.fromkeys(SYMBOLS, _due_bar(plan, world)),
        fill_wait_seconds=patience.fill_wait,
        settle_seconds=patience.settle,
    )
    points.at("before the decision")
    print(decide_current_tick(run, _signals(plan, world.clock.now())).outcome)
    points.at("after the decision")
    sent = submit_current_tick(run)
    print(sent.outcome)
    points.at("before reconciliation")
    _reconcile(world, ledger, broker, run_id, patience)
    broker.close()


def _due_bar(plan: TickPlan, world: World) -> datetime:
    """The bar that a fresh feed would have."""
    return due_bar(plan.spec.bar_size, get_calendar(plan.spec.calendar), world.clock.now())


def watch(world: World, ledger: PointedLedger, run_id: str, patience: Patience, strike: Strike | None) -> None:
    """Reconcile: what the open-orders sensor starts."""
    points = _Points(world, strike)
    ledger.at(points)
    broker = _connect(world, points, patience)
    points.at("before reconciliation")
    _reconcile(world, ledger, broker, run_id, patience)
    broker.close()


def rehearse(world: World, ledger: PointedLedger, plan: TickPlan, patience: Patience) -> None:
    """One whole run in the parent, so that its children inherit what it loaded and compiled, and no connection."""
    trade(world, ledger, plan, "rehearsal", patience, None)
    ledger.close()


def quote_all(world: World, patience: Patience, path: Path) -> None:
    """Write the last price of every symbol to ``path``."""
    broker = _connect(world, _Points(world, None), patience)
    quotes = {symbol: broker.quote(Instrument(symbol)) for symbol in SYMBOLS}
    path.write_text(repr({symbol: float(quote.last or quote.ask or 0) for symbol, quote in quotes.items()}))
    broker.close()


def _reconcile(world: World, ledger: Ledger, broker: IBKRBroker, run_id: str, patience: Patience) -> None:
    report = reconcile(
        ledger,
        broker,
        account=ACCOUNT,
        clock=world.clock,
        run_id=run_id,
        settle_seconds=patience.settle,
        in_flight_seconds=0,  # over loopback no packet is lost
        close_of=lambda _, session: get_calendar("XNYS").close_of(date.fromisoformat(session)),
    )
    for problem in report.problems:
        print(f"PROBLEM {problem}")
    _require_one_live_order(ledger, broker)


def _require_one_live_order(ledger: Ledger, broker: IBKRBroker) -> None:
    """A strategy that replaces its orders has at most one at the broker that works, for each symbol."""
    names = [order.client_order_id for order in broker.open_orders()]
    of = {order.client_order_id: order for order in ledger.orders(ACCOUNT, client_order_ids=names)}
    live = Counter((of[name].intent.strategy, of[name].intent.request.symbol) for name in names if name in of)
    replacing = {spec.name for spec in SPECS if spec.order.replace_working}
    for (strategy, symbol), count in live.items():
        if strategy in replacing and count > 1:
            msg = f"{count} live orders for one intent: {strategy} in {symbol}"
            raise AssertionError(msg)


def _signals(plan: TickPlan, now: datetime) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "symbol": symbol,
                "tick_utc": pd.Timestamp(plan.tick_utc),
                "as_of_utc": pd.Timestamp(now),
                "side": "LONG" if weight > 0 else "SHORT" if weight < 0 else "FLAT",
                "target_weight": weight,
                "confidence": 0.5,
                "price": plan.prices[symbol],
                "reason": "drawn",
            }
            for symbol, weight in plan.weights.items()
        ]
    )


def as_process(log: Path, work: Callable[..., None], *arguments: Any) -> None:
    """The body of a forked process: do the work, print to ``log``, and end with an exit code that says how it went."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with log.open("a", buffering=1) as out:
        sys.stdout = sys.stderr = out
        print(f"-- process {os.getpid()}")
        try:
            work(*arguments)
        except (BrokerError, LedgerError) as error:
            print(f"{type(error).__name__}: {error}")
            code = FAILED
        except BaseException:  # noqa: BLE001 - its exit code says so
            traceback.print_exc()
            code = BROKEN
        else:
            code = FINISHED
        out.flush()
        os._exit(code)


def warm() -> None:
    """Load what every run needs, once, in the parent."""
    get_calendar("XNYS")
    import ib_insync.client  # noqa: F401  (already loaded on its own thread by the broker's modules)
