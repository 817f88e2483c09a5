"""What risk controls may look at, and the arithmetic they share.

A number that is missing or not finite raises :class:`UnevaluableError`: ``decide`` turns it into a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.instruments import InstrumentDetails
from trading_platform.domain.orders.model import AccountSummary, OrderIntent, Quote, Side
from trading_platform.domain.orders.risk.limits import AccountLimits, Limits
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.portfolio.trades import ClosedTrade

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
class RiskContext:
    """The state of the world at one decision. Quantities are signed, money is USD, instants are tz-aware UTC.

    ``strategy_positions`` are the deciding strategy's holdings by symbol, ``account_positions`` the whole
    account's. ``working`` holds live, in-flight and unknown orders of the account, all strategies'.
    ``approved`` are the intents this tick has already approved; :func:`~.decision.decide` keeps it up to
    date. ``limits`` are the deciding strategy's, ``account_limits`` everybody's together. ``recent_submissions``
    are the account's of the last 24 hours at least, ``closed_trades`` the strategy's, oldest first. ``sectors`` is
    by symbol; one without is unclassified. ``None`` in any field means that it could not be found out, and refuses.
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


def valuation_price(symbol: str, context: RiskContext, orders: Iterable[OrderIntent] = ()) -> Decimal:
    """The highest price at hand: of the quote, and of the limits and decision prices of orders in the symbol.

    Exposure valued at it is never too small.

    Raises:
        UnevaluableError: there is no quote.
    """
    quote = context.quotes.get(symbol)
    prices = quote_prices(quote) if quote is not None else []
    if not prices:
        msg = f"no quote of {symbol} to value it at"
        raise UnevaluableError(msg)
    for order in orders:
        if order.request.symbol == symbol:
            asked = (order.decision_price, order.request.limit_price, order.request.stop_price)
            prices += [finite(price, f"a price of {order.client_order_id}") for price in asked if price is not None]
    for pending in context.working:
        if pending.symbol == symbol:
            named = (pending.limit_price, pending.stop_price)
            prices += [finite(price, f"a price of {pending.client_order_id}") for price in named if price is not None]
    return max(prices)


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
        quantity = finite(order.remaining_quantity, f"quantity of {order.client_order_id}")
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
) -> Iterator[WorkingOrder]:
    """All orders in ``symbol`` that may still fill; of one strategy, or of all.

    An intent judged again at submission is in the ledger already, and so among ``working``: it counts once.
    """
    for order in context.working if intent is None else beside(intent, context):
        if order.symbol == symbol and strategy in (None, order.strategy):
            yield order
    for approved in (*context.approved, *((intent,) if intent is not None else ())):
        if approved.request.symbol == symbol and strategy in (None, approved.strategy):
            yield WorkingOrder.from_intent(approved)


def beside(intent: OrderIntent, context: RiskContext) -> list[WorkingOrder]:
    """The working orders that can be live at the same time as ``intent``: not itself, and not what it replaces."""
    gone = {intent.client_order_id, *intent.replaces}
    return [order for order in context.working if order.client_order_id not in gone]
