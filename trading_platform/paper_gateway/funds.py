"""Whether the account can carry an order, together with everything it has working already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from trading_platform.domain.portfolio.commissions import CRYPTO_RATE, order_commission
from trading_platform.domain.portfolio.margin import MAINTENANCE_MARGIN
from trading_platform.paper_gateway.account import ZERO, PaperAccount
from trading_platform.paper_gateway.model import PaperOrder
from trading_platform.paper_gateway.order_book import OrderBook
from trading_platform.paper_gateway.order_checks import Refusal
from trading_platform.paper_gateway.valuation import value_account


def check_funds(
    book: OrderBook,
    account: PaperAccount,
    prices: Mapping[int, Decimal],
    candidate: PaperOrder,
    working: Sequence[PaperOrder],
) -> Refusal | None:
    """Refuse ``candidate`` if account and ``working`` orders leave no room for it.

    Stocks, long or short, must fit the buying power; an order that lowers the requirement always passes.
    Crypto-currencies need cash for all open purchases and coins for all open sales.
    """
    if candidate.contract.con_id not in prices:
        return _rejected(f"there is no market price for {candidate.contract.symbol}")
    if candidate.contract.security_type == "CRYPTO":
        return _check_crypto(book, account, prices, candidate, working)
    before = _requirement(book, account, prices, working)
    after = _requirement(book, account, prices, [*working, candidate])
    cost = order_commission(
        candidate.contract.security_type,
        candidate.remaining,
        candidate.remaining * prices[candidate.contract.con_id],
    )
    equity = value_account(account.cash, account.positions.values(), prices).equity_with_loan - cost
    equity -= _crypto_reserved(book, prices, working)
    if after > before and after > equity:
        return _rejected(
            "your available funds are insufficient to cover the margin requirement: "
            f"equity with loan value {equity:.2f} USD, required with this order {after:.2f} USD"
        )
    return None


def _check_crypto(
    book: OrderBook,
    account: PaperAccount,
    prices: Mapping[int, Decimal],
    candidate: PaperOrder,
    working: Sequence[PaperOrder],
) -> Refusal | None:
    everything = [*working, candidate]
    if candidate.ticket.action == "SELL":
        held = account.quantity(candidate.contract.con_id)
        offered = book.open_quantity(everything, candidate.contract.con_id, "SELL")
        if offered > held and not book.is_held_by_parent(candidate):
            return _rejected(
                f"{candidate.contract.symbol} can't be sold short: {held} held, {offered} offered with this order"
            )
        return None
    needed = _crypto_reserved(book, prices, everything)
    excess = value_account(account.cash, account.positions.values(), prices).equity_with_loan
    excess -= _requirement(book, account, prices, working)
    available = min(account.cash, excess)
    if needed > available:
        return _rejected(
            f"{candidate.contract.symbol} can't be bought on margin: {available:.2f} USD of cash available, "
            f"{needed:.2f} USD needed with this order"
        )
    return None


def _requirement(
    book: OrderBook, account: PaperAccount, prices: Mapping[int, Decimal], working: Sequence[PaperOrder]
) -> Decimal:
    """Maintenance margin if every order of ``working`` filled on the side that exposes the account more."""
    stocks = {
        p.contract.con_id: p.average_cost for p in account.positions.values() if p.contract.security_type != "CRYPTO"
    }
    stocks.update({order.contract.con_id: ZERO for order in working if order.contract.security_type != "CRYPTO"})
    total = ZERO
    for con_id, cost in stocks.items():
        held = account.quantity(con_id)
        longest = held + book.open_quantity(working, con_id, "BUY")
        shortest = held - book.open_quantity(working, con_id, "SELL")
        total += max(abs(longest), abs(shortest)) * prices.get(con_id, cost)
    return total * MAINTENANCE_MARGIN


def _crypto_reserved(book: OrderBook, prices: Mapping[int, Decimal], working: Sequence[PaperOrder]) -> Decimal:
    """Cash that open purchases of crypto-currencies need, commissions included."""
    total = ZERO
    dearest: dict[int, Decimal] = {}
    for order in working:
        if order.contract.security_type == "CRYPTO" and order.ticket.action == "BUY":
            price = max(order.ticket.limit_price or ZERO, prices.get(order.contract.con_id, ZERO))
            dearest[order.contract.con_id] = max(price, dearest.get(order.contract.con_id, ZERO))
    for con_id, price in dearest.items():
        total += book.open_quantity(working, con_id, "BUY") * price
    return total * (1 + CRYPTO_RATE)


def _rejected(reason: str) -> Refusal:
    return Refusal(201, f"Order rejected - reason:{reason}")
