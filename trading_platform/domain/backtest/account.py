"""What the simulated account remembers: everything about its past that risk control asks for."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from trading_platform.domain.backtest.exchange import Exchange
from trading_platform.domain.backtest.record import EquityReading
from trading_platform.domain.orders.model import Execution, OrderIntent
from trading_platform.domain.orders.risk.context import EquityMarks, Halt, Submission
from trading_platform.domain.portfolio.accounting import Holding, apply_fill
from trading_platform.domain.portfolio.trades import ClosedTrade

RATE_WINDOW = timedelta(days=1)
"""How far back orders that were sent matter: the longest window of a rate limit."""


class AccountHistory:
    """Readings of the equity, orders sent, closed trades and positions by strategy, and halts of one account."""

    def __init__(self, account: str, exchange: Exchange, drawdown_window: timedelta) -> None:
        self.account = account
        self.readings: list[EquityReading] = []
        self.halts: list[Halt] = []
        self._exchange = exchange
        self._window = drawdown_window
        self._stamps: list[datetime] = []
        self._peaks: deque[EquityReading] = deque()
        self._sent: deque[Submission] = deque()
        self._books: dict[str, _StrategyBook] = {}
        self._seen_fills = 0

    def read(self) -> EquityReading:
        """Read the account now; a second reading of the same instant changes nothing, as in the ledger."""
        summary = self._exchange.summary(self.account)
        if self._stamps and self._stamps[-1] == summary.ts_utc:
            return self.readings[-1]
        reading = EquityReading(
            summary.ts_utc, summary.net_liquidation, summary.total_cash, summary.gross_position_value
        )
        self.readings.append(reading)
        self._stamps.append(reading.ts_utc)
        while self._peaks and self._peaks[-1].equity_usd <= reading.equity_usd:
            self._peaks.pop()
        self._peaks.append(reading)
        return reading

    def marks(self, session_start: datetime, now: datetime) -> EquityMarks | None:
        """Equity at the session's start and the highest of the drawdown window; ``None`` without any reading.

        The start is the last reading up to ``session_start``, or the first one after it.
        """
        if not self.readings:
            return None
        start = self.readings[max(bisect_right(self._stamps, session_start) - 1, 0)].equity_usd
        while self._peaks and self._peaks[0].ts_utc < now - self._window:
            self._peaks.popleft()
        return EquityMarks(start, max(self._peaks[0].equity_usd, start) if self._peaks else start)

    def note_sent(self, intent: OrderIntent, at: datetime) -> None:
        """Remember that an order was handed to the exchange."""
        request = intent.request
        self._sent.append(
            Submission(intent.client_order_id, intent.strategy, request.symbol, request.side, request.quantity, at)
        )

    def sent_since(self, moment: datetime) -> tuple[Submission, ...]:
        """Orders sent at or after ``moment``, oldest first; what is older is forgotten."""
        while self._sent and self._sent[0].sent_utc < moment:
            self._sent.popleft()
        return tuple(self._sent)

    def positions(self, strategy: str) -> Mapping[str, Decimal]:
        """Signed quantities that the strategy's fills add up to; flat symbols are left out."""
        return self._book(strategy).positions

    def closed_trades(self, strategy: str) -> Sequence[ClosedTrade]:
        """The strategy's closed trades, oldest first."""
        return self._book(strategy).closed

    def _book(self, strategy: str) -> _StrategyBook:
        for fill in self._exchange.fills[self._seen_fills :]:
            owner = self._exchange.orders[fill.client_order_id].intent.strategy
            self._books.setdefault(owner, _StrategyBook()).add(fill)
        self._seen_fills = len(self._exchange.fills)
        return self._books.setdefault(strategy, _StrategyBook())


class _StrategyBook:
    """One strategy's fills, accounted for one by one: the same as ``closed_trades`` of all of them, without
    beginning anew at each tick."""

    def __init__(self) -> None:
        self.positions: dict[str, Decimal] = {}
        self.closed: tuple[ClosedTrade, ...] = ()
        self._holdings: dict[str, Holding] = {}
        self._trades: dict[str, ClosedTrade] = {}

    def add(self, fill: Execution) -> None:
        before = self._holdings.get(fill.symbol, Holding(fill.symbol))
        after, closed = apply_fill(before, fill)
        self._holdings[fill.symbol] = after
        if after.quantity:
            self.positions[fill.symbol] = after.quantity
        else:
            self.positions.pop(fill.symbol, None)
        if closed is None:
            return
        name = fill.client_order_id
        earned = self._trades[name].pnl_usd if name in self._trades else Decimal(0)
        self._trades[name] = ClosedTrade(name, closed.symbol, earned + closed.pnl, closed.ts_utc)
        self.closed = tuple(sorted(self._trades.values(), key=lambda trade: (trade.ts_utc, trade.client_order_id)))
