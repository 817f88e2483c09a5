"""What is known of market and account at one moment: everything that sizing and risk look at, gathered once.

Nothing is guessed: what can't be read stays unknown in the context, and risk control refuses on unknowns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from trading_platform.brokers.base import Broker, BrokerConnectionError, BrokerError
from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.instruments import Instrument, InstrumentDetails
from trading_platform.domain.orders.model import Quote
from trading_platform.domain.orders.risk.context import Halt, RiskContext
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.signals.spec import StrategySpec
from trading_platform.storage.ledger import Ledger
from trading_platform.storage.ledger.model import WORKING


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
    positions = {position.symbol: position.quantity for position in broker.positions()}
    own = ledger.strategy_position(account, spec.name)
    working = _working(ledger, broker)
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
    """Orders under way: the broker's open ones, and those the ledger can't rule out."""
    at_broker = {order.client_order_id or f"perm {order.perm_id}": order for order in broker.open_orders()}
    in_ledger = ledger.orders(broker.account, statuses=WORKING)
    known = {order.client_order_id for order in in_ledger}
    return (
        *(WorkingOrder.from_intent(order.intent, order.filled_quantity) for order in in_ledger),
        *(WorkingOrder.from_broker(order) for name, order in at_broker.items() if name not in known),
    )


def _quotes(broker: Broker, instruments: Mapping[str, Instrument], symbols: Iterable[str]) -> dict[str, Quote]:
    quotes: dict[str, Quote] = {}
    for symbol in symbols:
        try:
            quotes[symbol] = broker.quote(instruments[symbol])
        except BrokerConnectionError:
            raise
        except BrokerError:
            continue  # one symbol without a quote: risk control names and refuses it
    return quotes


def _details(
    broker: Broker, instruments: Mapping[str, Instrument], symbols: Iterable[str]
) -> dict[str, InstrumentDetails]:
    details: dict[str, InstrumentDetails] = {}
    for symbol in symbols:
        try:
            details[symbol] = broker.instrument_details(instruments[symbol])
        except BrokerConnectionError:
            raise
        except BrokerError:
            continue  # an instrument the broker does not know: risk control names and refuses it
    return details


def equity_of(context: RiskContext) -> Decimal:
    """The account's equity in the context; the broker reported it or ``observe`` raised."""
    if context.account is None:
        msg = "the context holds no account summary"
        raise ValueError(msg)
    return context.account.net_liquidation
