"""What is known of market and account at one moment: everything that sizing and risk look at, gathered once.

Nothing is guessed: what can't be read stays unknown in the context, and risk control refuses on unknowns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import AccountSummary, Quote
from trading_platform.domain.orders.risk.context import DueBars, EquityMarks, Halt, RiskContext, SessionHours
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.portfolio.trades import closed_trades
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.storage.ledger import Ledger

RATE_WINDOW = timedelta(days=1)
"""How far back orders that were sent matter: the longest window of a rate limit."""

ASKED_AT_ONCE = 32
"""Symbols asked for at the same time; IBKR gives an ordinary account 100 market data lines."""

Answer = TypeVar("Answer")


def observe(
    ledger: Ledger,
    broker: Broker,
    spec: StrategySpec,
    instruments: Mapping[str, Instrument],
    *,
    now: datetime,
    quarantined: Iterable[str],
    signal_time_utc: datetime | None,
    bars: DueBars | None = None,
) -> RiskContext:
    """Ask ledger and broker for all that a decision of ``spec`` needs.

    Args:
        instruments: every instrument the platform knows, by symbol.
        now: the moment, tz-aware UTC; quotes are judged by their age at it.
        quarantined: symbols with bars that failed validation in the current session.
        signal_time_utc: when the signals were made; ``None`` if there are none.
        bars: which bars there are and must be, see :func:`due_bars`; ``None`` refuses whatever asks for them.

    Raises:
        BrokerError: account, positions or open orders could not be read; without them nothing is decided.
    """
    account = broker.account
    # First what is under way, then what is held: an order that fills in between counts twice and not never.
    working = _working(ledger, broker)
    own = ledger.strategy_position(account, spec.name)
    positions = {position.symbol: position.quantity for position in broker.positions()}
    # Whatever is held or under way anywhere in the account needs a price: exposure and buying power count it.
    named = {*spec.universe, *own, *positions, *(order.symbol for order in working)}
    symbols = sorted(named & instruments.keys())
    summary = broker.account_summary()
    session = _session_hours(get_calendar(spec.calendar), now)
    return RiskContext(
        as_of_utc=now,
        limits=spec.limits,
        account_limits=spec.account_limits,
        account=summary,
        quotes=_quotes(broker, instruments, symbols),
        instruments=_details(broker, instruments, symbols),
        strategy_positions=own,
        account_positions=positions,
        working=working,
        is_market_open=session is not None,
        session=session,
        halts=tuple(Halt(halt.reason, halt.set_at) for halt in ledger.active_halts(account)),
        quarantined=frozenset(quarantined),
        signal_time_utc=signal_time_utc,
        recent_submissions=tuple(ledger.submissions_since(account, now - RATE_WINDOW)),
        equity_marks=_equity_marks(ledger, spec, summary, session.open_utc if session is not None else now, now),
        closed_trades=closed_trades(fill.execution for fill in ledger.fills(account, strategy=spec.name)),
        sectors={symbol: instrument.sector for symbol, instrument in instruments.items()},
        bars=bars,
    )


def _session_hours(calendar: TradingCalendar, now: datetime) -> SessionHours | None:
    """The hours of the session that is running at ``now``; ``None`` while the market is closed."""
    session = calendar.session_at(now)
    if session is None:
        return None
    return SessionHours(calendar.open_of(session), calendar.close_of(session), calendar.is_always_open)


def _equity_marks(
    ledger: Ledger, spec: StrategySpec, summary: AccountSummary, session_start: datetime, now: datetime
) -> EquityMarks:
    """Start and peak from the ledger's readings. Where it has none, the present equity is the first there is."""
    window = timedelta(days=spec.account_limits.drawdown_window_days)
    known = ledger.equity_marks(summary.account, session_start=session_start, peak_since=now - window)
    equity = summary.net_liquidation
    if known is None:
        return EquityMarks(equity, equity)
    return EquityMarks(known.session_start_usd, max(known.peak_usd, equity))


def _working(ledger: Ledger, broker: Broker) -> tuple[WorkingOrder, ...]:
    """Orders under way: the broker's open ones, and those the ledger can't rule out.

    The ledger's include what was reported filled without its execution: the strategy's position lacks it still.
    """
    at_broker = {order.client_order_id or f"perm {order.perm_id}": order for order in broker.open_orders()}
    in_ledger = ledger.working_orders(broker.account)
    known = {order.client_order_id for order in in_ledger}
    foreign = (WorkingOrder.from_broker(order) for name, order in at_broker.items() if name not in known)
    return (*in_ledger, *foreign)


def _quotes(broker: Broker, instruments: Mapping[str, Instrument], symbols: Iterable[str]) -> dict[str, Quote]:
    # one symbol without a quote costs the others nothing: risk control names and refuses it
    return _known(symbols, lambda symbol: broker.quote(instruments[symbol]))


def _details(
    broker: Broker, instruments: Mapping[str, Instrument], symbols: Iterable[str]
) -> dict[str, InstrumentDetails]:
    # nor does an instrument that the broker does not know
    return _known(symbols, lambda symbol: broker.instrument_details(instruments[symbol]))


def _known(symbols: Iterable[str], ask: Callable[[str], Answer]) -> dict[str, Answer]:
    """The broker's answers for the symbols it can answer for, several asked at once.

    A snapshot at IBKR can take seconds. The client keeps to IBKR's messages a second whoever asks.
    """
    wanted = list(symbols)
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(len(wanted), ASKED_AT_ONCE), thread_name_prefix="observe") as pool:
        answers = dict(zip(wanted, pool.map(lambda symbol: _answer(ask, symbol), wanted), strict=True))
    return {symbol: answer for symbol, answer in answers.items() if answer is not None}


def _answer(ask: Callable[[str], Answer], symbol: str) -> Answer | None:
    try:
        return ask(symbol)
    except BrokerConnectionError:
        raise
    except BrokerError:
        return None


def equity_of(context: RiskContext) -> Decimal:
    """The account's equity in the context; the broker reported it or ``observe`` raised."""
    if context.account is None:
        msg = "the context holds no account summary"
        raise ValueError(msg)
    return context.account.net_liquidation
