"""What is known of market and account at one moment: everything that sizing and risk look at, gathered once.

Nothing is guessed: what can't be read stays unknown in the context, and risk control refuses on unknowns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import Quote
from trading_platform.domain.orders.risk.context import Halt, RiskContext
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.storage.ledger import Ledger

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
) -> RiskContext:
    """Ask ledger and broker for all that a decision of ``spec`` needs.

    Args:
        instruments: every instrument the platform knows, by symbol.
        now: the moment, tz-aware UTC; quotes are judged by their age at it.
        quarantined: symbols with bars that failed validation in the current session.
        signal_time_utc: when the signals were made; ``None`` if there are none.

    Raises:
        BrokerError: account, positions or open orders could not be read; without them nothing is decided.
    """
    account = broker.account
    # First what is under way, then what is held: an order that fills in between counts twice and not never.
    working = _working(ledger, broker)
    own = ledger.strategy_position(account, spec.name)
    positions = {position.symbol: position.quantity for position in broker.positions()}
    # Whatever is under way anywhere in the account needs a price: buying power counts it.
    symbols = sorted({*spec.universe, *own, *(order.symbol for order in working)} & instruments.keys())
    return RiskContext(
        as_of_utc=now,
        limits=spec.limits,
        account=broker.account_summary(),
        quotes=_quotes(broker, instruments, symbols),
        instruments=_details(broker, instruments, symbols),
        strategy_positions=own,
        account_positions=positions,
        working=working,
        is_market_open=get_calendar(spec.calendar).is_open(now),
        halts=tuple(Halt(halt.reason, halt.set_at) for halt in ledger.active_halts(account)),
        quarantined=frozenset(quarantined),
        signal_time_utc=signal_time_utc,
    )


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
    """The broker's answers for the symbols it can answer for."""
    answers = {symbol: _answer(ask, symbol) for symbol in symbols}
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
