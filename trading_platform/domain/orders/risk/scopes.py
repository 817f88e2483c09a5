"""The two wholes that limits are held against: one strategy and the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from trading_platform.domain.orders.model import OrderIntent
from trading_platform.domain.orders.risk.books import Book, book_with
from trading_platform.domain.orders.risk.context import (
    Reach,
    RiskContext,
    Submission,
    UnevaluableError,
    account_reach,
    finite,
    strategy_reach,
)
from trading_platform.domain.orders.risk.limits import Limits
from trading_platform.domain.orders.working import WorkingOrder


@dataclass(frozen=True)
class Scope:
    """One whole with its limits. ``strategy`` is ``None`` for the account."""

    name: str
    limits: Limits
    strategy: str | None

    def reach(self, symbol: str, intent: OrderIntent | None, context: RiskContext) -> Reach:
        """How far the whole's holding in ``symbol`` can get."""
        if self.strategy is None:
            return account_reach(symbol, intent, context)
        return strategy_reach(symbol, intent, self.strategy, context)

    def book(self, intent: OrderIntent, context: RiskContext) -> Book:
        """What the whole holds and may come to hold, ``intent`` included."""
        return book_with(intent, self.strategy, context)


def scopes(intent: OrderIntent, context: RiskContext) -> tuple[Scope, Scope]:
    """The intent's strategy and the account."""
    return (
        Scope("strategy", context.limits, intent.strategy),
        Scope("account", context.account_limits, None),
    )


def equity_usd(context: RiskContext) -> Decimal:
    """The account's net liquidation value.

    Raises:
        UnevaluableError: it is unknown or not positive.
    """
    if context.account is None:
        msg = "no account summary"
        raise UnevaluableError(msg)
    equity = finite(context.account.net_liquidation, "equity of the account")
    if equity <= 0:
        msg = f"equity of the account is {equity:f}"
        raise UnevaluableError(msg)
    return equity


def account_gross_usd(intent: OrderIntent, context: RiskContext) -> Decimal:
    """The gross exposure the account can reach.

    What is held counts with the broker's figure or with our own sum, whichever is larger: the broker's lags fills,
    ours lacks holdings without a quote.

    Raises:
        UnevaluableError: the account is unknown, or what is pending has no price.
    """
    if context.account is None:
        msg = "no account summary"
        raise UnevaluableError(msg)
    book = book_with(intent, None, context)
    book.require_prices_of_pending()
    reported = finite(context.account.gross_position_value, "gross position value of the account")
    return max(book.totals.held, reported) + book.totals.added


def count_orders(intent: OrderIntent, context: RiskContext, window: timedelta, strategy: str | None) -> int:
    """Orders sent within ``window`` before the decision or about to be, this one included; each name once.

    Raises:
        UnevaluableError: what was sent is not known.
    """
    if context.recent_submissions is None:
        msg = "what was sent recently could not be read from the ledger"
        raise UnevaluableError(msg)
    key = (f"sent within {window}", strategy)
    names = context.order_names.get(key)
    if names is None:
        since = context.as_of_utc - window
        sent = {o.client_order_id for o in context.recent_submissions if o.sent_utc > since and _is_of(o, strategy)}
        approved = {order.client_order_id for order in context.approved if _is_of(order, strategy)}
        names = context.order_names[key] = frozenset(sent | approved)
    return len(names) + (intent.client_order_id not in names)


def open_order_names(strategy: str | None, context: RiskContext) -> frozenset[str]:
    """Names of what works, is in doubt or was approved in this tick; orders placed by hand have none."""
    key = ("open", strategy)
    names = context.order_names.get(key)
    if names is None:
        orders: tuple[WorkingOrder | OrderIntent, ...] = (*context.working, *context.approved)
        names = frozenset(order.client_order_id for order in orders if _is_of(order, strategy)) - {""}
        context.order_names[key] = names
    return names


def _is_of(order: WorkingOrder | OrderIntent | Submission, strategy: str | None) -> bool:
    return strategy in (None, order.strategy)


def first_breach(
    intent: OrderIntent,
    context: RiskContext,
    limit_of: Callable[[Limits], Decimal | int],
    value_of: Callable[[Scope], Decimal | int],
    sentence: Callable[[Scope, Decimal | int, Decimal | int], str],
) -> tuple[str | None, dict[str, object]]:
    """Hold both scopes' values against their limits.

    Returns:
        The sentence of the first scope that is above its limit, if any, and all numbers by name.
    """
    reason: str | None = None
    numbers: dict[str, object] = {}
    for scope in scopes(intent, context):
        value, limit = value_of(scope), limit_of(scope.limits)
        numbers |= {f"{scope.name}_value": value, f"{scope.name}_limit": limit}
        if reason is None and value > limit:
            reason = sentence(scope, value, limit)
    return reason, numbers
