"""What a whole holds and may come to hold, summed once and kept while a tick's orders are judged one by one.

Five controls sum over everything that strategy or account hold. Done anew for every control and order that is
quadratic in the number of orders; here one order changes one line, and the totals by the difference of that line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from trading_platform.domain.orders.model import OrderIntent
from trading_platform.domain.orders.risk.context import (
    PendingOrder,
    Reach,
    RiskContext,
    UnevaluableError,
    account_reach,
    strategy_reach,
    valuation_price,
)

_ZERO = Decimal(0)


class Totals(NamedTuple):
    """Values in USD of one holding or of many: as held, as pending orders can add, and at the ends of their reach.

    ``held``, ``added`` and ``largest`` are unsigned; ``highest`` and ``lowest`` are signed.
    """

    held: Decimal = _ZERO
    added: Decimal = _ZERO
    largest: Decimal = _ZERO
    highest: Decimal = _ZERO
    lowest: Decimal = _ZERO

    def exchanged(self, old: Totals, new: Totals) -> Totals:
        """With one line's values taken out and others put in."""
        return Totals(*(total - was + now for total, was, now in zip(self, old, new, strict=True)))


_NOTHING = Totals()


@dataclass(frozen=True)
class Line:
    """One symbol of a book. ``values`` is ``None`` where nothing says what it is worth; ``problem`` tells why."""

    symbol: str
    sector: str
    reach: Reach
    values: Totals | None
    problem: str = ""


@dataclass(frozen=True)
class Book:
    """The lines of one whole and their sums. What has no price is in no sum and is named in ``unpriced``."""

    lines: Mapping[str, Line] = field(default_factory=dict)
    totals: Totals = _NOTHING
    largest_by_sector: Mapping[str, Decimal] = field(default_factory=dict)
    unpriced: Mapping[str, Line] = field(default_factory=dict)

    def with_line(self, line: Line) -> Book:
        """The book with the symbol's line put in the place of the one it had."""
        before = self.lines.get(line.symbol)
        old = before.values if before is not None and before.values is not None else _NOTHING
        new = line.values or _NOTHING
        sums = dict(self.largest_by_sector)
        sums[line.sector] = sums.get(line.sector, _ZERO) - old.largest + new.largest
        unpriced = self.unpriced
        if line.values is None or line.symbol in unpriced:
            unpriced = {symbol: one for symbol, one in unpriced.items() if symbol != line.symbol}
            if line.values is None:
                unpriced[line.symbol] = line
        return Book({**self.lines, line.symbol: line}, self.totals.exchanged(old, new), sums, unpriced)

    def require_prices(self, *, sector: str | None = None) -> None:
        """Refuse to answer for holdings that can't be valued, of one sector or of all.

        Raises:
            UnevaluableError: names the first.
        """
        for symbol in sorted(self.unpriced):
            if sector in (None, self.unpriced[symbol].sector):
                raise UnevaluableError(self.unpriced[symbol].problem)

    def require_prices_of_pending(self) -> None:
        """Refuse to answer for pending orders that can't be valued, whatever is held.

        Raises:
            UnevaluableError: names the first.
        """
        for symbol in sorted(self.unpriced):
            if self.unpriced[symbol].reach.added:
                raise UnevaluableError(self.unpriced[symbol].problem)


def book_with(intent: OrderIntent, strategy: str | None, context: RiskContext) -> Book:
    """The book of the strategy, or of the account for ``None``, as it would be with ``intent`` pending.

    Raises:
        UnevaluableError: a position or a pending quantity is no number.
    """
    notes = context.notes_on(intent)
    known: Book | None = notes.get(("book", strategy))
    if known is None:
        line = _line(intent.request.symbol, intent, strategy, context)
        known = notes["book", strategy] = _book(strategy, context).with_line(line)
    return known


def approve(intent: OrderIntent, context: RiskContext) -> RiskContext:
    """``context`` with ``intent`` among the approved; what was summed is carried over instead of summed again."""
    symbol = intent.request.symbol
    approved = replace(context, approved=(*context.approved, intent))
    orders = (*context.pending.get(symbol, ()), PendingOrder.from_intent(intent))
    vars(approved)["pending"] = {**context.pending, symbol: orders}
    vars(approved)["order_names"] = {
        (what, strategy): names | {intent.client_order_id} if strategy in (None, intent.strategy) else names
        for (what, strategy), names in context.order_names.items()
    }
    for strategy, book in context.books.items():
        if strategy in (None, intent.strategy):
            approved.books[strategy] = book.with_line(_line(symbol, None, strategy, approved))
    return approved


def _book(strategy: str | None, context: RiskContext) -> Book:
    known = context.books.get(strategy)
    if known is None:
        known = context.books[strategy] = _summed(strategy, context)
    return known


def _summed(strategy: str | None, context: RiskContext) -> Book:
    positions = context.account_positions if strategy is None else context.strategy_positions
    symbols = {symbol for symbol, quantity in positions.items() if quantity}
    for symbol, orders in context.pending.items():
        if any(strategy in (None, order.strategy) for order in orders):
            symbols.add(symbol)
    lines = {symbol: _line(symbol, None, strategy, context) for symbol in sorted(symbols)}
    totals, sectors = _NOTHING, dict[str, Decimal]()
    for line in lines.values():
        if line.values is not None:
            totals = totals.exchanged(_NOTHING, line.values)
            sectors[line.sector] = sectors.get(line.sector, _ZERO) + line.values.largest
    return Book(lines, totals, sectors, {line.symbol: line for line in lines.values() if line.values is None})


def _line(symbol: str, intent: OrderIntent | None, strategy: str | None, context: RiskContext) -> Line:
    if strategy is None:
        reach = account_reach(symbol, intent, context)
    else:
        reach = strategy_reach(symbol, intent, strategy, context)
    sector = context.sectors.get(symbol, "")
    try:
        price = valuation_price(symbol, context, intent)
    except UnevaluableError as error:
        return Line(symbol, sector, reach, None, str(error))
    values = (abs(reach.position), reach.added, reach.largest, reach.highest, reach.lowest)
    return Line(symbol, sector, reach, Totals(*(value * price for value in values)))
