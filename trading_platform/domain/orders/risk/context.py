"""What risk controls may look at, and the arithmetic they share.

A number that is missing or not finite raises :class:`UnevaluableError`: ``decide`` turns it into a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.orders.model import AccountSummary, OrderIntent, Quote, Side, WhatIf
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.portfolio.trades import ClosedTrade

if TYPE_CHECKING:
    from trading_platform.domain.orders.risk.books import Book

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the broker's clock may run ahead of ours before a time stamp counts as from the future."""


class UnevaluableError(Exception):
    """A control lacks a number it needs. The message is the reason shown to the trader."""


@dataclass(frozen=True)
class Halt:
    """A stop of new orders. ``strategy`` and ``symbol`` narrow it; both ``None`` stops everything."""

    reason: str
    since_utc: datetime
    strategy: str | None = None
    symbol: str | None = None

    def covers(self, strategy: str, symbol: str) -> bool:
        """Whether an order of ``strategy`` in ``symbol`` falls under the halt."""
        return self.strategy in (None, strategy) and self.symbol in (None, symbol)


@dataclass(frozen=True)
class SessionHours:
    """Open and close of the session that is running, tz-aware UTC. A market that never closes has neither."""

    open_utc: datetime
    close_utc: datetime
    is_always_open: bool


@dataclass(frozen=True)
class Submission:
    """An order that was handed to the broker at ``sent_utc``, whatever became of it."""

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    sent_utc: datetime


@dataclass(frozen=True)
class EquityMarks:
    """The account's equity at the session's open, and the highest of the drawdown window, in USD.

    Where no reading is that old, the oldest one there is stands for it, the present one included.
    """

    session_start_usd: Decimal
    peak_usd: Decimal


@dataclass(frozen=True)
class DueBars:
    """Which bars a decision must rest on: ``due_utc`` is the start of the newest that had to be there.

    ``newest_utc`` is the start of the newest one there was, by symbol; a symbol without any is not in it.
    """

    due_utc: datetime
    newest_utc: Mapping[str, datetime]


@dataclass(frozen=True)
class PendingOrder:
    """An order that may still fill, with every price it names. ``quantity`` is its unsigned, unfilled rest.

    ``is_approved``: it was approved in this tick and not sent yet.
    """

    client_order_id: str
    strategy: str
    side: Side
    quantity: Decimal
    limit_price: Decimal | None
    prices: tuple[Decimal, ...]
    is_approved: bool
    oca_group: str = ""

    @property
    def is_exit(self) -> bool:
        """Whether it is an exit of a bracket."""
        return bool(self.oca_group)

    @property
    def group(self) -> str:
        """Its bracket, by the entry's name; its own name where it stands alone."""
        return self.oca_group or self.client_order_id

    @classmethod
    def from_working(cls, order: WorkingOrder) -> PendingOrder:
        """A working order; its limit and its stop are the only prices that are known of it."""
        prices = tuple(price for price in (order.limit_price, order.stop_price) if price is not None)
        return cls._of(order, prices, is_approved=False)

    @classmethod
    def from_intent(cls, intent: OrderIntent) -> PendingOrder:
        """An intent as if it will fill."""
        return cls._of(WorkingOrder.from_intent(intent), _prices_of(intent), is_approved=True)

    @classmethod
    def _of(cls, order: WorkingOrder, prices: tuple[Decimal, ...], *, is_approved: bool) -> PendingOrder:
        return cls(
            order.client_order_id,
            order.strategy,
            order.side,
            order.remaining_quantity,
            order.limit_price,
            prices,
            is_approved,
            order.oca_group,
        )


@dataclass(frozen=True)
class RiskContext:
    """The state of the world at one decision. Quantities are signed, money is USD, instants are tz-aware UTC.

    ``strategy_positions`` are the deciding strategy's holdings by symbol, ``account_positions`` the whole
    account's. ``working`` holds live, in-flight and unknown orders of the account, all strategies'.
    ``approved`` are the intents this tick has already approved; :func:`~.decision.decide` keeps it up to
    date. ``limits`` are the deciding strategy's, ``account_limits`` everybody's together. ``recent_submissions``
    are the account's of the last 24 hours at least, ``closed_trades`` the strategy's, oldest first. ``sectors`` is
    by symbol; one without is unclassified. ``None`` in any field means that it could not be found out, and refuses.

    ``what_ifs`` are the broker's own forecasts by client order id, as far as they were asked for and answered: where
    there is none, our own arithmetic decides alone.
    """

    as_of_utc: datetime
    limits: Limits
    account: AccountSummary | None
    quotes: Mapping[str, Quote]
    instruments: Mapping[str, InstrumentDetails]
    strategy_positions: Mapping[str, Decimal]
    account_positions: Mapping[str, Decimal]
    working: tuple[WorkingOrder, ...]
    is_market_open: bool | None
    halts: tuple[Halt, ...] | None
    quarantined: frozenset[str] | None
    signal_time_utc: datetime | None
    approved: tuple[OrderIntent, ...] = field(default=())
    account_limits: AccountLimits = field(default_factory=AccountLimits)
    session: SessionHours | None = None
    recent_submissions: tuple[Submission, ...] | None = None
    equity_marks: EquityMarks | None = None
    closed_trades: tuple[ClosedTrade, ...] | None = None
    sectors: Mapping[str, str] = field(default_factory=dict)
    bars: DueBars | None = None
    what_ifs: Mapping[str, WhatIf] = field(default_factory=dict)

    @cached_property
    def pending(self) -> Mapping[str, tuple[PendingOrder, ...]]:
        """Working orders and those approved in this tick, by symbol, in this order."""
        found: dict[str, list[PendingOrder]] = {}
        for order in self.working:
            found.setdefault(order.symbol, []).append(PendingOrder.from_working(order))
        for intent in self.approved:
            found.setdefault(intent.request.symbol, []).append(PendingOrder.from_intent(intent))
        return {symbol: tuple(orders) for symbol, orders in found.items()}

    @cached_property
    def books(self) -> dict[str | None, Book]:
        """What ``books`` keeps of each scope, so that it is summed once and not once per control and order."""
        return {}

    @cached_property
    def order_names(self) -> dict[tuple[str, str | None], frozenset[str]]:
        """What ``scopes`` keeps of each scope's orders, by what is counted and strategy."""
        return {}

    def notes_on(self, intent: OrderIntent) -> dict[object, Any]:
        """What was worked out about ``intent`` in this context, for the next control that asks the same.

        Only the notes on the last intent are kept.
        """
        noted: tuple[OrderIntent, dict[object, Any]] | None = vars(self).get("_notes")
        if noted is None or noted[0] is not intent:
            noted = vars(self)["_notes"] = (intent, {})
        return noted[1]

    def at(self, moment: datetime) -> RiskContext:
        """The same state of the world, judged at ``moment``."""
        later = replace(self, as_of_utc=moment)
        vars(later).update(pending=self.pending, books=self.books)
        return later

    @property
    def max_price_age(self) -> timedelta:
        """The oldest a quote may be."""
        return timedelta(seconds=self.limits.max_price_age_seconds)

    def details(self, symbol: str) -> InstrumentDetails:
        """Lot size and tick of ``symbol``.

        Raises:
            UnevaluableError: the broker's details are not at hand.
        """
        details = self.instruments.get(symbol)
        if details is None:
            msg = f"no instrument details of {symbol}"
            raise UnevaluableError(msg)
        return details


def finite(value: Decimal, what: str) -> Decimal:
    """``value``, unless it is NaN or infinite.

    Raises:
        UnevaluableError: names what is not a number.
    """
    if not value.is_finite():
        msg = f"{what} is {value}"
        raise UnevaluableError(msg)
    return value


def quote_fault(symbol: str, quote: Quote | None, as_of: datetime, max_age: timedelta) -> str | None:
    """Why ``quote`` is no price to trade on at ``as_of``, or ``None`` when it is."""
    if quote is None:
        return f"no quote of {symbol}"
    if not quote_prices(quote):
        return f"the quote of {symbol} holds no price"
    if quote.is_delayed:
        return f"the quote of {symbol} is delayed by the exchange: real-time market data is needed"
    age = as_of - quote.ts_utc
    if age < -CLOCK_TOLERANCE:
        return f"the quote of {symbol} is {-age.total_seconds():.0f} s in the future: compare the clocks"
    if age > max_age:
        return f"the quote of {symbol} is {age.total_seconds():.0f} s old, limit {max_age.total_seconds():.0f} s"
    return None


def quote_prices(quote: Quote) -> list[Decimal]:
    """The usable ones of bid, ask and last. IBKR sends −1 or NaN for what it does not have."""
    return [
        price for price in (quote.bid, quote.ask, quote.last) if price is not None and price.is_finite() and price > 0
    ]


def last_price(symbol: str, context: RiskContext) -> Decimal:
    """The last trade's price; where the quote has none, the middle of bid and ask, or the one of them there is.

    Raises:
        UnevaluableError: there is no quote with a price.
    """
    quote = context.quotes.get(symbol)
    prices = quote_prices(quote) if quote is not None else []
    if quote is None or not prices:
        msg = f"no quote of {symbol} to compare with"
        raise UnevaluableError(msg)
    if quote.last is not None and quote.last in prices:
        return quote.last
    return sum(prices, Decimal(0)) / len(prices)


def valuation_price(symbol: str, context: RiskContext, intent: OrderIntent | None = None) -> Decimal:
    """The highest price at hand: of the quote, and of all that pending orders in the symbol name, the intent's too.

    Exposure valued at it is never too small.

    Raises:
        UnevaluableError: there is no quote.
    """
    quote = context.quotes.get(symbol)
    prices = quote_prices(quote) if quote is not None else []
    if not prices:
        msg = f"no quote of {symbol} to value it at"
        raise UnevaluableError(msg)
    for order in context.pending.get(symbol, ()):
        prices += [finite(price, f"a price of {order.client_order_id}") for price in order.prices]
    if intent is not None and intent.request.symbol == symbol:
        prices += [finite(price, f"a price of {intent.client_order_id}") for price in _prices_of(intent)]
    return max(prices)


def _prices_of(intent: OrderIntent) -> tuple[Decimal, ...]:
    named = (intent.decision_price, intent.request.limit_price, intent.request.stop_price)
    return tuple(price for price in named if price is not None)


@dataclass(frozen=True)
class Reach:
    """How far a holding can get if any subset of its pending orders fills, in whatever order.

    ``position`` is signed; ``buys`` and ``sells`` are unsigned sums of what is pending. Stops count as if they will
    trigger. The exits of a bracket are alternatives: the largest of them counts, as far as their entry has filled.
    """

    position: Decimal
    buys: Decimal
    sells: Decimal

    @property
    def highest(self) -> Decimal:
        """The holding if all buys fill and no sale does."""
        return self.position + self.buys

    @property
    def lowest(self) -> Decimal:
        """The holding if all sales fill and no buy does."""
        return self.position - self.sells

    @property
    def largest(self) -> Decimal:
        """The largest unsigned holding on the way."""
        return max(abs(self.highest), abs(self.lowest))

    @property
    def added(self) -> Decimal:
        """How much larger than now, unsigned, the holding can get."""
        return max(self.largest - abs(self.position), Decimal(0))


def strategy_reach(symbol: str, intent: OrderIntent | None, strategy: str, context: RiskContext) -> Reach:
    """The reach of the strategy's holding in ``symbol``, with ``intent`` if one is given."""
    position = context.strategy_positions.get(symbol, Decimal(0))
    return _reach(symbol, position, intent, strategy, context)


def account_reach(symbol: str, intent: OrderIntent | None, context: RiskContext) -> Reach:
    """The reach of the account's holding in ``symbol``, with ``intent`` if one is given."""
    position = context.account_positions.get(symbol, Decimal(0))
    return _reach(symbol, position, intent, None, context)


def is_reducing(intent: OrderIntent, context: RiskContext) -> bool:
    """Whether the order can only bring strategy and account closer to flat, whatever else fills.

    Together with all pending orders on its side it must not cross zero, neither in the strategy's holding
    nor in the account's: an order that opens is never taken for one that closes.
    """
    notes = context.notes_on(intent)
    known = notes.get(is_reducing)
    if known is None:
        known = notes[is_reducing] = _is_reducing(intent, context)
    return bool(known)


def _is_reducing(intent: OrderIntent, context: RiskContext) -> bool:
    symbol = intent.request.symbol
    reaches = (
        strategy_reach(symbol, intent, intent.strategy, context),
        account_reach(symbol, intent, context),
    )
    if intent.request.side == "SELL":
        return all(reach.position > 0 and reach.lowest >= 0 for reach in reaches)
    return all(reach.position < 0 and reach.highest <= 0 for reach in reaches)


def _reach(
    symbol: str, position: Decimal, intent: OrderIntent | None, strategy: str | None, context: RiskContext
) -> Reach:
    sums: dict[Side, Decimal] = {"BUY": Decimal(0), "SELL": Decimal(0)}
    entries: dict[str, Decimal] = {}
    exits: dict[tuple[str, Side], Decimal] = {}
    for order in _pending(symbol, intent, strategy, context):
        quantity = finite(order.quantity, f"quantity of {order.client_order_id}")
        if order.is_exit:
            key = (order.oca_group, order.side)
            exits[key] = max(quantity, exits.get(key, Decimal(0)))
        else:
            entries[order.client_order_id] = quantity
            sums[order.side] += quantity
    for (entry, side), quantity in exits.items():
        sums[side] += max(quantity - entries.get(entry, Decimal(0)), Decimal(0))
    return Reach(finite(position, f"position in {symbol}"), sums["BUY"], sums["SELL"])


def _pending(
    symbol: str, intent: OrderIntent | None, strategy: str | None, context: RiskContext
) -> Iterator[PendingOrder]:
    """All orders in ``symbol`` that may still fill, with ``intent`` if it is one; of one strategy, or of all."""
    is_concerned = intent is not None and intent.request.symbol == symbol
    for order in beside(intent, context) if intent and is_concerned else context.pending.get(symbol, ()):
        if strategy in (None, order.strategy):
            yield order
    if intent is not None and is_concerned and strategy in (None, intent.strategy):
        yield PendingOrder.from_intent(intent)


def beside(intent: OrderIntent, context: RiskContext) -> list[PendingOrder]:
    """The pending orders in the intent's symbol that can be live at the same time as it.

    Not itself: an intent judged again at submission is in the ledger already, and so among the working ones. And not
    what it replaces.
    """
    gone = {intent.client_order_id, *intent.replaces}
    return [order for order in context.pending.get(intent.request.symbol, ()) if order.client_order_id not in gone]
