"""The venue: the paper gateway's whole trading side behind one object.

Every operation first plays the market up to now, then does its work, then saves everything it changed in one
transaction, and only then returns what is to be announced. If it fails, memory goes back to what was saved.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.calendars import get_calendar
from trading_platform.domain.portfolio.commissions import order_commission
from trading_platform.paper_gateway.account import PaperAccount, Position
from trading_platform.paper_gateway.engine import MarketView, MatchingEngine, Pending
from trading_platform.paper_gateway.errors import RequestError
from trading_platform.paper_gateway.funds import check_funds
from trading_platform.paper_gateway.model import (
    AccountPnl,
    Announcement,
    Contract,
    Holding,
    OrderChanged,
    OrderError,
    OrderTicket,
    PaperExecution,
    PaperOrder,
    PositionPnl,
    TopOfBook,
    WhatIf,
)
from trading_platform.paper_gateway.order_book import OrderBook, copy_of, key_of
from trading_platform.paper_gateway.order_checks import Refusal, check_new, check_revision, check_ticket
from trading_platform.paper_gateway.prices import touch
from trading_platform.paper_gateway.profit import SessionTrades, position_pnl, trades_of_session
from trading_platform.paper_gateway.state import Changes, Header
from trading_platform.paper_gateway.store import ForeignStateError, Store
from trading_platform.paper_gateway.time_in_force import next_open
from trading_platform.paper_gateway.valuation import Valuation, value_account

__all__ = ["RECENT", "MarketView", "Venue", "WhatIf"]

RECENT = timedelta(days=7)
"""How far back executions and completed orders are told, as far as TWS's trade log goes."""

_SAVE_PROGRESS_EVERY = timedelta(minutes=5)

FindContract = Callable[[int], Contract | None]


class Venue:
    """One paper account and the market it trades on. Thread-safe.

    ``contracts`` finds the paper market's contracts by id; ``participation`` is the share of each minute's volume
    that the account's orders may take per contract; ``starting_cash`` (USD) is used for a fresh state only.

    Raises:
        StoreError: the state can't be read or belongs to another account.
    """

    def __init__(
        self,
        market: MarketView,
        contracts: Mapping[int, Contract] | FindContract,
        now: Callable[[], datetime],
        store: Store,
        account: str,
        *,
        starting_cash: Decimal = Decimal(1_000_000),
        participation: Decimal = Decimal("0.10"),
    ) -> None:
        self.account = account
        self._market = market
        self._find: FindContract = contracts.get if isinstance(contracts, Mapping) else contracts
        self._now = now
        self._store = store
        self._starting_cash = starting_cash
        self._participation = participation
        self._lock = threading.RLock()
        with self._lock:
            self._engine, self._stepped_at = self._restore()
            self._saved_at = self._stepped_at

    def place(self, client_id: int, order_id: int, contract: Contract, ticket: OrderTicket) -> list[Announcement]:
        """Place a new order, or change the live order of that client and id.

        A ticket with ``transmit=False`` is staged: nothing is announced until an order of its bracket is
        transmitted. A refused order is an :class:`OrderError` and nothing else; it leaves no trace.
        """
        if ticket.what_if:
            msg = "a what-if ticket is not an order: ask Venue.what_if"
            raise ValueError(msg)
        return self._perform(lambda now: self._place(PaperOrder(client_id, order_id, 0, contract, ticket), now))

    def what_if(self, client_id: int, order_id: int, contract: Contract, ticket: OrderTicket) -> WhatIf:
        """What the order would do to margins and equity if all of it traded at the touch. Changes nothing.

        Raises:
            RequestError: the order would be refused, with the refusal's code and text.
        """
        with self._lock:
            now = self._now()
            candidate = PaperOrder(client_id, order_id, 0, contract, ticket)
            prices, top = self._prices(now, contract), self._market.top_of_book(contract, now)
            refusal = check_ticket(contract, ticket, self.account, now) or self._check_funds(candidate, prices)
            if refusal is not None or top is None:
                refusal = refusal or Refusal(201, f"Order rejected - reason:no market price for {contract.symbol}")
                raise RequestError(refusal.code, refusal.text)
            price = touch(ticket, top)
            commission = order_commission(contract.security_type, ticket.quantity, ticket.quantity * price)
            account = self._engine.account
            imagined = PaperAccount(account.cash, [replace(position) for position in account.positions.values()])
            imagined.apply(contract, ticket.action, ticket.quantity, price, commission)
            before, after = self._value(account, prices), self._value(imagined, prices)
            return WhatIf(
                init_margin_before=before.initial_margin,
                init_margin_after=after.initial_margin,
                maint_margin_before=before.maintenance_margin,
                maint_margin_after=after.maintenance_margin,
                equity_with_loan_before=before.equity_with_loan,
                equity_with_loan_after=after.equity_with_loan,
                commission=commission,
            )

    def cancel(self, client_id: int, order_id: int) -> list[Announcement]:
        """Cancel one order, live or staged, and the children that wait for it."""
        return self._perform(lambda now: self._cancel(client_id, order_id, now))

    def cancel_all(self) -> list[Announcement]:
        """Cancel every order of every client (TWS's global cancel)."""
        return self._perform(self._cancel_all)

    def step(self) -> list[Announcement]:
        """Play the market up to now: expiries, triggers and fills since the last operation."""
        return self._perform(lambda _: None)

    def open_orders(self, client_id: int | None = None) -> list[PaperOrder]:
        """Live orders, of one client or of all, oldest first. Staged orders are not among them."""
        with self._lock:
            orders = self._engine.book.in_time_priority()
            return [copy_of(order) for order in orders if client_id in (None, order.client_id)]

    def completed_orders(self, since: datetime | None = None) -> list[PaperOrder]:
        """Orders that were filled or cancelled since then (default: in the last seven days), oldest first."""
        with self._lock:
            start = since or self._now() - RECENT
            done = [o for o in self._engine.book.orders.values() if o.completed_at and o.completed_at >= start]
            return [copy_of(order) for order in sorted(done, key=lambda o: (o.completed_at or start, o.perm_id))]

    def executions(self, since: datetime | None = None) -> list[PaperExecution]:
        """Fills since then (default: in the last seven days), in the order in which they were booked."""
        with self._lock:
            start = since or self._now() - RECENT
            return [execution for execution in self._engine.executions if execution.ts_utc >= start]

    def holdings(self) -> list[Holding]:
        """The positions that are not flat, by contract id."""
        with self._lock:
            now = self._now()
            positions = sorted(self._engine.account.positions.items())
            return [self._holding(position.contract, now) for _, position in positions]

    def account_values(self) -> dict[str, tuple[str, str]]:
        """TWS's account values: tag → (value, currency). The rules are in :mod:`…paper_gateway.valuation`."""
        with self._lock:
            now = self._now()
            realized = sum((t.realized for t in trades_of_session(self._engine.executions, now).values()), Decimal(0))
            return self._value(self._engine.account, self._prices(now)).values(realized)

    def pnl(self) -> AccountPnl:
        """The account's P&L, sessions' trades that left no position included."""
        with self._lock:
            parts = list(self._pnl_by_contract(self._now()).values())
            return AccountPnl(
                daily=sum((part.daily for part in parts), Decimal(0)),
                unrealized=sum((part.unrealized for part in parts), Decimal(0)),
                realized=sum((part.realized for part in parts), Decimal(0)),
            )

    def pnl_single(self, con_id: int) -> PositionPnl:
        """The P&L of one contract; all zeros when it was neither held nor traded in its session."""
        with self._lock:
            zero = Decimal(0)
            return self._pnl_by_contract(self._now()).get(con_id, PositionPnl(zero, zero, zero, zero, zero))

    def next_order_id(self, client_id: int) -> int:
        """The lowest order id the client may use next."""
        with self._lock:
            return self._engine.book.highest_id(client_id) + 1

    def close(self) -> None:
        """Let go of the state file. The venue can't be used afterwards."""
        with self._lock:
            self._store.close()

    def _perform(self, action: Callable[[datetime], None]) -> list[Announcement]:
        with self._lock:
            now = self._now()
            try:
                self._engine.play(self._stepped_at, now)
                self._stepped_at = now
                action(now)
                return self._commit()
            except BaseException:
                self._engine, self._stepped_at = self._restore()
                raise

    def _commit(self) -> list[Announcement]:
        engine = self._engine
        pending, engine.pending = engine.pending, Pending()
        is_progress_due = bool(engine.book.live) and abs(self._stepped_at - self._saved_at) >= _SAVE_PROGRESS_EVERY
        if pending.orders or pending.executions or is_progress_due:
            self._store.save(
                Changes(
                    self._header(engine, self._stepped_at),
                    list(pending.orders.values()),
                    pending.executions,
                    list(pending.positions.values()),
                )
            )
            self._saved_at = self._stepped_at
        return pending.announcements

    def _header(self, engine: MatchingEngine, stepped_at: datetime) -> Header:
        return Header(self.account, engine.account.cash, engine.next_perm_id, engine.next_execution, stepped_at)

    def _restore(self) -> tuple[MatchingEngine, datetime]:
        """The engine as it was last saved, and the moment it had played to."""
        saved = self._store.load()
        if saved is None:
            # Random starting points: a ledger that outlives a deleted state file must not meet its ids again.
            counters = (1_000_000_000 + secrets.randbits(29), secrets.randbits(32))
            engine = self._engine_with(OrderBook(), PaperAccount(self._starting_cash), [], counters)
            moment = self._now()
            self._store.save(Changes(self._header(engine, moment)))
            return engine, moment
        header = saved.header
        if header.account != self.account:
            msg = (
                f"the paper account's state {self._store.path} belongs to account {header.account}, not to "
                f"{self.account}: name another state file or account"
            )
            raise ForeignStateError(msg)
        engine = self._engine_with(
            OrderBook(replace(order, contract=self._current(order.contract)) for order in saved.orders),
            PaperAccount(
                header.cash,
                [replace(position, contract=self._current(position.contract)) for position in saved.positions],
            ),
            [replace(execution, contract=self._current(execution.contract)) for execution in saved.executions],
            (header.next_perm_id, header.next_execution),
        )
        return engine, header.stepped_at

    def _engine_with(
        self, book: OrderBook, account: PaperAccount, executions: list[PaperExecution], counters: tuple[int, int]
    ) -> MatchingEngine:
        return MatchingEngine(
            self._market,
            self._participation,
            book,
            account,
            executions=executions,
            counters=counters,
            holding_of=self._holding,
        )

    def _current(self, contract: Contract) -> Contract:
        """The market's present description of a saved contract, or the saved one if the market dropped it."""
        return self._find(contract.con_id) or contract

    def _place(self, order: PaperOrder, now: datetime) -> None:
        book = self._engine.book
        refusal = check_ticket(order.contract, order.ticket, self.account, now)
        live = book.live.get(key_of(order))
        if live is not None:
            self._revise(live, order, refusal, now)
            return
        refusal = refusal or check_new(book, order)
        if refusal is not None:
            self._tell(order, refusal.code, refusal.text)
            return
        book.staged[key_of(order)] = order
        if not order.ticket.transmit:
            return
        family = book.family(order)
        for member in family:
            del book.staged[key_of(member)]
        refusal = self._check_funds(family[0], self._prices(now, family[0].contract))
        for member in family:
            if refusal is not None:
                self._tell(member, refusal.code, refusal.text)
                continue
            member.ticket = replace(member.ticket, transmit=True)
            self._engine.accept(member, now)
            self._warn(member, now)
        self._engine.touch_pass(now)

    def _revise(self, live: PaperOrder, revised: PaperOrder, refusal: Refusal | None, now: datetime) -> None:
        refusal = refusal or check_revision(live, revised)
        if refusal is None and revised.ticket != live.ticket:
            others = [order for order in self._engine.book.live.values() if order is not live]
            candidate = replace(live, ticket=revised.ticket)
            refusal = self._check_funds(candidate, self._prices(now, live.contract), others)
        if refusal is not None:
            self._tell(live, refusal.code, refusal.text)
        elif revised.ticket == live.ticket:
            self._engine.pending.announcements.append(OrderChanged(copy_of(live)))
        else:
            self._engine.revise(live, revised.ticket, now)
            self._engine.touch_pass(now)

    def _cancel(self, client_id: int, order_id: int, now: datetime) -> None:
        book, key = self._engine.book, (client_id, order_id)
        if key in book.staged:
            for member in book.family(book.staged[key]):
                if order_id in (member.order_id, member.ticket.parent_id):
                    self._drop_staged(member, now)
        elif key in book.live:
            self._engine.finish(book.live[key], now, "", "Cancelled by Trader")
        elif key in book.orders:
            status = book.orders[key].status
            text = f"OrderId {order_id} that needs to be cancelled can not be cancelled, state: {status}."
            self._say_error(client_id, order_id, 10148, text)
        else:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._say_error(client_id, order_id, 10147, text)

    def _cancel_all(self, now: datetime) -> None:
        for staged in list(self._engine.book.staged.values()):
            self._drop_staged(staged, now)
        for order in self._engine.book.in_time_priority():
            self._engine.finish(order, now, "", "Cancelled by Trader")

    def _drop_staged(self, order: PaperOrder, now: datetime) -> None:
        del self._engine.book.staged[key_of(order)]
        gone = replace(order, status="Cancelled", completed_at=now, completed_status="Cancelled by Trader")
        self._engine.pending.announcements.append(OrderChanged(gone))
        self._tell(gone, 202, "Order Canceled - reason:")

    def _warn(self, order: PaperOrder, now: datetime) -> None:
        """Tell what TWS tells about an order that was accepted, but won't do all that its ticket says."""
        contract, ticket = order.contract, order.ticket
        calendar = get_calendar(contract.calendar)
        if ticket.outside_rth and not calendar.is_always_open:
            text = (
                'Order Event Warning:Attribute "Outside Regular Trading Hours" is ignored based on the order type '
                "and destination. PlaceOrder is now being processed."
            )
            self._tell(order, 2109, text)
        if not order.is_done and not self._market.is_open(contract, now):
            opens = next_open(contract, now).astimezone(calendar.time_zone)
            text = (
                f"Order Message:\n{ticket.action} {ticket.quantity} {contract.symbol} {contract.exchange}\n"
                f"Warning: your order will not be placed at the exchange until {opens:%Y-%m-%d %H:%M:%S} "
                f"{calendar.time_zone.key}"
            )
            self._tell(order, 399, text)

    def _tell(self, order: PaperOrder, code: int, text: str) -> None:
        self._say_error(order.client_id, order.order_id, code, text)

    def _say_error(self, client_id: int, order_id: int, code: int, text: str) -> None:
        self._engine.pending.announcements.append(OrderError(client_id, order_id, code, text))

    def _check_funds(
        self, candidate: PaperOrder, prices: Mapping[int, Decimal], working: list[PaperOrder] | None = None
    ) -> Refusal | None:
        engine = self._engine
        orders = list(engine.book.live.values()) if working is None else working
        return check_funds(engine.book, engine.account, prices, candidate, orders)

    def _value(self, account: PaperAccount, prices: Mapping[int, Decimal]) -> Valuation:
        return value_account(account.cash, account.positions.values(), prices)

    def _prices(self, now: datetime, *more: Contract) -> dict[int, Decimal]:
        """Last prices of everything held, working, or asked for; contracts without data are left out."""
        contracts = {contract.con_id: contract for contract in more}
        contracts.update({con_id: p.contract for con_id, p in self._engine.account.positions.items()})
        contracts.update({order.contract.con_id: order.contract for order in self._engine.book.live.values()})
        tops = {con_id: self._market.top_of_book(contract, now) for con_id, contract in contracts.items()}
        return {con_id: top.last for con_id, top in tops.items() if top is not None}

    def _holding(self, contract: Contract, now: datetime) -> Holding:
        position = self._engine.account.positions.get(contract.con_id, Position(contract))
        trades = trades_of_session(self._engine.executions, now).get(contract.con_id, SessionTrades(contract))
        return Holding(contract, position.quantity, position.average_cost, trades.realized)

    def _pnl_by_contract(self, now: datetime) -> dict[int, PositionPnl]:
        trades = trades_of_session(self._engine.executions, now)
        positions = self._engine.account.positions
        contracts = {con_id: part.contract for con_id, part in trades.items()}
        contracts.update({con_id: position.contract for con_id, position in positions.items()})
        tops: dict[int, TopOfBook | None] = {
            con_id: self._market.top_of_book(contract, now) for con_id, contract in contracts.items()
        }
        return {
            con_id: position_pnl(
                positions.get(con_id, Position(contract)), trades.get(con_id, SessionTrades(contract)), tops[con_id]
            )
            for con_id, contract in contracts.items()
        }
