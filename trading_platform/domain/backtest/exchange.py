"""The fill model of backtests, and the account that it fills.

It is the paper gateway's, told independently of it:

* A market order, or a limit at or through the touch, trades at the touch of the instant at which it is placed: buys at
  the ask, sales at the bid. What is left meets the touch again at the start of each minute.
* A resting limit trades at its limit when a whole minute's range reaches it, a stop at its stop, worsened by the
  distance from the last price to the touch as the minute began. Stops go before limits.
* All orders in a symbol together take at most ``participation`` of a minute's volume; a market order gets at least one
  lot of it.
* DAY orders end with the session. IOC orders end at the instant at which they are placed.
* Commissions are IBKR's (``domain.portfolio.commissions``). There is no interest, and no refusal for want of margin:
  that is risk control's. Crypto-currencies are bought with the cash and sold from the coins that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from trading_platform.domain.backtest.market import Market
from trading_platform.domain.calendars import TradingCalendar, get_calendar
from trading_platform.domain.instruments import Instrument
from trading_platform.domain.orders.model import AccountSummary, Execution, OrderIntent, OrderStatus, Quote
from trading_platform.domain.orders.working import WorkingOrder
from trading_platform.domain.portfolio.commissions import CRYPTO_MINIMUM, CRYPTO_RATE, fill_commission
from trading_platform.domain.portfolio.margin import MarginAccount

MINUTE = timedelta(minutes=1)
_LAST_SECOND = timedelta(seconds=59)
"""A fill within a minute is stamped with the minute's last second: brokers tell whole seconds."""
_ZERO = Decimal(0)
_PRICE_GRAIN = Decimal("1e-8")
ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT")
TIMES_IN_FORCE = ("DAY", "GTC", "IOC")


class UnsupportedOrderError(ValueError):
    """A strategy asked for an order that the fill model does not know. Replay it against the paper gateway instead."""


@dataclass
class SimulatedOrder:
    """One order that was placed. It began to work at ``placed_at``."""

    intent: OrderIntent
    placed_at: datetime
    expires_at: datetime | None
    status: OrderStatus = OrderStatus.SUBMITTED
    filled: Decimal = _ZERO
    notional: Decimal = _ZERO
    is_triggered: bool = False

    @property
    def remaining(self) -> Decimal:
        """Quantity not filled yet."""
        return self.intent.request.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of the fills, to eight digits."""
        return (self.notional / self.filled).quantize(_PRICE_GRAIN) if self.filled else None

    @property
    def takes_any_price(self) -> bool:
        """Whether it is a market order, or a stop that was triggered."""
        kind = self.intent.request.order_type
        return kind == "MKT" or (kind == "STP" and self.is_triggered)

    @property
    def waits_for_trigger(self) -> bool:
        """Whether it is a stop that was not triggered yet."""
        return self.intent.request.order_type in ("STP", "STP LMT") and not self.is_triggered


@dataclass
class Exchange:
    """Orders meet the market; cash and positions follow. Time only moves forward, by :meth:`play`.

    ``cash`` is USD. ``instruments`` tells by symbol on which calendar and under which rules a symbol trades.
    """

    market: Market
    instruments: Mapping[str, Instrument]
    cash: Decimal
    now: datetime
    participation: Decimal = Decimal("0.10")
    positions: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, SimulatedOrder] = field(default_factory=dict)
    fills: list[Execution] = field(default_factory=list)
    _live: dict[str, SimulatedOrder] = field(default_factory=dict)
    _used: dict[tuple[str, datetime], Decimal] = field(default_factory=dict)

    def place(self, intent: OrderIntent) -> None:
        """Place an order at the present moment, at which its market must be open.

        Raises:
            UnsupportedOrderError: a kind of order, or a time in force, that is not simulated.
        """
        request = intent.request
        is_simulated = request.order_type in ORDER_TYPES and request.time_in_force in TIMES_IN_FORCE
        if not is_simulated or request.oca_group or request.parent_id or intent.replaces:
            msg = (
                f"order {request.client_order_id}: a backtest does not simulate {request.order_type} orders with time "
                f"in force {request.time_in_force}, brackets, and orders that replace others; `trading-platform "
                "replay` does"
            )
            raise UnsupportedOrderError(msg)
        calendar = self._calendar(request.symbol)
        session = calendar.session_at(self.now)
        if session is None:
            msg = (
                f"order {request.client_order_id} was placed at {self.now.isoformat()}, when {calendar.name} is closed"
            )
            raise ValueError(msg)
        expiry = None if request.time_in_force == "GTC" else calendar.close_of(session)
        order = SimulatedOrder(intent, self.now, expiry)
        self.orders[request.client_order_id] = order
        self._live[request.client_order_id] = order
        self._meet_touch(self.now)

    def play(self, until: datetime) -> None:
        """Let the market run to ``until``: expiries, triggers and fills, in the order of time."""
        begin, self.now = self.now, until
        if not self._live:
            return
        for minute in self._minutes(begin, until):
            self._expire(minute)
            if not self._live:
                return
            if minute > begin:
                self._meet_touch(minute)
            if minute + MINUTE <= until:
                self._meet_range(minute)
        self._expire(until)
        self._meet_touch(until)

    def holdings(self) -> dict[str, Decimal]:
        """Signed quantities by symbol, written as a broker tells them: without trailing zeros."""
        return {symbol: _shortest(quantity) for symbol, quantity in self.positions.items()}

    def cancel_all(self) -> None:
        """Cancel every order that works."""
        for order in list(self._live.values()):
            self._end(order, OrderStatus.CANCELLED)

    def working(self) -> tuple[WorkingOrder, ...]:
        """The unfilled rests, by tick and client order id as the ledger lists them."""
        live = sorted(self._live.values(), key=lambda order: (order.intent.tick_utc, order.intent.client_order_id))
        return tuple(WorkingOrder.from_intent(order.intent, order.filled) for order in live)

    def summary(self, account: str) -> AccountSummary:
        """The account's figures now, in whole cents as a broker reports them.

        What is held is valued at its last price.
        """
        stock = stock_gross = crypto = _ZERO
        for symbol, quantity in self.positions.items():
            value = quantity * self._last(symbol)
            if self.instruments[symbol].security_type == "CRYPTO":
                crypto += value
            else:
                stock += value
                stock_gross += abs(value)
        worth = MarginAccount(self.cash, stock, stock_gross, crypto)
        return AccountSummary(
            account=account,
            currency="USD",
            net_liquidation=_cents(worth.net_liquidation),
            total_cash=_cents(worth.cash),
            gross_position_value=_cents(worth.gross_position_value),
            available_funds=_cents(worth.available_funds),
            buying_power=_cents(worth.buying_power),
            ts_utc=self.now,
        )

    def _last(self, symbol: str) -> Decimal:
        quote = self.market.quote(symbol, self.now)
        if quote is None or quote.last is None:
            msg = f"{symbol} is held and has no price at {self.now.isoformat()}"
            raise ValueError(msg)
        return quote.last

    def _calendar(self, symbol: str) -> TradingCalendar:
        return get_calendar(self.instruments[symbol].calendar)

    def _minutes(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Starts of the minutes, from that of ``after`` to ``until``, in which a live order's market trades."""
        names = {self.instruments[order.intent.request.symbol].calendar for order in self._live.values()}
        spans = [span for name in sorted(names) for span in _sessions(get_calendar(name), after, until)]
        begun: datetime | None = None
        for opening, close in sorted(spans):
            minute = max(opening, _minute_of(after), begun or opening)
            while minute < close and minute <= until:
                yield minute
                minute += MINUTE
            begun = minute

    def _expire(self, moment: datetime) -> None:
        for order in list(self._live.values()):
            if order.expires_at is not None and order.expires_at <= moment:
                self._end(order, OrderStatus.EXPIRED)

    def _end(self, order: SimulatedOrder, status: OrderStatus) -> None:
        order.status = status
        self._live.pop(order.intent.client_order_id, None)

    def _meet_touch(self, moment: datetime) -> None:
        quotes: dict[str, Quote | None] = {}
        for order in list(self._live.values()):
            request = order.intent.request
            if not self._calendar(request.symbol).is_open(moment):
                continue
            if request.symbol not in quotes:
                quotes[request.symbol] = self.market.quote(request.symbol, moment)
            quote = quotes[request.symbol]
            if quote is not None:
                self._meet_quote(order, quote, moment)
            if request.time_in_force == "IOC" and order.status is not OrderStatus.FILLED:
                self._end(order, OrderStatus.CANCELLED)

    def _meet_quote(self, order: SimulatedOrder, quote: Quote, moment: datetime) -> None:
        request = order.intent.request
        if order.waits_for_trigger:
            if quote.last is None or not _reaches_stop(order, quote.last):
                return
            order.is_triggered = True
        touch = quote.ask if request.side == "BUY" else quote.bid
        if touch is not None and (order.takes_any_price or _is_within_limit(order, touch)):
            self._trade(order, touch, _minute_of(moment), moment)

    def _meet_range(self, minute: datetime) -> None:
        """Match what worked through the whole minute against its range."""
        waiting = [
            order
            for order in self._live.values()
            if order.placed_at <= minute and (order.expires_at is None or order.expires_at >= minute + MINUTE)
        ]
        for order in sorted(waiting, key=lambda order: not order.waits_for_trigger):
            request = order.intent.request
            if order.takes_any_price or not self._calendar(request.symbol).is_open(minute):
                continue
            traded = self.market.minute(request.symbol, minute)
            if traded is None:
                continue
            price: Decimal | None = None
            if order.waits_for_trigger:
                if _reaches_stop(order, traded.high if request.side == "BUY" else traded.low):
                    order.is_triggered = True
                    price = self._stop_price(order, minute)
            elif _is_within_limit(order, traded.low if request.side == "BUY" else traded.high):
                price = request.limit_price
            if price is not None:
                self._trade(order, price, minute, minute + _LAST_SECOND)

    def _stop_price(self, order: SimulatedOrder, minute: datetime) -> Decimal | None:
        request = order.intent.request
        quote, details = self.market.quote(request.symbol, minute), self.market.details(request.symbol)
        if request.stop_price is None or quote is None or details is None or quote.last is None:
            return None
        if request.side == "BUY":
            price = request.stop_price + max((quote.ask or quote.last) - quote.last, _ZERO)
        else:
            price = max(request.stop_price - max(quote.last - (quote.bid or quote.last), _ZERO), details.min_tick)
        return price if request.order_type == "STP" or _is_within_limit(order, price) else None

    def _trade(self, order: SimulatedOrder, price: Decimal, minute: datetime, moment: datetime) -> None:
        """Fill what the minute's volume and, for crypto-currencies, the account's cash or coins allow."""
        wanted = min(order.remaining, self._volume_left(order, minute))
        quantity = min(wanted, self._affordable(order, price))
        if wanted > 0 >= quantity:
            self._end(order, OrderStatus.CANCELLED)
        elif quantity > 0:
            self._fill(order, quantity, price, minute, moment)

    def _volume_left(self, order: SimulatedOrder, minute: datetime) -> Decimal:
        symbol = order.intent.request.symbol
        traded = self.market.minute(symbol, minute)
        lot = self._lot(symbol)
        allowed = traded.volume * self.participation if traded is not None else _ZERO
        left = _whole_lots(allowed - self._used.get((symbol, minute), _ZERO), lot)
        return max(left, lot) if order.takes_any_price and not order.filled else left

    def _affordable(self, order: SimulatedOrder, price: Decimal) -> Decimal:
        request = order.intent.request
        if self.instruments[request.symbol].security_type != "CRYPTO":
            return order.remaining
        if request.side == "SELL":
            return self.positions.get(request.symbol, _ZERO)
        return _whole_lots((self.cash - CRYPTO_MINIMUM) / (price * (1 + CRYPTO_RATE)), self._lot(request.symbol))

    def _lot(self, symbol: str) -> Decimal:
        details = self.market.details(symbol)
        return details.lot_size if details is not None else self.instruments[symbol].lot_size

    def _fill(
        self, order: SimulatedOrder, quantity: Decimal, price: Decimal, minute: datetime, moment: datetime
    ) -> None:
        request = order.intent.request
        kind = self.instruments[request.symbol].security_type
        commission = fill_commission(kind, order.filled, order.notional, quantity, price)
        signed = quantity if request.side == "BUY" else -quantity
        self.cash -= signed * price + commission
        held = self.positions.get(request.symbol, _ZERO) + signed
        if held:
            self.positions[request.symbol] = held
        else:
            self.positions.pop(request.symbol, None)
        order.filled += quantity
        order.notional += quantity * price
        order.status = OrderStatus.PARTIALLY_FILLED
        key = (request.symbol, minute)
        self._used[key] = self._used.get(key, _ZERO) + quantity
        if not order.remaining:
            self._end(order, OrderStatus.FILLED)
        self.fills.append(
            Execution(
                execution_id=f"backtest.{len(self.fills) + 1:08d}",
                client_order_id=request.client_order_id,
                perm_id=0,
                account=order.intent.account,
                symbol=request.symbol,
                side=request.side,
                quantity=quantity,
                price=price,
                commission=commission,
                realized_pnl=None,
                ts_utc=moment,
            )
        )


def _minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _sessions(calendar: TradingCalendar, after: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    day = timedelta(days=1)
    first: date = (after - day).date()
    found = calendar.sessions(first, (until + day).date())
    return [(calendar.open_of(session), calendar.close_of(session)) for session in found]


def _whole_lots(quantity: Decimal, lot: Decimal) -> Decimal:
    return max((quantity / lot).to_integral_value(ROUND_FLOOR) * lot, _ZERO)


def _is_within_limit(order: SimulatedOrder, price: Decimal) -> bool:
    request = order.intent.request
    if request.limit_price is None:
        return False
    return price <= request.limit_price if request.side == "BUY" else price >= request.limit_price


def _reaches_stop(order: SimulatedOrder, price: Decimal) -> bool:
    request = order.intent.request
    if request.stop_price is None:
        return False
    return price >= request.stop_price if request.side == "BUY" else price <= request.stop_price


def _shortest(number: Decimal) -> Decimal:
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number.normalize()


def _cents(amount: Decimal) -> Decimal:
    return Decimal(f"{amount:.2f}")
