"""The matching of orders: plays the market minute by minute and books what happens. No clock, no file.

Two kinds of pass make up an order's life:

* at an *instant* (each step, and each minute's start while catching up) against the touch: buys at the ask, sales
  at the bid, stops against the last price;
* over a *whole minute* once it is over, against its range: resting limits at their limit, stops at their stop.
  An order takes part from the first minute that begins after it started to work, so that it never trades on
  prices from before it existed. Stops go before limits: where both are in range, the worse happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Protocol

from trading_platform.domain.portfolio.commissions import CRYPTO_MINIMUM, CRYPTO_RATE, fill_commission
from trading_platform.paper_gateway.account import ZERO, PaperAccount, Position
from trading_platform.paper_gateway.model import (
    Announcement,
    Bar,
    Contract,
    Executed,
    Holding,
    HoldingChanged,
    OrderChanged,
    OrderError,
    OrderTicket,
    PaperExecution,
    PaperOrder,
    TopOfBook,
)
from trading_platform.paper_gateway.order_book import Key, OrderBook, copy_of, is_cancelled_by_rivals, key_of
from trading_platform.paper_gateway.prices import (
    acts_as_market,
    closing_price,
    exact,
    is_limit_in_range,
    is_stop_in_range,
    is_stop_reached,
    price_at_touch,
    stop_fill_price,
    trailed_stop,
    waits_for_close,
    waits_for_trigger,
)
from trading_platform.paper_gateway.time_in_force import MINUTE, expiry_of, minute_of, trading_minutes

LONGEST_CATCH_UP = timedelta(days=7)
"""How much missed time is played after the gateway was down (a second or two of work at most); of a longer
absence only the end trades. Orders expire at their own time however long it was."""

_INSTANT = timedelta(microseconds=1)
_PRICE_GRAIN = Decimal("1e-8")
_EXECUTIONS = 2**32


class MarketView(Protocol):
    """What matching needs to know of the market. All moments are tz-aware UTC."""

    def top_of_book(self, contract: Contract, now: datetime) -> TopOfBook | None:
        """Bid, ask and last at ``now``; the last known ones while the market is closed; ``None`` without data."""
        ...

    def is_open(self, contract: Contract, now: datetime) -> bool:
        """Whether the contract trades at ``now``."""
        ...

    def minute_volume(self, contract: Contract, minute_start: datetime) -> Decimal:
        """The volume traded in one minute, in units of the contract."""
        ...

    def minute_bar(self, contract: Contract, minute_start: datetime) -> Bar | None:
        """The minute's bar, or ``None`` when nothing traded."""
        ...


@dataclass
class Pending:
    """What an operation did so far: what to say, and what to save."""

    announcements: list[Announcement] = field(default_factory=list)
    orders: dict[Key, PaperOrder] = field(default_factory=dict)
    executions: list[PaperExecution] = field(default_factory=list)
    positions: dict[int, Position] = field(default_factory=dict)


class MatchingEngine:
    """Orders, account and executions, and the rules that move them. Not thread-safe; the venue guards it.

    ``participation`` is the share of each minute's volume that all orders in a contract may take together.
    ``holding_of`` describes a position for announcements.
    """

    def __init__(
        self,
        market: MarketView,
        participation: Decimal,
        book: OrderBook,
        account: PaperAccount,
        *,
        executions: list[PaperExecution],
        counters: tuple[int, int],
        holding_of: Callable[[Contract, datetime], Holding],
    ) -> None:
        self.market = market
        self.participation = participation
        self.book = book
        self.account = account
        self.executions = executions
        self.next_perm_id, self.next_execution = counters
        self.pending = Pending()
        self._holding_of = holding_of
        self._used: dict[tuple[int, datetime], Decimal] = {}
        self._notional: dict[int, Decimal] = {}
        for execution in executions:
            self._count(execution)

    def accept(self, order: PaperOrder, moment: datetime) -> None:
        """Make a transmitted order live and say so. An IOC order that can't trade now is cancelled."""
        order.perm_id = self.next_perm_id
        self.next_perm_id += 1
        order.is_transmitted = True
        order.submitted_at = moment
        self.book.add(order)
        self._arrange(order, moment)
        is_idle = order.working_since is None and not self.book.is_held_by_parent(order)
        if is_idle and order.ticket.time_in_force == "IOC":
            self.finish(order, moment, "the market is closed and the order is immediate-or-cancel")

    def revise(self, order: PaperOrder, ticket: OrderTicket, moment: datetime) -> None:
        """Give a live order a new ticket. It keeps its fills and its permanent id."""
        order.ticket = ticket
        order.working_since = None
        order.trail_stop = None
        self._arrange(order, moment)

    def finish(self, order: PaperOrder, moment: datetime, reason: str, completed_status: str = "") -> None:
        """Cancel a live order.

        Children that wait for it go with it. If it was filled in part, they become active for that part instead,
        so that a position never loses its exits.
        """
        if order.is_done:
            return
        order.status = "Cancelled"
        order.why_held = ""
        order.completed_at = moment
        order.completed_status = completed_status or f"Cancelled by System: {reason}"
        self.book.retire(order)
        self._changed(order)
        self._say(OrderError(order.client_id, order.order_id, 202, f"Order Canceled - reason:{reason}"))
        for child in self.book.children_of(order):
            if not order.filled:
                self.finish(child, moment, "the parent order was cancelled")
            elif not child.is_done:
                child.ticket = replace(child.ticket, quantity=min(child.ticket.quantity, order.filled))
                self._arrange(child, moment)

    def play(self, after: datetime, now: datetime) -> None:
        """Let the market run from ``after`` to ``now``: expiries, triggers and fills, in the order of time."""
        if not self.book.live:
            return
        begin = max(after, now - LONGEST_CATCH_UP)
        calendars = {order.contract.calendar for order in self.book.live.values()}
        for minute in trading_minutes(calendars, begin, now):
            self.expire(minute)
            if not self.book.live:
                return
            if minute > begin:
                self.touch_pass(minute)
            if minute + MINUTE <= now:
                self.range_pass(minute)
        self.expire(now)
        self.touch_pass(now)

    def expire(self, until: datetime) -> None:
        """End the orders whose time in force has ended by ``until``; orders for the close trade in it first."""
        ended = [(expiry, order) for order in self.book.in_time_priority() if (expiry := expiry_of(order)) is not None]
        for expiry, order in sorted(ended, key=lambda item: item[0]):
            if expiry <= until and not order.is_done:
                if waits_for_close(order.ticket):
                    self._close_auction(order, expiry)
                self.finish(order, expiry, f"the {order.ticket.time_in_force} order has expired")

    def touch_pass(self, moment: datetime) -> None:
        """Match live orders against the touch at ``moment``, first come, first served.

        A second pass at the same moment changes nothing but for orders that are new since the first.
        """
        tops: dict[int, TopOfBook | None] = {}
        for order in self.book.in_time_priority():
            contract = order.contract
            if order.is_done or self.book.is_held_by_parent(order) or not self.market.is_open(contract, moment):
                continue
            if order.working_since is None:
                self._arrange(order, moment)
            if order.working_since is None or order.working_since > moment or waits_for_close(order.ticket):
                continue
            if contract.con_id not in tops:
                tops[contract.con_id] = self.market.top_of_book(contract, moment)
            top = tops[contract.con_id]
            if top is not None:
                self._meet(order, top, moment)
            if order.ticket.time_in_force == "IOC" and not order.is_done:
                self.finish(order, moment, "the rest of the immediate-or-cancel order could not be filled at once")

    def range_pass(self, minute: datetime) -> None:
        """Match orders that worked through the whole of a past minute against its range."""
        moment = minute + MINUTE - _INSTANT
        bars: dict[int, Bar | None] = {}
        waiting = [order for order in self.book.in_time_priority() if _worked_through(order, minute)]
        for order in sorted(waiting, key=lambda order: not waits_for_trigger(order)):
            if order.is_done or acts_as_market(order) or not self.market.is_open(order.contract, minute):
                continue
            if waits_for_close(order.ticket):
                continue
            if order.contract.con_id not in bars:
                bars[order.contract.con_id] = self.market.minute_bar(order.contract, minute)
            bar = bars[order.contract.con_id]
            if bar is None:
                continue
            price = None
            if waits_for_trigger(order):
                if self._is_triggered_within(order, bar):
                    self._trigger(order)
                    top = self.market.top_of_book(order.contract, minute)
                    price = None if top is None else stop_fill_price(order, top)
            elif is_limit_in_range(order.ticket, bar):
                price = order.ticket.limit_price
            if price is not None:
                self._trade(order, price, moment)

    def _meet(self, order: PaperOrder, top: TopOfBook, moment: datetime) -> None:
        if waits_for_trigger(order):
            if order.ticket.order_type == "TRAIL" and order.trail_stop is None:
                self._move_stop(order, order.ticket.trail_stop_price or trailed_stop(order, top.last))
            if not is_stop_reached(order, top.last):
                self._move_stop(order, trailed_stop(order, top.last))
                return
            self._trigger(order)
        price = price_at_touch(order, top)
        if price is not None:
            self._trade(order, price, moment)

    def _is_triggered_within(self, order: PaperOrder, bar: Bar) -> bool:
        """Whether a stop was triggered in a minute that is over; a trailing one follows what happened in it.

        The worse comes first: the market turns against the order before the stop can follow it. After the best
        price of the minute the stop has moved, and the minute's close can still have reached it.
        """
        if is_stop_in_range(order, bar):
            return True
        if order.ticket.order_type != "TRAIL":
            return False
        best = exact(bar.high if order.ticket.action == "SELL" else bar.low)
        self._move_stop(order, trailed_stop(order, best))
        return is_stop_reached(order, exact(bar.close))

    def _move_stop(self, order: PaperOrder, stop: Decimal | None) -> None:
        """Note where a trailing stop has got to. Clients see it when they ask for the order."""
        if stop is not None and stop != order.trail_stop:
            order.trail_stop = stop
            self.pending.orders[key_of(order)] = order

    def _close_auction(self, order: PaperOrder, close: datetime) -> None:
        """Trade an order for the close, all of it, at the session's last price: the auction has no minute's volume."""
        top = self.market.top_of_book(order.contract, close)
        price = None if top is None else closing_price(order.ticket, top.last)
        if price is not None and not self.book.is_held_by_parent(order):
            self._fill(order, order.remaining, price, close)

    def _trade(self, order: PaperOrder, price: Decimal, moment: datetime) -> None:
        """Fill what the minute's volume and, for crypto-currencies, the account's cash or coins allow."""
        wanted = min(order.remaining, self._volume_left(order, minute_of(moment)))
        quantity = min(wanted, self._affordable(order, price))
        if wanted > 0 >= quantity:
            lacking = "cash" if order.ticket.action == "BUY" else "coins"
            self.finish(order, moment, f"the account has no {lacking} left for it")
        elif quantity > 0:
            self._fill(order, quantity, price, moment)

    def _volume_left(self, order: PaperOrder, minute: datetime) -> Decimal:
        contract = order.contract
        allowed = self.market.minute_volume(contract, minute) * self.participation
        left = _whole_lots(allowed - self._used.get((contract.con_id, minute), ZERO), contract)
        if acts_as_market(order) and not order.filled:
            return max(left, contract.size_increment, contract.min_size)
        return left

    def _affordable(self, order: PaperOrder, price: Decimal) -> Decimal:
        if order.contract.security_type != "CRYPTO":
            return order.remaining
        if order.ticket.action == "SELL":
            return self.account.quantity(order.contract.con_id)
        return _whole_lots((self.account.cash - CRYPTO_MINIMUM) / (price * (1 + CRYPTO_RATE)), order.contract)

    def _fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, moment: datetime) -> None:
        contract, ticket = order.contract, order.ticket
        remaining_before = order.remaining
        spent = self._notional.get(order.perm_id, ZERO)
        commission = fill_commission(contract.security_type, order.filled, spent, quantity, price)
        self.pending.positions[contract.con_id] = self.account.position_of(contract)
        realized = self.account.apply(contract, ticket.action, quantity, price, commission)
        order.filled += quantity
        order.average_fill_price = ((spent + quantity * price) / order.filled).quantize(_PRICE_GRAIN)
        order.last_fill_price = price
        if not order.remaining:
            order.status = "Filled"
            order.completed_at = moment
            order.completed_status = f"Filled Size: {order.filled}"
            self.book.retire(order)
        execution = PaperExecution(
            exec_id=f"0000e0d5.{self.next_execution:08x}.01.01",
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            order_ref=ticket.order_ref,
            contract=contract,
            action=ticket.action,
            quantity=quantity,
            price=price,
            cumulative=order.filled,
            average_price=order.average_fill_price,
            commission=commission,
            realized_pnl=realized,
            ts_utc=moment,
            exchange=contract.primary_exchange or contract.exchange,
        )
        self.next_execution = (self.next_execution + 1) % _EXECUTIONS
        self._count(execution)
        self.executions.append(execution)
        self.pending.executions.append(execution)
        self._say(Executed(copy_of(order), execution))
        self._changed(order)
        self._say(HoldingChanged(self._holding_of(contract, moment)))
        self._settle_group(order, remaining_before, moment)

    def _settle_group(self, order: PaperOrder, remaining_before: Decimal, moment: datetime) -> None:
        """After a fill: cancel or shrink the orders that exclude this one, and wake its children."""
        for rival in self.book.rivals(order):
            left = _whole_lots(rival.remaining * order.remaining / remaining_before, rival.contract)
            if left <= 0 or is_cancelled_by_rivals(order):
                self.finish(rival, moment, f"order {order.order_id} of its group was filled")
            elif left < rival.remaining:
                rival.ticket = replace(rival.ticket, quantity=rival.filled + left)
                self._changed(rival)
        if order.is_done:
            for child in self.book.children_of(order):
                self._arrange(child, moment)

    def _arrange(self, order: PaperOrder, moment: datetime) -> None:
        """Put the order to work if parent and market allow it, give it the status that fits, and say so."""
        is_held = self.book.is_held_by_parent(order)
        if order.working_since is None and not is_held and self.market.is_open(order.contract, moment):
            order.working_since = moment
        order.why_held = "child" if is_held else "trigger" if waits_for_trigger(order) else ""
        is_waiting = order.working_since is None or waits_for_trigger(order)
        order.status = "PreSubmitted" if is_waiting else "Submitted"
        self._changed(order)

    def _trigger(self, order: PaperOrder) -> None:
        order.is_triggered = True
        order.status = "Submitted"
        order.why_held = ""
        self._changed(order)

    def _changed(self, order: PaperOrder) -> None:
        self.pending.orders[key_of(order)] = order
        self._say(OrderChanged(copy_of(order)))

    def _say(self, announcement: Announcement) -> None:
        self.pending.announcements.append(announcement)

    def _count(self, execution: PaperExecution) -> None:
        minute = (execution.contract.con_id, minute_of(execution.ts_utc))
        self._used[minute] = self._used.get(minute, ZERO) + execution.quantity
        notional = self._notional.get(execution.perm_id, ZERO)
        self._notional[execution.perm_id] = notional + execution.quantity * execution.price


def _whole_lots(quantity: Decimal, contract: Contract) -> Decimal:
    step = contract.size_increment
    return max((quantity / step).to_integral_value(ROUND_FLOOR) * step, ZERO)


def _worked_through(order: PaperOrder, minute: datetime) -> bool:
    expiry = expiry_of(order)
    is_alive = expiry is None or expiry >= minute + MINUTE
    return is_alive and order.working_since is not None and order.working_since <= minute
