"""Positions and profit from fills alone, in exact decimals.

Average-cost method. Commissions are kept apart from cost and profit, so average cost is the mean price
paid (IBKR's ``avgCost``, and ``Position.average_price``, include commissions). The identity that holds
after every fill, for any mark price::

    realized + unrealized − commissions = cash flow + position × mark

where the cash flow is what all fills together brought in (sales, minus purchases, minus commissions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from trading_platform.domain.orders.model import Execution

_ZERO = Decimal(0)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""Sums and products of money are exact in it; only the cost share of a partial close is divided."""
_COST_STEP = Decimal("1e-12")
"""Step that a cost share is rounded to, in USD, so that later sums stay exact."""


class ConflictingFillsError(ValueError):
    """Two fills carry one execution id and differ: the ledger and the broker tell different stories."""


@dataclass(frozen=True)
class Holding:
    """What fills in one symbol came to. Money is in the instrument's currency.

    ``quantity`` is signed. ``cost`` is what the open quantity cost: its sign is the position's, and it is
    exactly 0 when flat. ``realized_pnl`` is before ``commissions``. ``bought_notional`` and ``sold_notional``
    are unsigned sums of price × quantity. ``uncommissioned_fills`` counts fills whose commission report has
    not come yet: ``commissions`` is too small while there are any.
    """

    symbol: str
    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    realized_pnl: Decimal = _ZERO
    commissions: Decimal = _ZERO
    bought_notional: Decimal = _ZERO
    sold_notional: Decimal = _ZERO
    fills: int = 0
    uncommissioned_fills: int = 0
    last_fill_utc: datetime | None = None

    @property
    def average_cost(self) -> Decimal | None:
        """Mean price of the open quantity without commissions, ``None`` when flat."""
        return self.cost / self.quantity if self.quantity else None

    @property
    def cash_flow(self) -> Decimal:
        """Money the fills brought in, commissions paid; negative when more was spent."""
        with localcontext(_EXACT):
            return self.sold_notional - self.bought_notional - self.commissions

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        """Profit if the open quantity were closed at ``mark``, before commissions."""
        with localcontext(_EXACT):
            return self.quantity * mark - self.cost

    def net_pnl(self, mark: Decimal) -> Decimal:
        """Realized plus unrealized profit minus commissions."""
        with localcontext(_EXACT):
            return self.realized_pnl + self.unrealized_pnl(mark) - self.commissions


@dataclass(frozen=True)
class ClosedQuantity:
    """The part of one fill that closed (some of) a holding. ``pnl`` is before commissions."""

    execution_id: str
    symbol: str
    quantity: Decimal
    pnl: Decimal
    ts_utc: datetime


@dataclass(frozen=True)
class Book:
    """Holdings by symbol, closed ones included, and every close on the way, oldest first."""

    holdings: Mapping[str, Holding]
    closes: tuple[ClosedQuantity, ...]

    @property
    def positions(self) -> dict[str, Decimal]:
        """Signed quantities of what is open."""
        return {symbol: holding.quantity for symbol, holding in self.holdings.items() if holding.quantity}

    @property
    def realized_pnl(self) -> Decimal:
        """Realized profit of all symbols, before commissions."""
        return self._total(holding.realized_pnl for holding in self.holdings.values())

    @property
    def commissions(self) -> Decimal:
        """Commissions of all fills that have a report."""
        return self._total(holding.commissions for holding in self.holdings.values())

    @property
    def traded_notional(self) -> Decimal:
        """Unsigned value of all fills."""
        return self._total(holding.bought_notional + holding.sold_notional for holding in self.holdings.values())

    def unrealized_pnl(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Profit of the open holdings at ``marks``, before commissions.

        Raises:
            KeyError: a symbol that is held has no mark; its profit is unknown, not zero.
        """
        held = (holding for holding in self.holdings.values() if holding.quantity)
        return self._total(holding.unrealized_pnl(marks[holding.symbol]) for holding in held)

    @staticmethod
    def _total(values: Iterable[Decimal]) -> Decimal:
        with localcontext(_EXACT):
            return sum(values, _ZERO)


def book_from_fills(fills: Iterable[Execution]) -> Book:
    """Account for fills in the order they happened, each execution id once.

    Args:
        fills: in any order; a fill that is given twice counts once, and of two that differ only in that one
            has its commission report, the one that has it counts.

    Raises:
        ConflictingFillsError: one execution id with two different contents.
    """
    holdings: dict[str, Holding] = {}
    closes: list[ClosedQuantity] = []
    for fill in sorted(_distinct(fills), key=lambda fill: (fill.ts_utc, fill.execution_id)):
        before = holdings.get(fill.symbol, Holding(fill.symbol))
        holdings[fill.symbol], closed = apply_fill(before, fill)
        if closed is not None:
            closes.append(closed)
    return Book({symbol: holdings[symbol] for symbol in sorted(holdings)}, tuple(closes))


def apply_fill(holding: Holding, fill: Execution) -> tuple[Holding, ClosedQuantity | None]:
    """The holding after one fill, and what the fill closed of it, if anything.

    A fill larger than the opposite holding closes it and opens the rest the other way at the fill's price.
    """
    with localcontext(_EXACT):
        signed = fill.quantity if fill.side == "BUY" else -fill.quantity
        opposite = holding.quantity * signed < 0
        closing = min(abs(signed), abs(holding.quantity)) if opposite else _ZERO
        opening = signed + closing if signed < 0 else signed - closing
        pnl = released = _ZERO
        if closing:
            released = _share_of_cost(holding, closing)
            proceeds = closing * fill.price * (1 if holding.quantity > 0 else -1)
            pnl = proceeds - released
        notional = fill.quantity * fill.price
        after = replace(
            holding,
            quantity=holding.quantity + signed,
            cost=holding.cost - released + opening * fill.price,
            realized_pnl=holding.realized_pnl + pnl,
            commissions=holding.commissions + (fill.commission or _ZERO),
            bought_notional=holding.bought_notional + (notional if signed > 0 else _ZERO),
            sold_notional=holding.sold_notional + (notional if signed < 0 else _ZERO),
            fills=holding.fills + 1,
            uncommissioned_fills=holding.uncommissioned_fills + (fill.commission is None),
            last_fill_utc=fill.ts_utc,
        )
    closed = ClosedQuantity(fill.execution_id, fill.symbol, closing, pnl, fill.ts_utc) if closing else None
    return after, closed


def _share_of_cost(holding: Holding, closing: Decimal) -> Decimal:
    """The cost of ``closing`` units; all of it, without a division, when the holding is closed."""
    held = abs(holding.quantity)
    if closing == held:
        return holding.cost
    return (holding.cost * closing / held).quantize(_COST_STEP)


def _distinct(fills: Iterable[Execution]) -> list[Execution]:
    by_id: dict[str, Execution] = {}
    for fill in fills:
        known = by_id.get(fill.execution_id)
        if known is not None and _without_report(known) != _without_report(fill):
            msg = f"execution {fill.execution_id} of {fill.symbol} has two different contents: {known} and {fill}"
            raise ConflictingFillsError(msg)
        by_id[fill.execution_id] = fill if known is None or known.commission is None else known
    return list(by_id.values())


def _without_report(fill: Execution) -> Execution:
    return replace(fill, commission=None, realized_pnl=None)
